// The WAL that waits for the archiver, and whether it will fill the disk.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// A look into archive_status; its files come and go under our eyes, so the result is a moment's. Raises nothing: the
// archiver asks it as well.
Backlog count_backlog();
// The same, or what somebody counted within the last second: status() may be asked for often, and the directory be long.
// Of a copy of the shared state.
Backlog recent_backlog(const SharedState& state);

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
