// Marking backups permanent with the rules of WAL-G's backup-mark (walg-format 9.5).
#pragma once

#include "core/repository/repository.h"

namespace forge::retention {

// Permanent: the backup and everything it builds on, the full one first, so that an interrupted call leaves no
// permanent backup without its chain. Not permanent: the backup alone; kInvalid when a backup that builds on it is
// permanent. Returns the names of those that were something else before.
Result<std::vector<std::string>> mark_backup(repository::Repository& repository, const std::string& name,
                                             bool permanent, const store::CallContext& context);

}  // namespace forge::retention
