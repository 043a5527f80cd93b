// The runner: one dynamic background worker for one base backup, connected to no database. It holds backup mode and
// talks to a helper that reads and stores the files; pg_cancel_backend() cancels it, pg_stat_progress_basebackup shows
// it.
//
// Whatever fails before the helper's last answer leaves no backup: backup mode is ended, the helper removes what it
// stored.
#include "bgworker/backup_session.h"
#include "bgworker/job.h"
#include "core/base/crash_point.h"
#include "extension/configured.h"
#include "extension/events.h"
#include "extension/helper_link.h"
#include "extension/settings.h"

extern "C" PGDLLEXPORT void forge_runner_main(Datum argument);

namespace forge::server {

namespace {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kStartPatience{30};
// The helper reports progress all the time; this much silence means that it is stuck.
constexpr minutes kSilencePatience{15};
// For the archiver, or the primary's archiver, to ship the last WAL of the backup.
constexpr minutes kWalPatience{10};
constexpr milliseconds kShortestWalPause{5}, kLongestWalPause{100};  // mostly it is there in a moment
// For the helper to remove what a failed backup has stored; shorter when the server stops.
constexpr seconds kCleanupGrace{22};
constexpr seconds kExitGrace{4};

// "oid path" lines as the server writes tablespace_map, with backslashes before special characters.
std::vector<std::string> tablespaces_of(std::string_view map) {
    std::vector<std::string> tablespaces;
    std::string line;
    bool escaped = false;
    for (const char c : map) {
        if (!escaped && c == '\\') {
            escaped = true;
        } else if (!escaped && c == '\n') {
            if (const std::size_t space = line.find(' '); space != line.npos) line[space] = '\t';
            tablespaces.push_back(std::move(line));
            line.clear();
        } else {
            line += c;
            escaped = false;
        }
    }
    return tablespaces;
}

std::string wal_file_name(TimeLineID timeline, XLogSegNo segment) {
    char name[MAXFNAMELEN];
    XLogFileName(name, timeline, segment, wal_segment_size);
    return name;
}

class Runner {
public:
    explicit Runner(Job job) : job_(std::move(job)), link_(HelperRole::kBackup, [this] { return on_wake(); }) {}

    void run();
    // After an ERROR, and at the exit of the process.
    void clean_up(std::chrono::milliseconds grace) noexcept { link_.stop(grace); }

private:
    Status on_wake();
    void follow_settings();
    void require_same_storage(const Frame& configured) const;
    void enter(BackupPhase phase, int progress_phase);
    void start_helper();
    void start_backup();
    void require_writable_wal();
    void copy_files();
    void stop_backup();
    void require_room_for_wal();
    void wait_for_wal();
    bool is_in_store(const std::string& segment, Deadline deadline);
    void pause_for_wal(Deadline deadline);
    void require_in_store(const std::vector<std::string>& names, Deadline deadline);
    void finish();
    void show_progress(const Frame& frame);
    // The next frame that is neither progress nor a change of settings; answer() throws a kFailed.
    Frame any_answer();
    Frame answer();

    Job job_;
    HelperLink link_;
    std::string storage_;      // as shown
    std::uint64_t epoch_ = 1;  // of the settings that the helper has
    bool from_standby_ = false;
    BackupSession* session_ = nullptr;
    XLogRecPtr stop_lsn_ = InvalidXLogRecPtr;
    int tablespace_count_ = 0;
    milliseconds wal_pause_ = kShortestWalPause;  // before the next look for WAL
};

Status Runner::on_wake() {
    if (from_standby_ && !RecoveryInProgress())
        return Status(Kind::kUnavailable, "the server was promoted during the base backup",
                      "A new base backup is made on the new timeline.");
    return {};
}

// The helper says what changed settings come to: the storage may be named by a file as well.
void Runner::follow_settings() {
    if (!ConfigReloadPending) return;
    ConfigReloadPending = false;
    call_server([] { ProcessConfigFile(PGC_SIGHUP); });
    throw_if_error(link_.send_settings(++epoch_, settings_snapshot(), deadline_in(kStartPatience)));
}

// Files here and WAL there would be no backup, and the wait for that WAL would be long.
void Runner::require_same_storage(const Frame& configured) const {
    note_configured(configured);
    const std::string_view state = configured.text(Tag::kState);
    if (state == "off" || state == "clone")
        throw_status(Status(Kind::kUnavailable, "the storage was switched off during the base backup"));
    // A wrong setting that is put right in time does no harm.
    if (state == "on" && configured.text(Tag::kStorage) != storage_)
        throw_status(Status(Kind::kUnavailable, "the storage was changed during the base backup, from " + storage_,
                            "A new base backup is made in the new one."));
}

void Runner::enter(BackupPhase phase, int progress_phase) {
    update_state([&](SharedState& state) {
        state.backup.phase = phase;
        if (phase == BackupPhase::kCopying) state.backup.copying_since = GetCurrentTimestamp();
    });
    pgstat_progress_update_param(PROGRESS_BASEBACKUP_PHASE, progress_phase);
}

void Runner::start_helper() {
    throw_if_error(link_.start(deadline_in(kStartPatience)));
    const Frame configured = value_or_throw(link_.configure(epoch_, settings_snapshot(), deadline_in(kStartPatience)));
    note_configured(configured);
    const std::string_view state = configured.text(Tag::kState);
    if (state == "clone") throw_status(status_of(configured));
    if (state == "off")
        throw_status(Status(Kind::kInvalid, "there is no storage for base backups",
                            "Set forge_backup.storage, or the variables in forge_backup.env_dir."));
    if (state != "on") throw_status(status_of(configured));
    storage_ = configured.text(Tag::kStorage);
}

void Runner::start_backup() {
    if (!XLogArchivingActive())
        throw_status(Status(Kind::kInvalid, "WAL is not archived, so a base backup could not be restored",
                            "Set archive_mode to \"on\" and restart the server."));
    require_writable_wal();
    enter(BackupPhase::kCheckpoint, PROGRESS_BASEBACKUP_PHASE_WAIT_CHECKPOINT);
    from_standby_ = RecoveryInProgress();
    session_ = call_server([] { return start_backup_mode("forge_backup"); });
}

void Runner::show_progress(const Frame& frame) {
    const std::uint64_t total = frame.number(Tag::kBytesTotal);
    const std::uint64_t done = frame.number(Tag::kBytesDone);
    update_state([&](SharedState& state) {
        BackupInfo& backup = state.backup;
        backup.bytes_total = total;
        backup.bytes_done = done;
        backup.bytes_stored = frame.number(Tag::kBytesStored);
        backup.files_total = frame.number(Tag::kFilesTotal);
        backup.files_done = frame.number(Tag::kFilesDone);
        if (frame.has(Tag::kName)) backup.name.set(frame.text(Tag::kName));
    });
    constexpr int kParameters = 3;
    const int index[kParameters] = {PROGRESS_BASEBACKUP_BACKUP_TOTAL, PROGRESS_BASEBACKUP_BACKUP_STREAMED,
                                    PROGRESS_BASEBACKUP_TBLSPC_STREAMED};
    const int64 value[kParameters] = {total == 0 ? -1 : static_cast<int64>(total), static_cast<int64>(done),
                                      static_cast<int64>(frame.number(Tag::kTablespacesDone))};
    pgstat_progress_update_multi_param(kParameters, index, value);
}

Frame Runner::any_answer() {
    for (;;) {
        follow_settings();
        Frame frame = value_or_throw(link_.receive(deadline_in(kSilencePatience)));
        if (frame.type == FrameType::kProgress)
            show_progress(frame);
        else if (frame.type == FrameType::kConfigured)
            require_same_storage(frame);
        else
            return frame;
    }
}

Frame Runner::answer() {
    Frame frame = any_answer();
    if (frame.type == FrameType::kFailed) throw_status(status_of(frame));
    return frame;
}

void Runner::copy_files() {
    Frame begin(FrameType::kBackupBegin);
    begin.add_number(Tag::kTimeline, session_->timeline).add_number(Tag::kStartLsn, session_->start_lsn);
    begin.add_number(Tag::kFromStandby, from_standby_ ? 1 : 0).add_number(Tag::kPermanent, job_.permanent ? 1 : 0);
    begin.add_number(Tag::kVerifyChecksums, 1).add(Tag::kUserData, job_.user_data);
    begin.add_number(Tag::kFull, job_.full ? 1 : 0);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    begin.add_number(Tag::kStartTime,
                     static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
    const auto tablespaces = tablespaces_of(std::string_view(session_->tablespace_map->data));
    for (const std::string& tablespace : tablespaces) begin.add(Tag::kTablespace, tablespace);
    tablespace_count_ = static_cast<int>(tablespaces.size()) + 1;  // and the data directory itself
    pgstat_progress_update_param(PROGRESS_BASEBACKUP_TBLSPC_TOTAL, tablespace_count_);
    enter(BackupPhase::kCopying, PROGRESS_BASEBACKUP_PHASE_STREAM_BACKUP);
    // For those who look while it runs; the helper tells the name it gave at the end.
    XLogSegNo segment = 0;
    if (from_standby_)
        XLByteToPrevSeg(session_->start_lsn, segment, wal_segment_size);
    else
        XLByteToSeg(session_->start_lsn, segment, wal_segment_size);
    const std::string name = "base_" + wal_file_name(session_->timeline, segment);
    update_state([&](SharedState& state) { state.backup.name.set(name); });
    add_event("backup", name, "started", "reason: " + std::string(reason_name(job_.reason)));
    throw_if_error(link_.send(begin, deadline_in(kStartPatience)));
    const Frame copied = answer();
    if (copied.type != FrameType::kBackupCopied)
        throw_status(Status(Kind::kInternal, "the helper process gave an unexpected answer"));
    update_state([&](SharedState& state) { state.backup.name.set(copied.text(Tag::kName)); });
}

// Both ends of a backup begin a new segment. Where pg_wal has become read-only the server does not survive that: so it
// must not be a backup that makes it happen.
void Runner::require_writable_wal() {
    if (access(XLOGDIR, W_OK) != 0) throw_status(errno_status(errno, "could not write to directory", XLOGDIR));
}

void Runner::stop_backup() {
    require_writable_wal();
    stop_lsn_ = call_server([this] { return stop_backup_mode(session_); });
}

// Whether the store has the segment now; a store that does not answer counts as "not yet".
bool Runner::is_in_store(const std::string& segment, Deadline deadline) {
    Frame question(FrameType::kWalExists);
    question.add(Tag::kName, segment);
    throw_if_error(link_.send(question, deadline));
    const Frame said = any_answer();
    if (said.type != FrameType::kFailed) return said.text(Tag::kState) == "yes";
    Status failure = status_of(said);
    if (!failure.retryable()) throw_status(std::move(failure));
    return false;
}

// One of the names, any of them.
void Runner::require_in_store(const std::vector<std::string>& names, Deadline deadline) {
    while (std::none_of(names.begin(), names.end(),
                        [&](const std::string& name) { return is_in_store(name, deadline); })) {
        if (SteadyClock::now() >= deadline)
            throw_status(Status(
                Kind::kTimeout, "WAL segment " + quoted(names.front()) + " of the base backup did not reach the store",
                from_standby_ ? "The primary must archive it; run pg_switch_wal() there if it writes little."
                              : "Look at forge_backup.archive_status, and at archive_library of this server."));
        pause_for_wal(deadline);
    }
}

// Waits on the link, so that the end of the helper is noticed at once.
void Runner::pause_for_wal(Deadline deadline) {
    follow_settings();
    const auto waited = link_.receive(std::min(deadline, deadline_in(wal_pause_)));
    wal_pause_ = std::min(2 * wal_pause_, kLongestWalPause);
    if (waited.ok() && waited->type == FrameType::kConfigured) require_same_storage(*waited);
    if (!waited.ok() && !waited.status().is(Kind::kTimeout)) throw_status(waited.status());
}

// What the backup has stored may be the very room that the WAL lacks, and WAL is worth more.
void Runner::require_room_for_wal() {
    bool full = false;
    update_state([&](SharedState& state) { full = state.archiver.problem.kind.view() == kind_name(Kind::kExhausted); });
    if (full)
        throw_status(Status(Kind::kExhausted, "there is no room for the WAL of the base backup",
                            "forge_backup.archive_status says what is full; what the backup has stored is removed."));
}

// The wait that pg_backup_stop() would do without a limit: all WAL of the backup must be in the store before the backup
// exists. Where this server archives, its own status files say when to look there.
void Runner::wait_for_wal() {
    enter(BackupPhase::kWaitingForWal, PROGRESS_BASEBACKUP_PHASE_WAIT_WAL_ARCHIVE);
    const Deadline deadline = deadline_in(kWalPatience);
    XLogSegNo first = 0;
    XLogSegNo last = 0;
    XLByteToSeg(session_->start_lsn, first, wal_segment_size);
    XLByteToPrevSeg(stop_lsn_, last, wal_segment_size);
    const std::string last_name = wal_file_name(session_->stop_timeline, last);
    const bool archives_here = !from_standby_ || XLogArchivingAlways();
    while (archives_here && SteadyClock::now() < deadline) {
        require_room_for_wal();
        const char* const name = last_name.c_str();
        if (!call_server([name] { return XLogArchiveIsBusy(name); })) break;
        pause_for_wal(deadline);
    }
    require_in_store({last_name}, deadline);
    // The one in which a timeline begins is archived under that timeline's name.
    std::vector<std::string> first_names;
    for (TimeLineID timeline = session_->timeline; timeline <= session_->stop_timeline; ++timeline)
        first_names.push_back(wal_file_name(timeline, first));
    if (first != last) require_in_store(first_names, deadline);
}

void Runner::finish() {
    enter(BackupPhase::kFinishing, PROGRESS_BASEBACKUP_PHASE_TRANSFER_WAL);
    Frame stop(FrameType::kBackupStop);
    stop.add_number(Tag::kFinishLsn, stop_lsn_).add_number(Tag::kTimeline, session_->stop_timeline);
    stop.add(Tag::kLabel, std::string_view(session_->label->data, static_cast<std::size_t>(session_->label->len)));
    stop.add(Tag::kTablespaceMap,
             std::string_view(session_->tablespace_map->data, static_cast<std::size_t>(session_->tablespace_map->len)));
    throw_if_error(link_.send(stop, deadline_in(kStartPatience)));
    const Frame done = answer();
    if (done.type != FrameType::kDone)
        throw_status(Status(Kind::kInternal, "the helper process gave an unexpected answer"));
    const std::string name(done.text(Tag::kName));
    const std::uint64_t corrupt = done.number(Tag::kCorruptPages);
    succeed_job(name, corrupt);
    std::string corrupt_files;
    for (const std::string_view file : done.all(Tag::kCorruptFile)) {
        if (!corrupt_files.empty()) corrupt_files += ", ";
        corrupt_files += file;
    }
    const std::string parent(done.text(Tag::kParent));
    call_server([&] {
        if (parent.empty())
            ereport(LOG, (errmsg("forge_backup: base backup \"%s\" is complete", name.c_str())));
        else
            ereport(LOG, (errmsg("forge_backup: base backup \"%s\" is complete, a delta of \"%s\"", name.c_str(),
                                 parent.c_str()),
                          errdetail("%llu files were unchanged, %llu were stored as increments.",
                                    static_cast<unsigned long long>(done.number(Tag::kSkippedFiles)),
                                    static_cast<unsigned long long>(done.number(Tag::kIncrementedFiles)))));
        if (corrupt > 0) {
            ereport(WARNING, (errmsg("forge_backup: base backup \"%s\" has %llu corrupt pages", name.c_str(),
                                     static_cast<unsigned long long>(corrupt)),
                              errdetail("%s", corrupt_files.c_str()),
                              errhint("The data directory itself is damaged there; an older base backup may not be.")));
        }
    });
}

void Runner::run() {
    call_server([] { register_backup_abort(); });
    start_helper();
    start_backup();
    copy_files();
    FORGE_CRASH_POINT("runner-before-stop");
    stop_backup();
    FORGE_CRASH_POINT("runner-after-stop");
    wait_for_wal();
    finish();
}

// For the exit handler, which gets no argument worth a pointer.
Runner* g_runner = nullptr;

// FATAL unwinds nothing: this and the server's own handler are what ends a terminated backup.
extern "C" void forge_runner_exit(int, Datum) {
    (void)run_caught([] {
        if (g_runner != nullptr) g_runner->clean_up(kExitGrace);
        fail_job(Status(Kind::kCancelled, "the base backup was terminated", "Start it again."));
        wake_scheduler();
    });
}

void prepare_worker() {
    pqsignal(SIGTERM, die);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(nullptr, nullptr, 0);
    MemoryContextSwitchTo(AllocSetContextCreate(TopMemoryContext, "forge_backup runner", ALLOCSET_DEFAULT_SIZES));
    before_shmem_exit(forge_runner_exit, 0);
    pgstat_report_activity(STATE_RUNNING, "base backup");
    pgstat_progress_start_command(PROGRESS_COMMAND_BASEBACKUP, InvalidOid);
    pgstat_progress_update_param(PROGRESS_BASEBACKUP_BACKUP_TOTAL, -1);
}

Status status_of_failure(const Failure& failure) {
    if (failure.kind == Kind::kCancelled && failure.server_error != nullptr)
        return Status(Kind::kCancelled, "the base backup was cancelled");
    return Status(failure.kind, failure.message, failure.hint);
}

// Only for what run_caught() caught: lets go of what an ERROR left behind, in the order of the server's own workers.
void recover_from(const Failure& failure) {
    HOLD_INTERRUPTS();
    LWLockReleaseAll();
    ConditionVariableCancelSleep();
    pgstat_report_wait_end();
    RESUME_INTERRUPTS();
    (void)run_caught([&] {
        // The server first: it writes more WAL and keeps it while backup mode is on.
        call_server([] { abort_backup_mode(); });
    });
    (void)run_caught([&] {
        g_runner->clean_up(kCleanupGrace);
        const Status status = status_of_failure(failure);
        const bool failed = fail_job(status);
        call_server([&] {
            ereport(failed ? WARNING : LOG,
                    (errmsg(failed ? "forge_backup: base backup failed: %s" : "forge_backup: base backup skipped: %s",
                            status.message().c_str()),
                     status.hint().empty() ? 0 : errhint("%s", status.hint().c_str())));
        });
    });
}

void run_job() {
    const Failure failure = run_caught([] {
        auto job = claim_job();
        if (!job) return;
        g_runner = new Runner(*std::move(job));
        g_runner->run();
    });
    if (failure.failed && g_runner != nullptr) recover_from(failure);
}

}  // namespace

}  // namespace forge::server

// Returning means exit code 0: the runner is never restarted, the scheduler decides about another try.
void forge_runner_main(Datum) {
    forge::server::prepare_worker();
    forge::server::run_job();
    pgstat_progress_end_command();
}
