// Brings a backup back into an empty directory: every part is read to its end, every file of the backup is accounted
// for, global/pg_control is put in place last, everything is fsynced. A failed restore leaves a directory without
// pg_control, which cannot be started by mistake.
#pragma once

#include <atomic>
#include <map>
#include <string>

#include "core/restore/recovery_settings.h"

namespace forge::restore {

struct FetchOptions {
    std::string target_directory;                           // absent or empty
    std::map<std::string, std::string> tablespace_mapping;  // oid or old directory -> new directory (absent or empty)
    int concurrency = 2;
    bool sync = true;
};
struct FetchProgress {
    std::atomic<std::uint64_t> bytes_total{0}, bytes_done{0};  // uncompressed
    std::atomic<std::uint32_t> files_done{0}, parts_done{0}, parts_total{0};
};
// kInvalid: directory not empty, tablespace without place, delta backup this version cannot apply. kCorrupt: names the
// object or file. With the manifest of a backup of ours, every part and file is compared with its digest; without one,
// completeness is checked by files_metadata.json.
Status fetch_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                    const FetchOptions& options, FetchProgress& progress, const CancelToken& cancel, Logger& logger);

}  // namespace forge::restore
