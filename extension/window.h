// How far back and how far up to now a restore can go, without asking the store: a look into the store says where the
// window begins and ends, and each archived segment carries its last commit. Only what follows on without a gap counts
// (extension/durability.h).
#pragma once

#include "extension/helper_link.h"
#include "extension/shared_state.h"

namespace forge::server {

// The archiver, after note_archived(): `answer` says what the helper found in `file`. Raises nothing.
void note_commits(const char* file, const protocol::Frame& answer);

// The scheduler: what the next look is to find out, and what it found.
struct WindowQuestion {
    bool wanted = true;         // whatever the store holds
    std::string oldest, newest;  // backups; where they are others by now, the window is another one as well
};
WindowQuestion window_question();
// From the end of the oldest backup that can be restored to the last commit (core/restore/target.h).
struct FoundWindow {
    std::string backup;  // empty = there is none on the way to the server's timeline
    TimestampTz earliest = 0, latest = 0;
    XLogRecPtr earliest_lsn = InvalidXLogRecPtr, latest_lsn = InvalidXLogRecPtr;
};
void note_window(const FoundWindow& found, bool any_backups);

struct Window {
    enum class State : std::uint8_t { kKnown, kNoBackup, kUnknown, kOff, kNotArchived, kStandby, kNotPreloaded };
    State state = State::kNotPreloaded;
    std::string_view backup;  // the oldest, in the state that was asked
    TimestampTz earliest = 0, latest = 0;
    XLogRecPtr earliest_lsn = InvalidXLogRecPtr, latest_lsn = InvalidXLogRecPtr;
    TimestampTz looked_at = 0;
};
// Of a copy of the shared state; null = not preloaded.
Window recovery_window(const SharedState* state);
std::string_view window_state_name(Window::State state);

}  // namespace forge::server
