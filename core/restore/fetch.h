// Brings a backup back into an empty directory, its chain of parents included: every part is read to its end, every
// file of the backup is accounted for, global/pg_control is put in place last, everything is durable. A restore that
// failed or was killed leaves a directory without pg_control, which cannot be started by mistake, and with a journal:
// the same restore, started again, goes on there.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/backup/control_file.h"
#include "core/repository/repository.h"
#include "core/restore/in_place.h"

namespace forge::restore {

struct FetchOptions {
    std::string target_directory;  // absent, empty, or with an unfinished restore of this backup
    std::map<std::string, std::string> tablespace_mapping;  // oid or old directory -> new directory (absent or empty)
    int concurrency = 2;
    bool sync = true;
    bool allow_unlisted = false;  // ExamineOptions::allow_unlisted
    // The target directory is this one, and its server, which is locked out, makes way for the backup.
    std::optional<Occupied> in_place;
    // Called when nothing stands in the way any more and nothing was changed yet, with the names that will be set
    // aside; a failure leaves everything as it was.
    std::function<Status(const std::vector<std::string>& set_aside)> before_replacing;
    // Called when all files are there but pg_control, whose content it gets: what must be in the directory before a
    // server can start there (recovery settings). May be called again when a restore is taken up.
    std::function<Status(const std::string& directory, const backup::ControlFile& control)> before_startable;
};
struct FetchProgress {
    std::atomic<std::uint64_t> bytes_total{0}, bytes_done{0};  // uncompressed
    std::atomic<std::uint32_t> files_done{0}, parts_done{0}, parts_total{0};
};
// kInvalid: directory not empty, tablespace without place. kCorrupt: names the object or file, or the missing parent.
// With the manifest of a backup of ours, every part is compared with its digest and every file with its checksum;
// without one, completeness is checked by files_metadata.json.
Status fetch_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                    const FetchOptions& options, FetchProgress& progress, const CancelToken& cancel, Logger& logger);
// The backup whose restore into this directory is not complete and can be taken up; nothing when there is none.
std::optional<std::string> unfinished_backup(const std::string& directory);

}  // namespace forge::restore
