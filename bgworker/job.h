// The book-keeping of base backups in shared memory: requests that wait, the one that runs, how it ended. Used by the
// SQL functions (queue), the scheduler (launch, lost) and the runner (claim, succeed, fail). Needs a preloaded library.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

struct Job {
    BackupReason reason = BackupReason::kNone;
    std::uint64_t request = 0;
    bool permanent = false;
    bool full = false;  // no delta
    std::string user_data;
};

// Adds a request for what `wish` says about the backup; its number, or kExhausted when too many wait.
Result<std::uint64_t> queue_request(const Job& wish);
// The oldest request that waits, 0 = none.
std::uint64_t next_request();

// Marks a backup as about to start; the runner claims it. False if there is one already.
bool launch_job(BackupReason reason, std::uint64_t request);
// In the runner: takes over what was launched; nothing if somebody else did.
std::optional<Job> claim_job();
void succeed_job(std::string_view name, std::uint64_t corrupt_pages);
// Nothing happens when no backup runs. False for what is no failure: a standby that nobody asked, and that has nothing
// newer than the newest backup, skips this one.
bool fail_job(const Status& status);
// In a new scheduler: a launch whose runner never came waits again.
void forget_launch();

}  // namespace forge::server
