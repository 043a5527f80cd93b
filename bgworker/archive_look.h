// A look into the storage, seen from where this server is: is there a backup to start from, and all WAL from there to
// now? Asked of a helper by the scheduler; what the storage lacks and pg_wal still has is given to the archiver again.
#pragma once

#include "extension/gaps.h"
#include "extension/helper_link.h"
#include "extension/window.h"

namespace forge::server {

struct ArchiveLook {
    StoreState store = StoreState::kUnknown;  // the rest is known with kOn only
    enum class State : std::uint8_t { kNoBackups, kForeign, kDamaged, kBackup } state = State::kNoBackups;
    std::string problem;     // with kForeign and kDamaged
    std::string backup;      // the newest that leads here; empty = none
    std::string first_file;  // of WAL that it needs
    TimestampTz started_at = 0, finished_at = 0;
    std::vector<Gap> holes;            // lost for good
    std::vector<std::string> on_disk;  // names of files to archive again
    std::optional<std::uint64_t> bytes_stored;  // below the prefix; of a clone, together with the contents
    std::optional<FoundWindow> window;  // where it may have changed by more than what was archived since
    std::uint64_t waiting = 0;         // missing files that wait for the archiver anyway
};

// `contents`: also compare what the backup consists of with its manifest. `on_wake` ends the wait early. Errors are
// those of the configuration and of the store. What the helper says about the settings goes to shared memory.
Result<ArchiveLook> look_at_archive(bool contents, const HelperLink::WakeCheck& on_wake);

// Marks files of pg_wal as not archived, whatever their marks say, so that the archiver takes them. Returns how many.
// On a primary that archives only.
std::uint64_t archive_again(const std::vector<std::string>& names);

}  // namespace forge::server
