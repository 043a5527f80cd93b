// Reads every object of a backup, of the backups it builds on, and the WAL from its start to its end, and checks
// everything that can be checked without a server: presence, sizes, encryption, compression, tar structure, digests,
// increments, that every file of the backup is there, page checksums, control file, label, and of WAL the size, page
// headers and record checksums. Nothing is written anywhere.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::restore {

struct VerifyOptions {
    int concurrency = 2;
    std::uint64_t rate_limit = 0;  // bytes a second as stored; 0 = none
    // WAL beyond the end of the backup, as far as the archive goes without a gap on the backup's lineage.
    bool all_wal = false;
};

struct VerifyFinding {
    enum class Level : std::uint8_t { kOk, kWarning, kError };
    std::string object;  // key; of a missing WAL file without extension; for the backup as a whole its name
    Level level = Level::kOk;
    std::uint64_t stored_size = 0;
    std::string detail;  // what is wrong; with kOk a remark, mostly empty
};

// Readable from any thread while it runs. Bytes as stored; the totals are 0 until all is listed.
struct VerifyProgress {
    std::atomic<std::uint64_t> bytes_total{0}, bytes_done{0};
    std::atomic<std::uint32_t> objects_total{0}, objects_done{0};
};

// Calls `report` once for each object, never from two threads at once, and for what is missing. Success means that
// everything was looked at, whatever was found: the findings say whether it is good. Failure: the store did not answer,
// or somebody cancelled. Where nothing is found, a restore of the backup is not refused.
Status verify_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                     const VerifyOptions& options, const std::function<void(const VerifyFinding&)>& report,
                     VerifyProgress& progress, const CancelToken& cancel, Logger& logger);
// Several backups; an object that more than one of them needs is read once.
Status verify_backups(repository::Repository& repository, const std::vector<repository::BackupEntry>& backups,
                      const VerifyOptions& options, const std::function<void(const VerifyFinding&)>& report,
                      VerifyProgress& progress, const CancelToken& cancel, Logger& logger);

}  // namespace forge::restore
