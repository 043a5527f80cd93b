// Gaps: WAL that will never be in the store. Each is remembered in shared memory for the view `gaps`, and in a file of
// the data directory, so that a restart does not forget what was given up.
//
// The file is forge_backup/gaps, one line a gap: time, first and last file name, number of files, reason, separated by
// tabs. A reader skips what it does not understand.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

struct Gap {
    std::string first, last;  // file names
    std::uint64_t files = 1;
    std::string_view reason;
};

// Remembers it in the file, durably, and in shared memory; one that continues the newest gap is joined with it. Raises
// nothing. On failure nothing was remembered.
Status record_gap(const Gap& gap);

// Reads the file into shared memory, which knows none yet. Called by a new scheduler.
void load_gaps();

// What is true of the open gaps when the newest backup begins with segment `begin` and `holes` is all that is missing
// since: those before it are bridged by that backup, those that are no holes any more were healed from pg_wal.
void settle_gaps(std::string_view begin, const std::vector<Gap>& holes);
// An open gap covers it.
bool is_known_gap(const Gap& hole);

std::string_view gap_state_name(GapState state);

}  // namespace forge::server
