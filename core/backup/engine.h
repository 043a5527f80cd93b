// One base backup of a running server's data directory: parallel readers fill tar parts, compressed and encrypted,
// straight into the store (walg-format 1.5, 3; postgres-hooks 14, 15). The server side (worker or SQL session) calls
// pg_backup_start before and pg_backup_stop between copy_files() and finish(). Needs no server: a plain directory
// works.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::backup {

struct BackupStart {
    std::string data_directory;  // absolute
    Timeline timeline = 0;       // of the start point
    Lsn start_lsn = 0;
    bool from_standby = false;  // name: segment of start_lsn - 1 on a standby (walg-format 1.2)
    int pg_version = 0;         // server_version_num
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    std::vector<layout::Tablespace> tablespaces;
    Instant start_time;
    bool permanent = false;
    std::string user_data;  // JSON text; empty = that of the settings
    // Delta backups (walg-format 8.3). Whether there are any, and what they build on, is in the settings.
    bool full = false;
    // The backup to build on, at most one of the two; where it cannot serve that is an error, while without them, or
    // named by a variable only, the backup is a full one then.
    std::string delta_from_name, delta_from_user_data;
    bool verify_checksums = true;  // effective only if the control file says that the cluster has checksums
};
struct BackupStop {
    Lsn finish_lsn = 0;
    // Of the finish. On a standby it may be a later one than at the start; the history of it is in the data directory
    // or in the store then. 0 = that of the start.
    Timeline timeline = 0;
    std::string backup_label;  // byte for byte what the server gave
    std::string tablespace_map;
};
// Readable from any thread while the backup runs.
struct Progress {
    // What will be read, by the scan; 0 while scanning. Grows once in a delta backup, which reads the pages that
    // changed a second time.
    std::atomic<std::uint64_t> bytes_total{0};
    std::atomic<std::uint64_t> bytes_done{0};
    std::atomic<std::uint64_t> bytes_stored{0};
    std::atomic<std::uint32_t> files_total{0}, files_done{0};
    std::atomic<std::uint32_t> tablespaces_done{0};
};
struct BackupReport {
    std::string name;
    std::uint64_t uncompressed = 0, compressed = 0;
    int parts = 0, files = 0;
    std::string parent;  // of a delta backup, empty for a full one
    int skipped_files = 0, incremented_files = 0;
    std::uint64_t corrupt_pages = 0;
    std::vector<std::string> corrupt_files;  // "base/5/16384: block 3" …, at most 100
};

class BackupEngine {
public:
    virtual ~BackupEngine() = default;  // without finish(): everything uploaded is removed as far as the store answers
    // Known from the beginning; a delta that turns out to be no smaller than a full backup becomes one in copy_files()
    // and changes its name.
    virtual const std::string& name() const = 0;
    // Copies every file; `global/pg_control` is read last. Refuses (kAlreadyExists) a name whose sentinel exists;
    // clears leftovers of a failed one.
    virtual Status copy_files() = 0;
    // Label part, metadata, files_metadata and, as the very last object, the sentinel.
    virtual Result<BackupReport> finish(const BackupStop& stop) = 0;
    // Removes what was uploaded. Idempotent.
    virtual void abandon() = 0;
};
// `cancel` and `progress` outlive the engine.
Result<std::unique_ptr<BackupEngine>> begin_backup(std::shared_ptr<repository::Repository> repository,
                                                   BackupStart start, Progress& progress, const CancelToken& cancel,
                                                   Logger& logger);

}  // namespace forge::backup
