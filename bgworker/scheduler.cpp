// The scheduler: one static worker that is always there and cheap. It decides when a base backup is made: somebody
// asked, the schedule says so, or no restore to now would be possible with what the storage has. It starts a runner for
// each, one at a time, and looks at how it ended. It also has WAL archived again that the storage lacks, and measures
// the backlog.
//
// WAL, and backups that mend something, belong to the primary. Scheduled ones are made by the members that backup_from
// names; where no standby makes them, the primary steps in. A standby serves requests in any case.
#include "bgworker/archive_look.h"
#include "bgworker/dynamic_worker.h"
#include "bgworker/job.h"
#include "bgworker/key_search.h"
#include "bgworker/notifier.h"
#include "bgworker/retention.h"
#include "bgworker/schedule.h"
#include "extension/backlog.h"
#include "extension/configured.h"
#include "extension/durability.h"
#include "extension/events.h"
#include "extension/keys.h"
#include "extension/restored.h"
#include "extension/risk_history.h"
#include "extension/settings.h"
#include "extension/statistics.h"

extern "C" PGDLLEXPORT void forge_scheduler_main(Datum argument);

namespace forge::server {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Promotion wakes nobody: a standby looks for it.
constexpr seconds kStandbyPause{5};
constexpr seconds kIdlePause{60};
constexpr seconds kFirstRetry{60};
constexpr seconds kLongestRetry{1800};
// Retention follows each base backup, and comes once a day besides; not at once after a start, which may be one of
// many.
constexpr seconds kFirstRetention{600};
constexpr std::chrono::hours kRetentionInterval{24};
constexpr seconds kFirstRetentionRetry{300};
constexpr seconds kLongestRetentionRetry{3600};
constexpr milliseconds kRetentionPause{200};
// An old key is needed until it is not: one request each answers that.
constexpr seconds kKeySearchInterval{600};
constexpr seconds kFirstKeySearchRetry{60};
constexpr seconds kFirstCheckRetry{5};
constexpr seconds kLongestCheckRetry{30};
// Reading the manifest of the newest backup as well, besides listing.
constexpr std::chrono::hours kContentsPause{1};
// A run of the schedule counts as missed only after this: whoever makes the backup needs a moment to begin.
constexpr std::int64_t kMissedAfterMinutes = 2;
// Less time than this until the disk is full is worth a warning.
constexpr double kDiskFullSoon = 3600;

std::int64_t minute_now() { return static_cast<std::int64_t>(time(nullptr)) / SECS_PER_MINUTE; }

// A pause that doubles from failure to failure.
class Backoff {
public:
    Backoff(seconds first, seconds longest) : first_(first), longest_(longest), pause_(first) {}
    void fail() {
        at_ = deadline_in(pause_);
        pause_ = std::min(pause_ * 2, longest_);
    }
    void reset() {
        at_ = Deadline{};
        pause_ = first_;
    }
    bool passed() const { return SteadyClock::now() >= at_; }
    Deadline at() const { return at_; }

private:
    seconds first_;
    seconds longest_;
    seconds pause_;
    Deadline at_{};
};

// What a look says about how far the WAL in the store goes. `finished`: when the look began. What waits may be there all
// the same: after a promotion the server archives once more what the primary before it has archived.
void note_complete(const FinishedWal& finished, const ArchiveLook& look) {
    if (look.state != ArchiveLook::State::kBackup || finished.written_to == InvalidXLogRecPtr)
        return note_look(InvalidXLogRecPtr, false);
    XLogRecPtr complete = look.waiting == 0 ? finished.written_to : finished.not_waiting_to;
    bool all_there = true;
    const auto lacks = [&](const std::string& name) {
        const auto start = segment_start(name);
        if (!start) return;
        complete = std::min(complete, *start);
        all_there = false;
    };
    for (const Gap& hole : look.holes) lacks(hole.first);
    for (const std::string& name : look.on_disk) lacks(name);
    note_look(complete, all_there);
}

class Scheduler {
public:
    // One look at everything; returns how long nothing needs to be looked at.
    milliseconds tick();
    void settings_reloaded();

private:
    enum class Backups { kUnknown, kNone, kSome };

    void notice_promotion();
    void notice_store();
    void notice_runner();
    static std::string stored_in();
    static bool is_clone();
    void judge_finished_backup(const BackupInfo& backup);
    void look_at_store();
    Status interrupted() const;
    bool may_look() const { return !runner_.known() && interrupted().ok(); }
    void judge(const ArchiveLook& look);
    BackupReason reason_for_backup(const ArchiveLook& look);
    bool missed(const ArchiveLook& look) const;
    bool makes_scheduled() const;
    bool is_scheduled(BackupReason reason) const {
        return reason == BackupReason::kSchedule || reason == BackupReason::kMissed;
    }
    bool somebody_else_made_it(const ArchiveLook& look) const;
    void skip_backup(const ArchiveLook& look);
    void want_backup(BackupReason reason, const ArchiveLook& look);
    void heal(const ArchiveLook& look);
    void report_lost(const std::vector<Gap>& holes);
    void measure_backlog();
    void follow_schedule();
    void start_backup();
    void follow_retention();
    bool may_retain() const;
    void follow_keys();
    void tell_unneeded(const std::string& key);
    std::vector<std::string> keys_to_ask_for();
    void launch(BackupReason reason, std::uint64_t request);
    void remind_of_restore();
    void wake_archiver();
    Status current_problem() const;
    void publish();
    void report(const Status& status);
    bool may_start_by_itself() const;
    milliseconds pause() const;

    Schedule schedule_;
    Status schedule_problem_;
    std::string reported_;  // what was logged last
    bool in_recovery_ = RecoveryInProgress();

    StoreState store_ = StoreState::kUnknown;
    std::string storage_;
    bool breaker_was_open_ = false;
    Backups backups_ = Backups::kUnknown;
    bool look_wanted_ = true;
    Deadline next_look_{};  // without another reason
    Deadline next_contents_{};
    Status look_problem_;
    Backoff look_retry_{kFirstCheckRetry, kLongestCheckRetry};
    std::string healing_from_;        // first file that is archived again; empty = none waits
    bool switched_on_ = false;        // since the last backup
    std::int64_t excused_until_ = 0;  // runs of the schedule up to this minute are not made up for

    RestoredReminder reminder_;

    Deadline next_measurement_{};
    bool disk_fills_ = false;

    enum class BackupFrom { kPrimary, kStandby, kAny } backup_from_ = BackupFrom::kPrimary;
    BackupReason wanted_ = BackupReason::kNone;  // a backup nobody asked for by hand
    std::int64_t due_minute_ = 0;                // of the scheduled one
    Deadline not_before_{};                      // its jitter
    bool looked_since_due_ = false;
    Backoff backup_retry_{kFirstRetry, kLongestRetry};

    RetentionRun retention_;
    Deadline retention_at_ = deadline_in(kFirstRetention);
    Backoff retention_retry_{kFirstRetentionRetry, kLongestRetentionRetry};

    Notifier notifier_;

    KeySearch key_search_;
    std::vector<std::string> asked_keys_;  // by the last search
    Deadline keys_at_{};
    Backoff keys_retry_{kFirstKeySearchRetry, kKeySearchInterval};

    DynamicWorker runner_;
    std::uint64_t finished_before_ = 0;  // finished_count at the launch
    bool launched_in_recovery_ = false;
    std::string launched_into_;
    bool look_again_ = false;
    TimestampTz woken_for_ = 0;  // the archiver, for this end of the breaker's pause
};

void Scheduler::settings_reloaded() {
    look_wanted_ = true;
    look_retry_.reset();
    backup_retry_.reset();
    keys_retry_.reset();
    keys_at_ = Deadline{};
    notifier_.settings_reloaded();
}

void Scheduler::notice_promotion() {
    const bool now = RecoveryInProgress();
    if (in_recovery_ && !now) {
        add_event("promotion", {}, "primary");
        note_start_of_writing(true);
        look_wanted_ = true;
        look_retry_.reset();
    }
    in_recovery_ = now;
}

// The archiver's helper may have noticed first that the configuration is another one, or that the store is back.
void Scheduler::notice_store() {
    StoreState now = store_;
    std::string storage;
    bool open = false;
    update_state([&](SharedState& state) {
        now = state.store.state;
        storage = state.store.storage.view();
        if (std::exchange(state.durability.look_wanted, false)) look_wanted_ = true;
        open = !state.archiver.breaker.empty() && state.archiver.breaker.view() != "closed";
    });
    const bool back = breaker_was_open_ && !open;
    breaker_was_open_ = open;
    const bool another = std::exchange(storage_, storage) != storage;
    if (now == store_ && !back && !another) return;
    look_wanted_ = true;
    look_retry_.reset();
    if (back || another) backup_retry_.reset();
}

void Scheduler::notice_runner() {
    if (!runner_.notice_end()) return;
    // One that could not even start has not told anybody.
    fail_job(Status(Kind::kUnavailable, "the worker of the base backup could not run",
                    "Earlier lines of the server's log may say why."));
    BackupInfo backup{};
    update_state([&](SharedState& state) { backup = state.backup; });
    judge_finished_backup(backup);
}

std::string Scheduler::stored_in() {
    std::string storage;
    update_state([&](const SharedState& state) { storage = state.store.storage.view(); });
    return storage;
}

bool Scheduler::is_clone() {
    bool is = false;
    update_state([&](SharedState& state) { is = state.store.restored.is_clone; });
    return is;
}

void Scheduler::judge_finished_backup(const BackupInfo& backup) {
    if (backup.finished_count > finished_before_) {
        backups_ = Backups::kSome;
        wanted_ = BackupReason::kNone;
        switched_on_ = false;
        look_wanted_ = true;  // at what it bridges
        backup_retry_.reset();
        retention_at_ = Deadline{};
        if (is_clone()) next_contents_ = Deadline{};  // its size is shown
        return;
    }
    if (launched_in_recovery_ && !RecoveryInProgress()) {
        wanted_ = BackupReason::kSchedule;  // the promotion broke it: once more, on the new timeline
        return;
    }
    if (wanted_ == BackupReason::kNone) return;
    if (stored_in() != launched_into_) {
        look_wanted_ = true;  // what it failed for is over: the next one goes to where nothing has failed so far
        return;
    }
    // Somebody who cancels a backup does not want the same one a minute later, nor would a standby that skipped one have
    // anything newer then.
    const bool skipped = backup.last_problem.empty();
    const bool cancelled = backup.last_problem.kind.view() == kind_name(Kind::kCancelled);
    if ((skipped || cancelled) && is_scheduled(wanted_)) {
        wanted_ = BackupReason::kNone;
        excused_until_ = minute_now();
    }
    backup_retry_.fail();
    looked_since_due_ = false;  // whoever had the lease may have made it
}

// A store that answers slowly must not hold up what somebody waits for.
Status Scheduler::interrupted() const {
    const bool requested = !runner_.known() && next_request() != 0;
    if (!ShutdownRequestPending && !ConfigReloadPending && !requested) return {};
    return Status(Kind::kCancelled, "there is something else to do first");
}

// Off and wrong configurations are looked at again as well: an env directory may appear without a reload.
void Scheduler::look_at_store() {
    const bool again = store_ == StoreState::kOff || store_ == StoreState::kError;
    const bool before_backup = is_scheduled(wanted_) && backup_from_ != BackupFrom::kPrimary && !looked_since_due_ &&
                               backup_retry_.passed() && SteadyClock::now() >= not_before_;
    const bool due = SteadyClock::now() >= next_look_ || before_backup;
    if (!may_look() || (!look_wanted_ && !again && !due) || !look_retry_.passed()) return;
    const StoreState before = store_;
    const bool contents = SteadyClock::now() >= next_contents_ && !in_recovery_;
    // The waits of the link swallow what others wanted to tell by the latch.
    look_again_ = true;
    const FinishedWal finished = in_recovery_ ? FinishedWal() : finished_wal();
    const auto look = look_at_archive(contents, [this] { return interrupted(); });
    update_state([&](SharedState& state) {
        store_ = state.store.state;
        const std::string_view from = effective_setting(state.store, "backup_from");
        backup_from_ = from == "standby" ? BackupFrom::kStandby
                       : from == "any"   ? BackupFrom::kAny
                                         : BackupFrom::kPrimary;
    });
    if (look.status().is(Kind::kCancelled)) return;
    const bool had_problem = !look_problem_.ok();
    look_problem_ = look.status();
    if (!look.ok() || store_ != StoreState::kOn) {
        look_retry_.fail();
        return;
    }
    look_wanted_ = false;
    look_retry_.reset();
    next_look_ = deadline_in(milliseconds(settings.check_interval));
    if (contents) next_contents_ = deadline_in(kContentsPause);
    if (had_problem) backup_retry_.reset();
    // Switched on again: what was dropped meanwhile makes every older backup a dead end.
    if (before == StoreState::kOff) switched_on_ = true;
    if (SteadyClock::now() >= not_before_) looked_since_due_ = true;
    note_complete(finished, *look);
    if (look->window) note_window(*look->window, look->state != ArchiveLook::State::kNoBackups);
    judge(*look);
}

void Scheduler::judge(const ArchiveLook& look) {
    if (!in_recovery_) heal(look);
    if (wanted_ == BackupReason::kSchedule && somebody_else_made_it(look)) skip_backup(look);
    want_backup(reason_for_backup(look), look);
    backups_ = look.state == ArchiveLook::State::kNoBackups ? Backups::kNone : Backups::kSome;
    std::uint64_t lost = 0;
    for (const Gap& hole : look.holes) lost += hole.files;
    update_state([&](SharedState& state) {
        SchedulerInfo& info = state.scheduler;
        info.newest.set(look.state == ArchiveLook::State::kBackup ? std::string_view(look.backup) : std::string_view());
        info.newest_finished_at = look.state == ArchiveLook::State::kBackup ? look.finished_at : 0;
        info.looked_at = GetCurrentTimestamp();
        if (look.bytes_stored) {
            info.bytes_stored = *look.bytes_stored;
            info.measured_at = info.looked_at;
        }
        info.holes = lost;
    });
}

bool Scheduler::makes_scheduled() const {
    return backup_from_ == BackupFrom::kAny || (backup_from_ == BackupFrom::kStandby) == in_recovery_;
}

bool Scheduler::missed(const ArchiveLook& look) const {
    if (look.state != ArchiveLook::State::kBackup || look.started_at == 0) return false;
    const std::int64_t jitter = std::chrono::ceil<std::chrono::minutes>(Schedule::jitter()).count();
    const std::int64_t grace = kMissedAfterMinutes + jitter + (makes_scheduled() ? 0 : settings.stand_in_after);
    const auto minute = static_cast<std::int64_t>(timestamptz_to_time_t(look.started_at)) / SECS_PER_MINUTE;
    return schedule_.missed_since(std::max(minute, excused_until_), minute_now(), grace);
}

// The primary never waits for others with the backups it makes alone.
bool Scheduler::somebody_else_made_it(const ArchiveLook& look) const {
    if (backup_from_ == BackupFrom::kPrimary || look.state != ArchiveLook::State::kBackup) return false;
    return timestamptz_to_time_t(look.started_at) / SECS_PER_MINUTE >= due_minute_;
}

void Scheduler::skip_backup(const ArchiveLook& look) {
    wanted_ = BackupReason::kNone;
    // Having come second is no problem, nor that a standby has nothing newer than its last backup.
    update_state([](SharedState& state) {
        Problem& problem = state.backup.last_problem;
        for (const Kind kind : {Kind::kConflict, Kind::kAlreadyExists})
            if (problem.kind.view() == kind_name(kind)) problem.clear();
    });
    add_event("backup", look.backup, "skipped", "another member made the scheduled base backup");
    call_server([&] {
        ereport(LOG, (errmsg("forge_backup: another member has made the scheduled base backup, \"%s\"", look.backup.c_str())));
    });
}

// What mends something is the primary's to make.
BackupReason Scheduler::reason_for_backup(const ArchiveLook& look) {
    if (in_recovery_) return makes_scheduled() && missed(look) ? BackupReason::kMissed : BackupReason::kNone;
    switch (look.state) {
        case ArchiveLook::State::kNoBackups:
            return backups_ == Backups::kSome ? BackupReason::kDeleted : BackupReason::kFirst;
        case ArchiveLook::State::kForeign: return BackupReason::kLineage;
        case ArchiveLook::State::kDamaged: return BackupReason::kDamaged;
        case ArchiveLook::State::kBackup: break;
    }
    if (!look.holes.empty()) return BackupReason::kGap;
    if (switched_on_) return BackupReason::kFirst;
    return missed(look) ? BackupReason::kMissed : BackupReason::kNone;
}

// A reason that has gone, because somebody else made the backup, goes from here as well.
void Scheduler::want_backup(BackupReason reason, const ArchiveLook& look) {
    if (wanted_ == BackupReason::kSchedule || wanted_ == reason) return;
    wanted_ = reason;
    std::string problem = look.problem;
    if (reason == BackupReason::kDeleted) problem = "the base backups are gone from the store";
    if (reason == BackupReason::kMissed) problem = "the base backup that was due has not been made";
    if (reason == BackupReason::kGap)
        call_server([] { ereport(LOG, (errmsg("forge_backup: a base backup is made to bridge missing WAL"))); });
    if (problem.empty() || reason == BackupReason::kNone) return;
    call_server([&] {
        ereport(WARNING, (errmsg("forge_backup: %s", problem.c_str()), errhint("A new base backup is made now.")));
    });
}

// Files that only look archived: a standby marks what it streamed as done, and after a failover nobody else has it.
void Scheduler::heal(const ArchiveLook& look) {
    const std::uint64_t marked = archive_again(look.on_disk);
    if (marked > 0) {
        update_state([&](SharedState& state) { state.scheduler.healed += marked; });
        if (healing_from_.empty()) healing_from_ = look.on_disk.front();
        add_event("healing", look.on_disk.front(), "started", std::to_string(marked) + " files are archived again");
        call_server([&] {
            ereport(LOG,
                    (errmsg_plural("forge_backup: %llu file missing in the store is archived again, from \"%s\" on",
                                   "forge_backup: %llu files missing in the store are archived again, from \"%s\" on",
                                   marked, static_cast<unsigned long long>(marked), look.on_disk.front().c_str())));
        });
        look_wanted_ = true;  // at whether it came to something
        look_retry_.fail();
    }
    report_lost(look.holes);
    const bool settled = look.on_disk.empty() && look.waiting == 0;
    if (settled && !healing_from_.empty()) add_event("healing", std::exchange(healing_from_, {}), "finished");
    if (settled && look.state == ArchiveLook::State::kBackup) settle_gaps(look.first_file, look.holes);
}

void Scheduler::report_lost(const std::vector<Gap>& holes) {
    for (const Gap& hole : holes) {
        if (is_known_gap(hole)) continue;
        const Status recorded = record_gap(hole);
        add_event("gap", hole.first, "lost", "to " + hole.last);
        call_server([&] {
            ereport(WARNING,
                    (errmsg("forge_backup: WAL from \"%s\" to \"%s\" is lost: neither the store nor pg_wal has it",
                            hole.first.c_str(), hole.last.c_str()),
                     recorded.ok() ? 0 : errdetail("%s", recorded.message().c_str()),
                     errhint("Recovery through it is not possible; a base backup is made now.")));
        });
    }
}

void Scheduler::measure_backlog() {
    if (SteadyClock::now() < next_measurement_) return;
    next_measurement_ = deadline_in(kBacklogPause);
    const Backlog backlog = count_backlog();
    note_backlog(backlog);
    keep_statistics();
    if (!in_recovery_) note_written();
    const auto state = copy_state();
    note_risk(*state);
    const auto left = seconds_to_full_disk(*state, backlog);
    const bool fills = left && *left < kDiskFullSoon;
    if (fills && !disk_fills_) {
        call_server([&] {
            ereport(WARNING,
                    (errmsg("forge_backup: WAL that waits for the store fills the disk in about %d minutes",
                            static_cast<int>(*left / SECS_PER_MINUTE)),
                     errdetail("%llu files wait.", static_cast<unsigned long long>(backlog.files)),
                     errhint("Look at forge_backup.archive_status; forge_backup.backlog_limit can give up WAL before "
                             "the disk is full.")));
        });
    }
    disk_fills_ = fills;
}

void Scheduler::follow_schedule() {
    schedule_problem_ = schedule_.read();
    // The clock goes on where others make the backups, so that a promotion does not start what was missed.
    if (!schedule_.due(minute_now()) || !makes_scheduled()) return;
    wanted_ = BackupReason::kSchedule;
    due_minute_ = minute_now();
    not_before_ = deadline_in(Schedule::jitter());
    looked_since_due_ = false;
    backup_retry_.reset();
}

bool Scheduler::may_start_by_itself() const {
    if (wanted_ == BackupReason::kNone || store_ != StoreState::kOn || !backup_retry_.passed()) return false;
    if (!in_recovery_ && !XLogArchivingActive()) return false;
    if (!is_scheduled(wanted_)) return !in_recovery_;
    const bool looked = backup_from_ == BackupFrom::kPrimary || looked_since_due_;
    return looked && SteadyClock::now() >= not_before_ && (makes_scheduled() || !in_recovery_);
}

void Scheduler::start_backup() {
    if (runner_.known()) return;
    if (const std::uint64_t request = next_request(); request != 0)
        launch(BackupReason::kRequest, request);
    else if (may_start_by_itself())
        launch(wanted_, 0);
}

bool Scheduler::may_retain() const {
    // A copy that does not archive has no business in the prefix it came from.
    if (in_recovery_ || !XLogArchivingActive() || store_ != StoreState::kOn || settings.retain == 0) return false;
    bool idle = true;
    update_state([&](SharedState& state) { idle = state.backup.phase == BackupPhase::kIdle; });
    return idle && !runner_.known() && next_request() == 0 && !may_start_by_itself();
}

// Gives way to a base backup, and takes up again after it.
void Scheduler::follow_retention() {
    if (!retention_.running()) {
        if (SteadyClock::now() < retention_at_ || !retention_retry_.passed() || !may_retain()) return;
        retention_.start([this] { return interrupted(); });
        look_again_ = true;
    } else if (!may_retain()) {
        return retention_.stop();
    }
    const auto end = retention_.look();
    if (!end || end->is(Kind::kCancelled)) return;
    retention_at_ = deadline_in(kRetentionInterval);
    if (end->ok()) return retention_retry_.reset();
    retention_retry_.fail();
    retention_at_ = retention_retry_.at();
}

// Old keys that may still be needed. The primary looks, which is one member of a cluster.
std::vector<std::string> Scheduler::keys_to_ask_for() {
    std::vector<std::string> wanted;
    if (in_recovery_ || !XLogArchivingActive() || store_ != StoreState::kOn) return wanted;
    const auto state = copy_state();
    return keys_to_search(state->keys);
}

void Scheduler::follow_keys() {
    if (!key_search_.running()) {
        std::vector<std::string> wanted = keys_to_ask_for();
        // Another ring is searched for at once.
        const bool due = SteadyClock::now() >= keys_at_ || wanted.size() > asked_keys_.size();
        if (wanted.empty()) asked_keys_.clear();
        if (wanted.empty() || !due || !keys_retry_.passed() || !interrupted().ok()) return;
        asked_keys_ = std::move(wanted);
        key_search_.start(asked_keys_, [this] { return interrupted(); });
        look_again_ = true;
    }
    const auto end = key_search_.look();
    if (!end) return;
    if (end->is(Kind::kCancelled)) {
        asked_keys_.clear();
        return keys_retry_.fail();
    }
    keys_at_ = deadline_in(kKeySearchInterval);
    if (end->ok())
        keys_retry_.reset();
    else
        keys_retry_.fail();
    if (!end->ok()) keys_at_ = keys_retry_.at();
    for (const std::string& key : std::exchange(asked_keys_, keys_to_ask_for())) tell_unneeded(key);
}

// Once: afterwards nobody asks for the key again.
void Scheduler::tell_unneeded(const std::string& key) {
    if (std::any_of(asked_keys_.begin(), asked_keys_.end(), [&](const std::string& one) {
            return one.substr(0, one.find('\t')) == key.substr(0, key.find('\t'));
        }))
        return;
    const std::string fingerprint = key.substr(0, key.find('\t'));
    const auto state = copy_state();
    for (int i = 1; i < state->keys.count; ++i) {
        const KeyRow& row = state->keys.rows[i];
        if (row.fingerprint.view() != fingerprint || row.needed.view() != "no") continue;
        call_server([&] {
            ereport(LOG, (errmsg("forge_backup: encryption key %s is no longer needed: none of %llu objects was "
                                 "encrypted with it",
                                 fingerprint.c_str(), static_cast<unsigned long long>(row.objects)),
                          errhint("You may remove it from the key ring.")));
        });
    }
}

void Scheduler::launch(BackupReason reason, std::uint64_t request) {
    // A runner of an earlier scheduler may still be at work; its end is noticed by the next look.
    if (!launch_job(reason, request)) return;
    update_state([&](SharedState& state) { finished_before_ = state.backup.finished_count; });
    launched_in_recovery_ = in_recovery_;
    launched_into_ = stored_in();
    if (runner_.start("forge_backup backup", "forge_runner_main", BgWorkerStart_ConsistentState)) return;
    fail_job(Status(Kind::kExhausted, "no background worker is free for the base backup",
                    "Increase max_worker_processes by 3 for forge_backup."));
    if (request == 0) backup_retry_.fail();
}

// Once the store was looked at. On the member that archives only, or each would say it.
void Scheduler::remind_of_restore() {
    if (in_recovery_ || look_wanted_ || store_ != StoreState::kOn || !XLogArchivingActive()) return;
    const auto state = copy_state();
    reminder_.look_at_clone(state->store.restored, stored_text(*state));
    reminder_.look_at_restored(state->store.restored, state->scheduler);
}

// The archiver sleeps for up to a minute after a failure. When the breaker would let a call through again, it need not.
void Scheduler::wake_archiver() {
    TimestampTz next_try = 0;
    update_state([&](SharedState& state) { next_try = state.archiver.breaker_next_try; });
    if (next_try == 0 || next_try == woken_for_ || next_try > GetCurrentTimestamp()) return;
    woken_for_ = next_try;
    PgArchWakeup();
}

void Scheduler::report(const Status& status) {
    // A store that is gone words its failures differently each time, and once is enough.
    const std::string message = status.message();
    const std::string state = status.retryable() ? std::string(kind_name(status.kind())) : message;
    if (state == reported_) return;
    reported_ = state;
    if (status.ok()) return;
    call_server([&] {
        ereport(WARNING, (errmsg("forge_backup: %s", message.c_str()),
                          status.hint().empty() ? 0 : errhint("%s", status.hint().c_str())));
    });
}

Status Scheduler::current_problem() const {
    if (!schedule_problem_.ok()) return schedule_problem_;
    if (!look_problem_.ok()) return look_problem_;
    if (store_ == StoreState::kOn && !XLogArchivingActive())
        return Status(Kind::kInvalid, "WAL is not archived, so no base backups are made",
                      "Set archive_mode to \"on\" and restart the server.");
    return {};
}

void Scheduler::publish() {
    const TimestampTz next = makes_scheduled() ? schedule_.next(minute_now()) : 0;
    const Status problem = current_problem();
    TimestampTz retry = 0;
    if (wanted_ != BackupReason::kNone && !runner_.known() && !backup_retry_.passed()) {
        const auto wait =
            std::chrono::duration_cast<std::chrono::microseconds>(backup_retry_.at() - SteadyClock::now());
        retry = GetCurrentTimestamp() + wait.count();
    }
    update_state([&](SharedState& state) {
        state.scheduler.next_run = next;
        state.scheduler.problem.set(problem);
        state.scheduler.retry_at = retry;
        state.scheduler.backups.set(backups_ == Backups::kSome   ? "some"
                                    : backups_ == Backups::kNone ? "none"
                                                                 : "unknown");
    });
    report(problem);
}

milliseconds Scheduler::pause() const {
    const auto now = SteadyClock::now();
    Deadline next = now + kIdlePause;
    if (in_recovery_) next = std::min(next, now + kStandbyPause);
    const auto consider = [&](Deadline at) { next = std::min(next, std::max(at, now)); };
    const bool look_again = look_wanted_ || store_ == StoreState::kOff || store_ == StoreState::kError;
    if (may_look()) consider(look_again ? look_retry_.at() : std::max(next_look_, look_retry_.at()));
    consider(next_measurement_);
    consider(notifier_.wanted_at());
    if (retention_.running() || key_search_.running()) consider(now + kRetentionPause);
    if (!asked_keys_.empty() && !key_search_.running()) consider(std::max(keys_at_, keys_retry_.at()));
    if (!in_recovery_ && retention_at_ > now) consider(retention_at_);
    if (wanted_ != BackupReason::kNone && !runner_.known() && !backup_retry_.passed()) consider(backup_retry_.at());
    if (is_scheduled(wanted_) && !runner_.known() && not_before_ > now) consider(not_before_);
    // To the next full minute, for the schedule; a little late rather than a little early.
    const auto into_minute = std::chrono::system_clock::now().time_since_epoch() % std::chrono::minutes(1);
    consider(now + std::chrono::duration_cast<milliseconds>(std::chrono::minutes(1) - into_minute) + milliseconds(20));
    TimestampTz next_try = 0;
    update_state([&](SharedState& state) { next_try = state.archiver.breaker_next_try; });
    if (next_try != 0 && next_try != woken_for_)
        consider(now + milliseconds((next_try - GetCurrentTimestamp()) / 1000));
    return std::chrono::duration_cast<milliseconds>(next - now) + milliseconds(1);
}

milliseconds Scheduler::tick() {
    look_again_ = false;
    notice_promotion();
    notice_store();
    notice_runner();
    follow_schedule();
    look_at_store();
    follow_retention();
    follow_keys();
    start_backup();
    wake_archiver();
    remind_of_restore();
    measure_backlog();
    notifier_.follow(in_recovery_);
    publish();
    return look_again_ ? milliseconds(0) : pause();
}

extern "C" void forge_scheduler_exit(int, Datum) {
    SharedState* const state = shared_state();
    if (state == nullptr) return;
    LWLockAcquire(state->lock, LW_EXCLUSIVE);
    state->scheduler.pid = 0;
    state->scheduler.latch = nullptr;
    LWLockRelease(state->lock);
}

void prepare_worker() {
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "forge_backup scheduler", ALLOCSET_SMALL_SIZES));
    before_shmem_exit(forge_scheduler_exit, 0);
    SharedState* const state = shared_state();
    if (state == nullptr)
        ereport(ERROR, (errmsg("forge_backup: another version of the library is loaded in the server"),
                        errhint("Restart the server.")));
    LWLockAcquire(state->lock, LW_EXCLUSIVE);
    state->scheduler.pid = MyProcPid;
    state->scheduler.latch = MyLatch;
    LWLockRelease(state->lock);
}

// Never leaves by a return: exit code 0 would mean that the scheduler is done for good.
[[noreturn]] void loop() {
    Scheduler* scheduler = nullptr;
    for (;;) {
        milliseconds pause{1000};
        const Failure failure = run_caught([&] {
            if (scheduler == nullptr) {
                forget_launch();
                load_gaps();
                load_events();
                load_statistics();
                load_risk_history();
                note_start_of_writing(false);
                scheduler = new Scheduler();
            }
            call_server([] { CHECK_FOR_INTERRUPTS(); });
            if (ConfigReloadPending) {
                ConfigReloadPending = false;
                call_server([] { ProcessConfigFile(PGC_SIGHUP); });
                scheduler->settings_reloaded();
            }
            pause = scheduler->tick();
        });
        if (failure.failed) {
            LWLockReleaseAll();
            ConditionVariableCancelSleep();
            ereport(LOG, (errmsg("forge_backup: scheduler: %s", failure.message)));
            if (failure.server_error != nullptr) FreeErrorData(failure.server_error);
        }
        if (ShutdownRequestPending) {
            (void)run_caught([] {
                keep_statistics();
                keep_risk_history();
            });
            proc_exit(1);
        }
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, static_cast<long>(pause.count()),
                        wait_event());
        ResetLatch(MyLatch);
    }
}

}  // namespace

}  // namespace forge::server

void forge_scheduler_main(Datum) {
    forge::server::prepare_worker();
    forge::server::loop();
}
