// The WAL that waits for the archiver, and whether it will fill the disk.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

struct Backlog {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;  // of segments; the other files are tiny
    XLogRecPtr first = InvalidXLogRecPtr;  // where the oldest segment begins; invalid = none waits
    TimestampTz first_finished_at = 0;     // when the server finished it
};

// A look into archive_status; its files come and go under our eyes, so the result is a moment's. Raises nothing: the
// archiver asks it as well.
Backlog count_backlog();

// Free bytes where pg_wal is, for the server's user; nothing if the system does not say.
std::optional<std::uint64_t> wal_disk_free();

// Remembers a measurement in shared memory. Called every kBacklogPause by the scheduler.
inline constexpr std::chrono::seconds kBacklogPause{15};
void note_backlog(const Backlog& backlog);

// How the backlog has changed over the last minutes, bytes a second; nothing without two measurements apart.
std::optional<double> backlog_growth(const SharedState& state, const Backlog& now);

// Seconds until pg_wal's disk is full if this goes on; nothing when it does not.
std::optional<double> seconds_to_full_disk(const SharedState& state, const Backlog& now);

// "12.5 MB".
std::string megabytes(double bytes);

}  // namespace forge::server
