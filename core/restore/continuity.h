// Whether a restore to now would work: the newest backup on a server's own lineage, and the WAL from there to where the
// server is. What the archive lacks is looked for in pg_wal, whatever the marks of the archiver say: a server that
// was a standby has every segment it streamed marked as archived (spilo-contract 0.6).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::restore {

// Where a server is. Everything up to `position` is on its disk.
struct ServerPlace {
    std::string data_directory;
    std::uint64_t system_identifier = 0;
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    Timeline timeline = 0;
    Lsn position = 0;  // 0 = only the backup is looked for (a standby: its WAL is the primary's to archive)
};

// A run of missing segments of one timeline, by their names.
struct Hole {
    std::string first, last;
    std::uint64_t segments = 0;
};

struct Continuity {
    enum class State : std::uint8_t {
        kNoBackups,  // there is none at all
        kForeign,    // none is on the way to where the server is
        kDamaged,    // the newest one that is cannot be restored
        kBackup,     // there is a backup to start from
    } state = State::kNoBackups;
    std::vector<std::string> backups;               // names of all that are listed
    std::optional<repository::BackupEntry> backup;  // the newest on the lineage; with kDamaged and kBackup
    std::string problem;                            // with kForeign and kDamaged
    std::vector<Hole> holes;                        // neither in the archive nor in pg_wal
    // Not in the archive, whole in pg_wal, and not waiting for the archiver: names in the order of archiving.
    std::vector<std::string> on_disk;
    std::uint64_t waiting = 0;  // segments that are missing and wait for the archiver
};

// Lists the backups, and the WAL from the newest one on, once. With `read_contents` the manifest of the backup is
// compared with its parts, for those it builds on as well; otherwise only a look is taken whether it has parts. Errors
// are those of the store.
Result<Continuity> check_continuity(repository::Repository& repository, const ServerPlace& place, bool read_contents,
                                    const store::CallContext& context, Logger& logger);

}  // namespace forge::restore
