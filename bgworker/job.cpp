#include "bgworker/job.h"

#include "extension/events.h"

namespace forge::server {

namespace {

Request* find_request(std::uint64_t number) {
    for (Request& request : shared_requests()->rows) {
        if (number != 0 && request.number == number && request.state != RequestState::kFree) return &request;
    }
    return nullptr;
}

bool is_pending(const Request& request) {
    return request.state == RequestState::kQueued || request.state == RequestState::kRunning;
}

// The slot that can be reused: a free one, else the one whose answer is oldest.
Request* reusable_slot() {
    Request* oldest = nullptr;
    for (Request& request : shared_requests()->rows) {
        if (is_pending(request)) continue;
        if (oldest == nullptr || request.number < oldest->number) oldest = &request;
    }
    return oldest;
}

void end_backup(BackupInfo& backup) {
    backup.phase = BackupPhase::kIdle;
    backup.reason = BackupReason::kNone;
    backup.request = 0;
    backup.runner_pid = 0;
}

}  // namespace

Result<std::uint64_t> queue_request(const Job& wish) {
    SharedState* const state = shared_state();
    const StateLock lock(state, LW_EXCLUSIVE);
    Request* const slot = reusable_slot();
    if (slot == nullptr)
        return Status(Kind::kExhausted, "too many base backups are waiting",
                      "Wait until one of them has been made; forge_backup.progress shows the running one.");
    slot->number = ++shared_requests()->last;
    slot->state = RequestState::kQueued;
    slot->permanent = wish.permanent;
    slot->full = wish.full;
    slot->requested_at = GetCurrentTimestamp();
    slot->user_data.set(wish.user_data);
    slot->backup.set("");
    slot->problem.clear();
    return slot->number;
}

std::uint64_t next_request() {
    SharedState* const state = shared_state();
    const StateLock lock(state, LW_SHARED);
    std::uint64_t oldest = 0;
    for (const Request& request : shared_requests()->rows) {
        if (request.state == RequestState::kQueued && (oldest == 0 || request.number < oldest)) oldest = request.number;
    }
    return oldest;
}

bool launch_job(BackupReason reason, std::uint64_t number) {
    SharedState* const state = shared_state();
    const StateLock lock(state, LW_EXCLUSIVE);
    BackupInfo& backup = state->backup;
    if (backup.phase != BackupPhase::kIdle) return false;
    if (Request* const request = find_request(number)) request->state = RequestState::kRunning;
    backup.phase = BackupPhase::kLaunched;
    backup.reason = reason;
    backup.request = number;
    backup.runner_pid = 0;
    backup.started_at = GetCurrentTimestamp();
    backup.copying_since = 0;
    backup.name.set("");
    backup.bytes_total = backup.bytes_done = backup.bytes_stored = backup.files_total = backup.files_done = 0;
    return true;
}

std::optional<Job> claim_job() {
    Job job;
    SharedState* const state = shared_state();
    if (state == nullptr) return std::nullopt;
    const StateLock lock(state, LW_EXCLUSIVE);
    BackupInfo& backup = state->backup;
    if (backup.phase != BackupPhase::kLaunched) return std::nullopt;
    backup.phase = BackupPhase::kStarting;
    backup.runner_pid = MyProcPid;
    job.reason = backup.reason;
    job.request = backup.request;
    if (const Request* const request = find_request(job.request)) {
        job.permanent = request->permanent;
        job.full = request->full;
        job.user_data = request->user_data.view();
    }
    return job;
}

void succeed_job(std::string_view name, std::uint64_t corrupt_pages) {
    add_event("backup", name, "finished",
              corrupt_pages > 0 ? std::to_string(corrupt_pages) + " corrupt pages" : std::string());
    SharedState* const state = shared_state();
    {
        const StateLock lock(state, LW_EXCLUSIVE);
        BackupInfo& backup = state->backup;
        if (Request* const request = find_request(backup.request)) {
            request->state = RequestState::kDone;
            request->backup.set(name);
        }
        backup.last_name.set(name);
        backup.last_finished_at = GetCurrentTimestamp();
        backup.last_corrupt_pages = corrupt_pages;
        backup.last_problem.clear();
        ++backup.finished_count;
        end_backup(backup);
    }
    ConditionVariableBroadcast(&state->changed);
}

bool fail_job(const Status& status) {
    SharedState* const state = shared_state();
    if (state == nullptr) return true;
    Text<128> failed{};
    bool skipped = status.is(Kind::kAlreadyExists) && RecoveryInProgress();
    {
        const StateLock lock(state, LW_EXCLUSIVE);
        BackupInfo& backup = state->backup;
        if (backup.phase == BackupPhase::kIdle) return true;
        failed = backup.name;
        if (Request* const request = find_request(backup.request)) {
            request->state = RequestState::kFailed;
            request->problem.set(status);
        }
        skipped = skipped && backup.request == 0;
        if (skipped) {
            backup.last_problem.clear();
        } else {
            backup.last_problem.set(status);
            backup.last_failed_at = GetCurrentTimestamp();
            backup.last_failed_reason = backup.reason;
            ++backup.failed_count;
        }
        end_backup(backup);
    }
    ConditionVariableBroadcast(&state->changed);
    add_event("backup", failed.view(), skipped ? "skipped" : "failed", status.message());
    return !skipped;
}

void forget_launch() {
    SharedState* const state = shared_state();
    const StateLock lock(state, LW_EXCLUSIVE);
    BackupInfo& backup = state->backup;
    if (backup.phase != BackupPhase::kLaunched) return;
    if (Request* const request = find_request(backup.request)) request->state = RequestState::kQueued;
    end_backup(backup);
}

}  // namespace forge::server
