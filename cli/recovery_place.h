// Where a restore_command finds itself: which data directory, which kind of recovery, and where files fetched ahead may
// wait.
#pragma once

#include <string>

#include "core/base/cancel.h"

namespace forge::cli {

struct RecoveryPlace {
    std::string data_directory;  // absolute
    // standby.signal is there: the server has other sources and asks again. Without it an outage must never look like
    // "no such file".
    bool is_standby = false;
    // Both signal files are gone: the server is being promoted, and writes the history of its new timeline.
    bool is_promoting = false;
    std::string fast_file;  // <directory of pg_wal's parent>/wal_fast/<name>; empty = none is there
};
// TMPDIR, else /tmp.
std::string temporary_directory();

// By the destination that %p gave: relative to the data directory, or <data directory>/pg_wal/NAME.
RecoveryPlace find_recovery_place(const std::string& name, const std::string& destination);

// Directory for files fetched ahead: `wanted` (an option or WALG_PREFETCH_DIR) if not empty, else a hidden directory
// beside the data directory, else one in TMPDIR. Made if it does not exist; empty = there is no safe place.
std::string make_spool_directory(const RecoveryPlace& place, const std::string& wanted);

// A small file in TMPDIR that remembers for some seconds that the store did not answer, so that a starting standby,
// which asks for several files in a row, does not wait for each.
class OutageMemory {
public:
    explicit OutageMemory(const RecoveryPlace& place);
    bool is_recent(seconds span) const;
    void remember() const;
    void forget() const;

private:
    std::string path_;
};

}  // namespace forge::cli
