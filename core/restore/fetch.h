// Brings a backup back into an empty directory: every part is read to its end, every file of the backup is accounted for, global/pg_control is put in
// place last, everything is fsynced. A failed restore leaves a directory without pg_control, which cannot be started by mistake.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/restore/target.h"

namespace forge::restore {

struct FetchOptions {
    std::string target_directory;                       // absent or empty
    std::map<std::string, std::string> tablespace_mapping;  // oid or old directory -> new directory (absent or empty)
    int concurrency = 2;
    bool sync = true;
};
struct FetchProgress {
    std::atomic<std::uint64_t> bytes_total{0}, bytes_done{0};   // uncompressed
    std::atomic<std::uint32_t> files_done{0}, parts_done{0}, parts_total{0};
};
// kInvalid: directory not empty, tablespace without place, delta backup this version cannot apply. kCorrupt: names the object or file.
Status fetch_backup(repository::Repository& repository, const repository::BackupEntry& backup, const FetchOptions& options, FetchProgress& progress,
                    const CancelToken& cancel, Logger& logger);

// recovery.signal and the settings that make the server recover to the target, in postgresql.auto.conf; where the backup has no
// postgresql.conf (Debian keeps it elsewhere) a minimal one with what the control file demands, and a pg_hba.conf for local connections.
struct RecoveryOptions {
    std::string restore_command;
    std::string target_action = "pause";   // pause, promote, shutdown
};
Status write_recovery_settings(const std::string& directory, const Plan& plan, const RecoveryOptions& options, Logger& logger);
// The same settings as name/value pairs, for restore_config().
std::vector<std::pair<std::string, std::string>> recovery_settings(const Plan& plan, const RecoveryOptions& options);

}  // namespace forge::restore
