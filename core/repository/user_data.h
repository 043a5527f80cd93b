// Backups chosen by the user data they were given, as WAL-G's --target-user-data and --delta-from-user-data do.
#pragma once

#include "core/repository/repository.h"

namespace forge::repository {

// Both are JSON of the same value: the order of members and blanks do not matter, 1 and 1.0 are the same number.
bool same_user_data(std::string_view one, std::string_view other);

// The one backup whose user data are `json`. kInvalid when `json` is no JSON, and when no backup or more than one has
// these user data (the message names them).
Result<BackupEntry> find_by_user_data(Repository& repository, const std::string& json,
                                      const store::CallContext& context);

}  // namespace forge::repository
