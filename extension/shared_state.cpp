#include "extension/shared_state.h"

#include "extension/helper_link.h"
#include "extension/keys.h"

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

constexpr const char* kEventsName = "forge_backup events";

SharedState* g_state = nullptr;
EventsInfo* g_events = nullptr;
shmem_request_hook_type g_previous_request = nullptr;
shmem_startup_hook_type g_previous_startup = nullptr;

extern "C" void forge_shmem_request() {
    if (g_previous_request != nullptr) g_previous_request();
    RequestAddinShmemSpace(MAXALIGN(sizeof(SharedState)) + MAXALIGN(sizeof(EventsInfo)));
    RequestNamedLWLockTranche(kName, 1);
}

extern "C" void forge_shmem_startup() {
    if (g_previous_startup != nullptr) g_previous_startup();
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    bool found = false;
    auto* const state = static_cast<SharedState*>(ShmemInitStruct(kName, sizeof(SharedState), &found));
    if (!found) {
        std::memset(static_cast<void*>(state), 0, sizeof(SharedState));
        state->version = SharedState::kVersion;
        state->size = sizeof(SharedState);
        state->lock = &GetNamedLWLockTranche(kName)->lock;
        ConditionVariableInit(&state->changed);
        ConditionVariableInit(&state->durable);
        state->durability.start_from = end_of_clean_shutdown();
        state->scheduler.backups.set("unknown");
    }
    bool events_found = false;
    auto* const events = static_cast<EventsInfo*>(ShmemInitStruct(kEventsName, sizeof(EventsInfo), &events_found));
    if (!events_found) std::memset(static_cast<void*>(events), 0, sizeof(EventsInfo));
    LWLockRelease(AddinShmemInitLock);
    // A process with another version of this library must not touch it.
    const bool fits = state->version == SharedState::kVersion && state->size == sizeof(SharedState);
    g_state = fits ? state : nullptr;
    g_events = fits ? events : nullptr;
}

}  // namespace

SharedState* shared_state() { return g_state; }
EventsInfo* shared_events() { return g_events; }

void request_shared_state() {
    g_previous_request = shmem_request_hook;
    shmem_request_hook = forge_shmem_request;
    g_previous_startup = shmem_startup_hook;
    shmem_startup_hook = forge_shmem_startup;
}

std::unique_ptr<SharedState> copy_state() {
    SharedState* const state = shared_state();
    if (state == nullptr) return nullptr;
    auto copy = std::make_unique<SharedState>();
    const StateLock lock(state, LW_SHARED);
    std::memcpy(static_cast<void*>(copy.get()), state, sizeof(SharedState));
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

namespace {

constexpr std::string_view kCredentials = "s3_credentials";

// "instance metadata, role app, …" about the source "instance metadata".
bool says_more(std::string_view issued, std::string_view source) {
    return issued.size() > source.size() && issued.starts_with(source) && issued[source.size()] == ',';
}

}  // namespace

bool store_configured(SharedState& state, const protocol::Frame& frame) {
    using protocol::Tag;
    StoreInfo& store = state.store;
    const std::string_view said = frame.text(Tag::kState);
    const bool off = said == "off" || said == "clone";
    const StoreState now = said == "on" ? StoreState::kOn : off ? StoreState::kOff : StoreState::kError;
    const std::string_view storage = frame.text(Tag::kStorage);
    const bool changed =
        store.state != now || store.storage.view() != storage.substr(0, sizeof(store.storage.data) - 1);
    store.state = now;
    store.storage.set(storage);
    store.problem.clear();
    if (now == StoreState::kError || said == "clone") store.problem.set(status_of(frame));
    store.restored.source.set(frame.text(Tag::kSource));
    store.restored.at = instant_of(frame, Tag::kRestoredAt);
    store.restored.is_clone = frame.number(Tag::kClone) != 0;
    // What a helper said of the credentials it was issued stays when another one has not asked for any yet.
    Text<sizeof(SettingRow::value)> issued;
    issued.set(effective_setting(store, kCredentials));
    store.setting_count = 0;
    for (const std::string_view row : frame.all(Tag::kSetting)) {
        if (store.setting_count == kMaxSettingRows) break;
        const std::size_t first = row.find('\t');
        const std::size_t second = first == row.npos ? row.npos : row.find('\t', first + 1);
        if (second == row.npos) continue;
        SettingRow& setting = store.settings[store.setting_count++];
        setting.name.set(row.substr(0, first));
        setting.value.set(row.substr(first + 1, second - first - 1));
        setting.source.set(row.substr(second + 1));
        if (setting.name.view() == kCredentials && says_more(issued.view(), setting.value.view()))
            setting.value.set(issued.view());
    }
    if (now != StoreState::kError) store_ring(state.keys, frame);
    return changed;
}

std::string_view effective_setting(const StoreInfo& store, std::string_view name) {
    for (int i = 0; i < store.setting_count; ++i)
        if (store.settings[i].name.view() == name) return store.settings[i].value.view();
    return {};
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
