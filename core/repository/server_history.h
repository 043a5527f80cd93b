// The history of a timeline that a server is on.
#pragma once

#include <string>
#include <vector>

#include "core/layout/history.h"
#include "core/repository/repository.h"

namespace forge::repository {

// Oldest ancestor first. The server's own file in pg_wal comes before the archive's: another cluster may have put one
// there. Errors name the file; those of the store are passed on.
Result<std::vector<layout::HistoryEntry>> read_history(Repository& repository, const std::string& data_directory,
                                                       Timeline timeline, const store::CallContext& context);

}  // namespace forge::repository
