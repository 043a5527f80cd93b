// The rows of backup_list(), made where the store can be asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::cli {

// One field a column; nothing = null. In this order:
//   name, modified, wal_segment_backup_start, start_time, finish_time, start_lsn, finish_lsn, timeline, kind ("full",
//   "delta"), parent, uncompressed_size, compressed_size, permanent ("t", "f"), restorable ("t", "f"), reason (null
//   when restorable)
using Row = std::vector<std::optional<std::string>>;

// Why a backup cannot be restored; empty = it can. Asks the store for the first and last segment of WAL the backup
// itself needs.
Result<std::string> why_not_restorable(repository::Repository& repository, const repository::BackupEntry& backup,
                                       const store::CallContext& context);
Result<std::vector<Row>> backup_rows(repository::Repository& repository, const store::CallContext& context);

}  // namespace forge::cli
