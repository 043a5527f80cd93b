// Events: the last things that happened, for the view `events`. Kept in shared memory and in a file of the data
// directory, forge_backup/events: one line each, time, kind, subject, outcome and detail separated by tabs. The file is
// not synced: after a crash of the machine the last lines may be missing. Without preloading nothing is kept.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// Called by any process of ours; raises nothing, and never fails its caller.
//   kind      "archiving" | "backup" | "configuration" | "gap" | "healing" | "key" | "owner" | "promotion" |
//             "retention" | "storage" | "verification"
//   subject   what it happened to: a file, a backup, a prefix; may be empty
//   outcome   "failing" | "works" | "started" | "finished" | "failed" | …
void add_event(std::string_view kind, std::string_view subject, std::string_view outcome, std::string_view detail = {});

// The same for what is told again and again, also by each start of the server: only where the newest event of that kind
// has another subject or outcome.
void add_change(std::string_view kind, std::string_view subject, std::string_view outcome,
                std::string_view detail = {});

// Oldest first; none without preloading.
std::vector<EventRow> copy_events();

// Since the start; both 0 without preloading.
struct EventCounts {
    std::uint64_t all = 0;  // with those of earlier runs that were read
    std::uint64_t told = 0;  // to listeners, or from before there were any
};
EventCounts count_events();
void note_told(std::uint64_t count);

// Has the file read, unless that was done since the start. Called by a new scheduler; who adds an event earlier does it
// as well.
void load_events();

}  // namespace forge::server
