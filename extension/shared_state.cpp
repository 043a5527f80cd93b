#include "extension/shared_state.h"

#include "extension/helper_link.h"

namespace forge::server {

static_assert(std::is_trivially_copyable_v<SharedState>, "shared memory holds plain data only");

namespace {

// Where the checkpoint of a clean shutdown lies, the last thing the server had written; invalid after any other end.
XLogRecPtr end_of_clean_shutdown() {
    bool whole = false;
    ControlFileData* const control = get_controlfile(DataDir, &whole);
    const bool clean = whole && control->state == DB_SHUTDOWNED;
    const XLogRecPtr end = clean ? control->checkPoint : InvalidXLogRecPtr;
    pfree(control);
    return end;
}


constexpr const char* kName = "forge_backup";

SharedState* g_state = nullptr;
EventsInfo* g_events = nullptr;
RequestsInfo* g_requests = nullptr;
shmem_request_hook_type g_previous_request = nullptr;
shmem_startup_hook_type g_previous_startup = nullptr;

extern "C" void forge_shmem_request() {
    if (g_previous_request != nullptr) g_previous_request();
    RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)) + MAXALIGN(sizeof(EventsInfo)) + MAXALIGN(sizeof(RequestsInfo)));
    RequestNamedLWLockTranche(kName, 1);
}

// Zeroed by whoever comes first.
template <typename Info>
Info* shared_info(const char* name, bool& found) {
    auto* const info = static_cast<Info*>(ShmemInitStruct(name, sizeof(Info), &found));
    if (!found) std::memset(static_cast<void*>(info), 0, sizeof(Info));
    return info;
}

extern "C" void forge_shmem_startup() {
    if (g_previous_startup != nullptr) g_previous_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found = false;
    auto* const events = shared_info<EventsInfo>("forge_backup events", found);
    auto* const requests = shared_info<RequestsInfo>("forge_backup requests", found);
    auto* const state = shared_info<SharedState>(kName, found);
    if (!found) {
        state->version = SharedState::kVersion;
        state->size = sizeof(SharedState);
        state->lock = &GetNamedLWLockTranche(kName)->lock;
        ConditionVariableInit(&state->changed);
        ConditionVariableInit(&state->durable);
        state->durability.start_from = end_of_clean_shutdown();
        state->scheduler.backups.set("unknown");
    }
    LWLockRelease(AddinShmemInitLock);
    // A process with another version of this library must not touch it.
    const bool fits = state->version == SharedState::kVersion && state->size == sizeof(SharedState);
    g_state = fits ? state : nullptr;
    g_events = fits ? events : nullptr;
    g_requests = fits ? requests : nullptr;
}

}  // namespace

SharedState* shared_state() { return g_state; }
EventsInfo* shared_events() { return g_events; }
RequestsInfo* shared_requests() { return g_requests; }

void request_shared_state() {
    g_previous_request = shmem_request_hook;
    shmem_request_hook = forge_shmem_request;
    g_previous_startup = shmem_startup_hook;
    shmem_startup_hook = forge_shmem_startup;
}

namespace {

// What a copy costs is the memory it touches, and most of that are rows that are not in use.
void copy_used(SharedState& copy, const SharedState& state) {
    const auto offset = [&](const void* place) {
        return static_cast<std::size_t>(static_cast<const char*>(place) - reinterpret_cast<const char*>(&state));
    };
    std::size_t copied = 0;
    const auto leave_out = [&](const void* from, const void* to) {
        std::memcpy(reinterpret_cast<char*>(&copy) + copied, reinterpret_cast<const char*>(&state) + copied, offset(from) - copied);
        copied = offset(to);
    };
    const auto copy_rows = [&](const auto& rows, std::uint64_t count) {
        leave_out(std::begin(rows) + std::min<std::uint64_t>(count, std::size(rows)), std::end(rows));
    };
    // In the order of the members.
    copy_rows(state.store.settings, static_cast<std::uint64_t>(state.store.setting_count));
    for (const ErrorRow& row : state.archiver.errors)
        if (row.count == 0) leave_out(&row.wal, &row + 1);
    copy_rows(state.durability.samples, state.durability.sample_count);
    copy_rows(state.risk_history.spans, state.risk_history.count);
    copy_rows(state.window.samples, state.window.sample_count);
    copy_rows(state.gaps.rows, state.gaps.count);
    for (const OperationRow& row : state.operations)
        if (row.pid == 0) leave_out(&row.name, &row + 1);
    copy_rows(state.keys.rows, static_cast<std::uint64_t>(state.keys.count));
    leave_out(&state + 1, &state + 1);
}

}  // namespace

std::unique_ptr<SharedState> copy_state() {
    SharedState* const state = shared_state();
    if (state == nullptr) return nullptr;
    auto copy = std::make_unique_for_overwrite<SharedState>();
    const StateLock lock(state, LW_SHARED);
    copy_used(*copy, *state);
    return copy;
}

void wake_scheduler() {
    SharedState* const state = shared_state();
    if (state == nullptr) return;
    Latch* latch = nullptr;
    {
        const StateLock lock(state, LW_SHARED);
        latch = state->scheduler.latch;
    }
    if (latch != nullptr) SetLatch(latch);
}

std::string_view state_name(StoreState state) {
    switch (state) {
        case StoreState::kUnknown: return "unknown";
        case StoreState::kOn: return "on";
        case StoreState::kOff: return "off";
        case StoreState::kError: return "error";
    }
    return "unknown";
}

std::string_view phase_name(BackupPhase phase) {
    switch (phase) {
        case BackupPhase::kIdle: return "idle";
        case BackupPhase::kLaunched:
        case BackupPhase::kStarting: return "starting";
        case BackupPhase::kCheckpoint: return "waiting for checkpoint";
        case BackupPhase::kCopying: return "copying";
        case BackupPhase::kWaitingForWal: return "waiting for WAL";
        case BackupPhase::kFinishing: return "finishing";
    }
    return "idle";
}

std::string_view reason_name(BackupReason reason) {
    switch (reason) {
        case BackupReason::kNone: return "none";
        case BackupReason::kRequest: return "request";
        case BackupReason::kSchedule: return "schedule";
        case BackupReason::kFirst: return "first";
        case BackupReason::kDeleted: return "deleted";
        case BackupReason::kLineage: return "lineage";
        case BackupReason::kDamaged: return "damaged";
        case BackupReason::kGap: return "gap";
        case BackupReason::kMissed: return "missed";
    }
    return "none";
}

}  // namespace forge::server
