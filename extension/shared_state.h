// What the processes of a preloaded server tell each other: health of the archiver, the running base backup, requests,
// and the texts that status() shows. Plain data in shared memory, guarded by one lock; no pointers into anybody's own
// memory.
//
// Without preloading there is none: shared_state() is null then, and every user copes with that.
#pragma once

#include "extension/compat.h"

namespace forge::server {

// A bounded text in shared memory; longer ones are cut at a character boundary.
template <std::size_t N>
struct Text {
    char data[N];
    void set(std::string_view text) {
        std::size_t length = std::min(text.size(), N - 1);
        if (length < text.size()) {
            while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
        }
        std::memcpy(data, text.data(), length);
        data[length] = '\0';
    }
    std::string_view view() const { return data; }
    bool empty() const { return data[0] == '\0'; }
};

using Message = Text<640>;

struct Problem {
    Text<16> kind;  // kind_name(); empty = none
    Message message;
    Message hint;
    void set(const Status& status) {
        kind.set(status.ok() ? std::string_view() : kind_name(status.kind()));
        message.set(status.message());
        hint.set(status.hint());
    }
    void clear() { *this = Problem{}; }
    bool empty() const { return kind.empty(); }
};

enum class StoreState : std::uint8_t { kUnknown, kOn, kOff, kError };

struct SettingRow {
    Text<48> name;
    Text<256> value;
    Text<160> source;
};
inline constexpr int kMaxSettingRows = 40;

// Of a data directory that was restored; without it `at` is 0.
struct RestoredInfo {
    Text<256> source;  // name of the cluster, else its prefix
    TimestampTz at;
    bool is_clone;  // the source is another cluster
};

// What a helper said about the settings, whoever asked last.
struct StoreInfo {
    StoreState state;
    Text<512> storage;
    Problem problem;  // with kError; with kOff: why, where there is a storage
    RestoredInfo restored;
    int setting_count;
    SettingRow settings[kMaxSettingRows];
};

// Failures of one class (kind_name()) since the server started.
struct ErrorRow {
    std::uint64_t count;
    Text<48> wal;  // of the last one
    TimestampTz at;
    Message message;
    Message hint;
};

struct ArchiverInfo {
    int pid;         // 0 = no archiver with our module runs
    int helper_pid;  // 0 = none
    std::uint64_t epoch;
    std::uint64_t archived_count;
    std::uint64_t failed_count;
    std::uint64_t dropped_count;  // accepted while the storage is off, or above backlog_limit
    std::uint64_t helper_starts;
    Text<48> last_archived;
    TimestampTz last_archived_at;
    Text<48> last_failed;
    TimestampTz last_failed_at;
    Problem problem;          // of the last failed attempt; cleared by success
    Text<8> conditional_put;  // "yes" or "no"; empty = not known yet
    Text<16> breaker;
    std::uint64_t breaker_failures;
    TimestampTz breaker_next_try;
    ErrorRow errors[kKindCount];  // by Kind
    Text<16> owner;                  // of the prefix: "ours", "foreign", "unknown"; empty = not asked for so far
    Message owner_detail;
    Problem owner_problem;
    void forget_owner() {
        owner.set("");
        owner_detail.set("");
        owner_problem.clear();
    }
};

// When nothing above `lsn` was there that a commit may need.
struct WrittenSample {
    XLogRecPtr lsn;
    TimestampTz first, last;  // seen
};
inline constexpr std::size_t kWrittenSamples = 64;

// What is known to be in the store, see extension/durability.h. Positions along the server's own lineage; 0 = unknown.
struct DurabilityInfo {
    XLogRecPtr complete_to;       // the last look into the store: all WAL up to here, from the newest backup on
    XLogRecPtr run_from, run_to;  // archived one after the other since, without a gap
    XLogRecPtr start_from;        // what earlier runs of the server had written
    TimeLineID timeline;          // the newest one seen
    bool look_wanted;             // only a look into the store can say how far it goes
    std::size_t sample_count;
    WrittenSample samples[kWrittenSamples];  // oldest first
};

// What was at risk at worst in a span of five minutes, as far as it was measured; the last day of them in a ring. See
// extension/risk_history.h.
inline constexpr std::chrono::seconds kRiskSpan{300};
inline constexpr std::uint64_t kRiskSpans = 288;
struct RiskSpan {
    TimestampTz from;  // a multiple of kRiskSpan
    std::uint64_t seconds, bytes;
};
struct RiskHistoryInfo {
    bool is_loaded;       // with what earlier runs of the server left
    std::uint64_t count;  // so far
    RiskSpan spans[kRiskSpans];
};
// Oldest first.
template <typename Take>
void for_each_risk_span(const RiskHistoryInfo& history, Take&& take) {
    for (std::uint64_t i = history.count - std::min(history.count, kRiskSpans); i < history.count; ++i)
        take(history.spans[i % kRiskSpans]);
}

// See extension/window.h. Positions as in DurabilityInfo; 0 = none.
struct CommitSample {
    XLogRecPtr lsn;  // end of the record
    TimestampTz at;
};
inline constexpr std::size_t kCommitSamples = 64;
struct WindowInfo {
    bool is_known;  // a look has said what follows
    Text<128> backup;  // the oldest one; empty = nothing can be restored
    CommitSample earliest, latest;
    TimestampTz looked_at;
    std::size_t sample_count;
    CommitSample samples[kCommitSamples];  // the last commits of segments archived since, oldest first
};

// The WAL that waits for the archiver, and the room there is for more.
struct Backlog {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;  // of segments; the other files are tiny
    XLogRecPtr first = InvalidXLogRecPtr;  // where the oldest segment begins; invalid = none waits
    TimestampTz first_finished_at = 0;     // when the server finished it
    std::optional<std::uint64_t> disk_free;  // bytes where pg_wal is, for the server's user; empty = the system does not say
};

// Measurements of the backlog, the newest of them in a ring.
struct BacklogSample {
    TimestampTz at;
    std::uint64_t bytes;
};
inline constexpr std::uint64_t kBacklogSamples = 20;
struct BacklogInfo {
    std::uint64_t count;  // so far
    BacklogSample samples[kBacklogSamples];
    TimestampTz recent_at;
    Backlog recent;
};

enum class GapState : std::uint8_t { kOpen, kBridged, kHealed };
struct GapRow {
    Text<48> first, last;  // file names
    std::uint64_t files;
    Text<32> reason;
    TimestampTz since, at;  // when it began and when it grew last
    GapState state;
};
inline constexpr std::uint64_t kMaxGaps = 64;
struct GapsInfo {
    std::uint64_t count;  // so far
    GapRow rows[kMaxGaps];
};
// Oldest first.
template <typename Take>
void for_each_gap(const GapsInfo& gaps, Take&& take) {
    for (std::uint64_t i = gaps.count - std::min(gaps.count, kMaxGaps); i < gaps.count; ++i) take(gaps.rows[i % kMaxGaps]);
}

struct EventRow {
    TimestampTz at;
    Text<16> kind;
    Text<128> subject;
    Text<16> outcome;
    Text<256> detail;
};
inline constexpr std::uint64_t kMaxEvents = 1000;
struct EventsInfo {
    bool is_loaded;       // with what earlier runs of the server left
    std::uint64_t count;  // so far
    std::uint64_t told;   // of them, to listeners
    EventRow rows[kMaxEvents];
};

enum class RequestState : std::uint8_t { kFree, kQueued, kRunning, kDone, kFailed };

struct Request {
    std::uint64_t number;  // from 1; grows
    RequestState state;
    bool permanent;
    bool full;  // no delta
    TimestampTz requested_at;
    Text<4096> user_data;
    Text<128> backup;
    Problem problem;
};
inline constexpr int kMaxRequests = 16;
struct RequestsInfo {
    std::uint64_t last;  // number of the newest one
    Request rows[kMaxRequests];
};

enum class BackupReason : std::uint8_t {
    kNone,
    kRequest,
    kSchedule,
    kFirst,
    kDeleted,
    kLineage,
    kDamaged,
    kGap,
    kMissed
};
enum class BackupPhase : std::uint8_t {
    kIdle,
    kLaunched,
    kStarting,
    kCheckpoint,
    kCopying,
    kWaitingForWal,
    kFinishing
};

// The base backup that is being made, and how the last one ended. A backup exists only once in a server.
struct BackupInfo {
    BackupPhase phase;
    BackupReason reason;
    std::uint64_t request;  // number, 0 = none
    int runner_pid;
    TimestampTz started_at;
    TimestampTz copying_since;
    Text<128> name;
    std::uint64_t bytes_total, bytes_done, bytes_stored, files_total, files_done;

    Text<128> last_name;
    TimestampTz last_finished_at;
    std::uint64_t last_corrupt_pages;
    Problem last_problem;  // of the last failed one; cleared by success
    TimestampTz last_failed_at;
    BackupReason last_failed_reason;
    std::uint64_t finished_count, failed_count;
};

struct SchedulerInfo {
    int pid;
    Latch* latch;  // in shared memory, valid in every process; null = not running
    TimestampTz next_run;
    TimestampTz retry_at;  // of a base backup that failed; 0 = none waits
    Problem problem;       // wrong schedule or time zone, helper that does not start
    Problem notify_problem;  // listeners that cannot be told about events
    Text<32> backups;      // "unknown", "none", "some"
    // The newest backup that leads to now, as the last look into the storage found it.
    Text<128> newest;
    TimestampTz newest_finished_at;
    TimestampTz looked_at;
    std::uint64_t holes;   // files of WAL missing since then, for good
    std::uint64_t healed;  // files that were archived again from pg_wal, so far
    std::uint64_t bytes_stored;  // below the prefix; measured for clones only
    TimestampTz measured_at;
};

// See extension/operations.h.
struct OperationRow {
    int pid;  // 0 = free
    Text<16> name;
    Text<128> subject;
    TimestampTz started_at;
    std::uint64_t bytes_total, bytes_done, objects_total, objects_done;  // totals are 0 until they are known
};
inline constexpr int kMaxOperations = 16;

// How the last look of retention ended, in the process that decides.
struct RetentionInfo {
    TimestampTz finished_at;
    Text<320> result;  // "2 backups, 48 objects, 1.2 GB removed"
    Problem problem;   // of the last look; cleared by success
};

// A key of the ring, in its order: the first one encrypts.
struct KeyRow {
    Text<16> fingerprint;
    Text<160> source;      // variable or file
    std::uint64_t opened;  // objects that helpers of this server read with it since it started
    TimestampTz last_opened;
    Text<8> needed;    // of an old key: "yes", "no", "unknown"; empty = nobody has looked
    Text<256> object;  // with "yes": one that only this key opens
    TimestampTz looked_at;
    std::uint64_t objects;  // that the last look had to look at
};
inline constexpr int kMaxKeys = 16;
struct KeysInfo {
    int count;
    KeyRow rows[kMaxKeys];
};

// See extension/statistics.h.
struct StatisticsInfo {
    TimestampTz since;  // reset or begun; 0 = what earlier runs had measured is not read yet
    bool is_kept;       // in the file
    Statistics wal, backup;
};

struct SharedState {
    static constexpr std::uint32_t kVersion = 14;
    std::uint32_t version;
    std::uint32_t size;
    LWLock* lock;
    ConditionVariable changed;  // a request or the running backup changed
    ConditionVariable durable;  // more WAL is known to be in the store
    StoreInfo store;
    ArchiverInfo archiver;
    BacklogInfo backlog;
    DurabilityInfo durability;
    RiskHistoryInfo risk_history;
    WindowInfo window;
    GapsInfo gaps;
    BackupInfo backup;
    SchedulerInfo scheduler;
    OperationRow operations[kMaxOperations];
    RetentionInfo retention;
    KeysInfo keys;
    StatisticsInfo statistics;
};

// Null when the library is not preloaded.
SharedState* shared_state();
// In memory of their own, guarded by the same lock: they are large, and most readers of the state do not want them.
EventsInfo* shared_events();
RequestsInfo* shared_requests();

// Chains the shared memory hooks. Called from _PG_init while preloading.
void request_shared_state();

// Holds the lock for a scope. Inside: nothing that can raise ERROR or throw.
class StateLock {
public:
    StateLock(const SharedState* state, LWLockMode mode) : lock_(state->lock) { LWLockAcquire(lock_, mode); }
    ~StateLock() { LWLockRelease(lock_); }
    StateLock(const StateLock&) = delete;
    StateLock& operator=(const StateLock&) = delete;

private:
    LWLock* lock_;
};

// Changes the state under its lock; nothing happens without preloading.
template <typename Change>
void update_state(Change&& change) {
    SharedState* const state = shared_state();
    if (state == nullptr) return;
    const StateLock lock(state, LW_EXCLUSIVE);
    change(*state);
}

// A copy to read without the lock; null without preloading. Rows that are not in use, beyond the count of their array, or
// with a count or pid of 0, are not copied: what the copy has there is undefined.
std::unique_ptr<SharedState> copy_state();

// Tells the scheduler that there is something to look at.
void wake_scheduler();

std::string_view state_name(StoreState state);
std::string_view phase_name(BackupPhase phase);
std::string_view reason_name(BackupReason reason);

}  // namespace forge::server
