// global/pg_control of PostgreSQL 15 to 18, read without the server: CRC verified, torn reads retried (postgres-hooks
// 15).
#pragma once

#include <cstdint>
#include <string>

#include "core/base/bytes.h"
#include "core/base/lsn.h"
#include "core/base/status.h"

namespace forge::backup {

struct ControlFile {
    std::uint64_t system_identifier = 0;
    std::uint32_t pg_control_version = 0;  // 1300 (13-16), 1700, 1800
    std::uint32_t catalog_version = 0;
    int state = 0;          // DBState
    Timeline timeline = 0;  // of the latest checkpoint
    Lsn checkpoint = 0, redo = 0, min_recovery_point = 0;
    Timeline min_recovery_timeline = 0;
    std::uint32_t segment_size = 0;
    std::uint32_t block_size = 0, relation_segment_blocks = 0;
    std::uint32_t checksum_version = 0;  // 0 = no data checksums
    std::int32_t max_connections = 0, max_worker_processes = 0, max_wal_senders = 0, max_prepared_xacts = 0,
                 max_locks_per_xact = 0;
    bool track_commit_timestamp = false;
    int wal_level = 0;
    Bytes raw;  // the 8 kB file as read
};
// kCorrupt when the checksum is wrong, kInvalid for a version this program does not know.
Result<ControlFile> parse_control_file(ByteView raw);
// Read again a few times while the checksum is wrong: the server writes it in place.
Result<ControlFile> read_control_file(const std::string& data_directory);
int major_version_of(const ControlFile& control);  // 15, 16, …; 0 = unknown
// The number in the file PG_VERSION: 15, 16, …
Result<int> read_major_version(const std::string& data_directory);
// Directory of this server version inside each tablespace: "PG_15_202209061".
std::string tablespace_version_directory(int major_version, const ControlFile& control);

}  // namespace forge::backup
