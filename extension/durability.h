// How far the WAL in the store goes, without a gap, from a base backup on: what would be lost with this server, and
// what a commit barrier waits for. Nothing is claimed that is not known: after a start the first look into the store
// says how far it goes, and each archived segment that follows on carries it further. Positions count along the server's
// own lineage, so that they go through changes of timeline.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// Where the segment of a WAL file begins, and where it ends; nothing (or invalid) for a file that is no whole segment.
std::optional<XLogRecPtr> segment_start(std::string_view file);
XLogRecPtr segment_end(std::string_view file);

// The archiver: a file is durable in the store; a file was dropped and will never be there. Raise nothing.
void note_archived(const char* file);
void note_dropped(const char* file);

// The scheduler, on a primary: what had been written when it became one. Once per start and `promoted`.
void note_start_of_writing(bool promoted);
// On a primary: the segments that are written to their end, and those before the first that waits for the archiver: they
// are either archived or lost.
struct FinishedWal {
    XLogRecPtr written_to = InvalidXLogRecPtr;
    XLogRecPtr not_waiting_to = InvalidXLogRecPtr;
};
FinishedWal finished_wal();
// What a look into the store found: all is there up to `complete` (invalid: not known). Unless `all_there` more was
// missing than what waits, and what was archived after it counts for nothing until the next look.
void note_look(XLogRecPtr complete, bool all_there);

// On a primary: the end of what a commit may need of the WAL written so far. What the server writes in idleness, such as
// its snapshots of running transactions, does not count.
XLogRecPtr written_so_far();
// Remembers it with the time, so that it is known later since when something is at risk; returns it.
XLogRecPtr note_written();
// Nothing between `durable` and `written` but the header of a segment.
bool is_covered(XLogRecPtr written, XLogRecPtr durable);

struct AtRisk {
    enum class State : std::uint8_t { kDurable, kAtRisk, kUnknown, kOff, kNotArchived, kStandby, kNotPreloaded };
    State state = State::kNotPreloaded;
    XLogRecPtr durable = InvalidXLogRecPtr, current = InvalidXLogRecPtr;
    std::uint64_t bytes = 0, seconds = 0;  // with kDurable and kAtRisk
    TimestampTz since = 0;                 // with kAtRisk; never later than the truth
};
// Of a copy of the shared state; null = not preloaded. `backlog` for who has one from the last second already: `since` is
// as old as that then. Otherwise it is counted where it is needed.
AtRisk data_at_risk(const SharedState* state, const std::optional<Backlog>& backlog = std::nullopt);
std::string_view risk_name(AtRisk::State state);

}  // namespace forge::server
