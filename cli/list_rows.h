// The rows of backup_list(), retention_plan() and restore_points, made where the store can be asked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"
#include "core/retention/policy.h"

namespace forge::cli {

// One field a column; nothing = null. In this order:
//   name, modified, wal_segment_backup_start, start_time, finish_time, start_lsn, finish_lsn, timeline, kind ("full",
//   "delta"), parent, uncompressed_size, compressed_size, permanent ("t", "f"), restorable ("t", "f"), reason (null
//   when restorable)
using Row = std::vector<std::optional<std::string>>;

// Why a backup cannot be restored; empty = it can. Looks for what it builds on in `backups`, and asks the store for the
// first and last segment of WAL the backup itself needs.
Result<std::string> why_not_restorable(repository::Repository& repository,
                                       const std::vector<repository::BackupEntry>& backups,
                                       const repository::BackupEntry& backup, const store::CallContext& context);
Result<std::vector<Row>> backup_rows(repository::Repository& repository, const store::CallContext& context);

// A backup as the JSON object of WAL-G's listings (walg-format 9.1); with `detail` all of metadata.json as well, user
// data as they are. Where metadata.json is missing, the sentinel serves (W18).
std::string backup_json(const repository::BackupEntry& backup, bool detail);

// What retention keeps and what goes, a row a backup, and one for WAL, the restore points in it included, if any goes:
// backup, keep, reason, objects, bytes.
std::vector<Row> retention_rows(const retention::RetentionPlan& plan);

// name (in any bytes), time, lsn, timeline, backup (null = it cannot be reached), in the order of their times.
Result<std::vector<Row>> restore_point_rows(repository::Repository& repository, const store::CallContext& context,
                                            Logger& logger);

}  // namespace forge::cli
