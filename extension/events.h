// Events: the last things that happened, for the view `events`. Kept in shared memory and in a file of the data
// directory, forge_backup/events: one line each, time, kind, subject, outcome and detail separated by tabs. The file is
// not synced: after a crash of the machine the last lines may be missing. Without preloading nothing is kept.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// Called by any process of ours; raises nothing, and never fails its caller.
//   kind      "archiving" | "backup" | "gap" | "healing" | "storage" | "promotion" | "retention" | "owner"
//   subject   what it happened to: a file, a backup, a prefix; may be empty
//   outcome   "failing" | "works" | "started" | "finished" | "failed" | …
void add_event(std::string_view kind, std::string_view subject, std::string_view outcome, std::string_view detail = {});

// Oldest first; none without preloading.
std::vector<EventRow> copy_events();

// Reads the file into shared memory, which knows none yet, and shortens it where it has grown long. Called by a new
// scheduler.
void load_events();

}  // namespace forge::server
