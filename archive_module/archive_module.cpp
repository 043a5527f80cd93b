// The archive module: what the archiver process calls for each finished WAL file, over one long-lived helper.
//
// True is returned only for a file whose durable upload the helper has confirmed under the current settings (or, with
// no storage configured at all, for a file that nobody wants). Everything else is false: the file stays ".ready" and
// the server asks again. No ERROR leaves a callback: in 15 it would end the archiver, uncounted, for up to a minute.
//
// Without preloading there is no shared memory: archiving is the same, there is less to see.
#include "core/base/crash_point.h"
#include "extension/backlog.h"
#include "extension/boundary.h"
#include "extension/configured.h"
#include "extension/durability.h"
#include "extension/events.h"
#include "extension/gaps.h"
#include "extension/helper_link.h"
#include "extension/restored.h"
#include "extension/settings.h"
#include "extension/shared_state.h"
#include "extension/statistics.h"
#include "extension/window.h"

namespace forge::server {

namespace {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Starting a helper and having it read the settings takes milliseconds; a helper that needs longer is stuck.
constexpr seconds kStartPatience{10};
// The helper answers within the time it was given; the rest is for the answer to arrive.
constexpr seconds kAnswerPatience{1};
// After the postmaster began to stop: the archiver's last cycle has no deadline but ours. The core adds four seconds of
// its own, two for each of the two times it goes through the files, and all together must stay below ten.
constexpr seconds kShutdownPatience{3};
// The archiver reads changed settings, another archive_library among them, only between two files. A file on its way
// gets this long to arrive under the old ones.
constexpr seconds kReloadPatience{5};
// Longer than the last cycles take. A smart shutdown may wait for sessions for hours, and goes on archiving then.
constexpr seconds kLastCycles{15};
// For the helper to end by itself; short where it has already failed to answer.
constexpr milliseconds kExitGrace{4000};
constexpr milliseconds kExitGraceAfterSilence{1000};
constexpr seconds kLongestRespawnPause{30};
constexpr std::string_view kLeftAlone = "the store is left alone for now";
// Counting a long backlog for each file that is dropped would take longer the longer it is.
constexpr seconds kBacklogKnown{1};
// A breaker that says it is open without saying until when is believed for this long.
constexpr seconds kLongestBreakerPause{60};

// Line 8 of postmaster.pid reads "stopping" from the first moment of a shutdown; the archiver itself is told only when
// all others are gone. No server function here: nothing that could raise ERROR.
bool postmaster_is_stopping() {
    if (ShutdownRequestPending) return true;
    const int file = open("postmaster.pid", O_RDONLY | O_CLOEXEC);
    if (file < 0) return false;
    char content[2048];
    const ssize_t count = read(file, content, sizeof(content));
    close(file);
    if (count <= 0) return false;
    std::string_view rest(content, static_cast<std::size_t>(count));
    for (int line = 1; line < LOCK_FILE_LINE_PM_STATUS; ++line) {
        const std::size_t end = rest.find('\n');
        if (end == rest.npos) return false;
        rest.remove_prefix(end + 1);
    }
    return rest.starts_with(PM_STATUS_STOPPING);
}

// What to do about a failure; where nothing can be done but wait, that is said.
std::string hint_of(const Status& status) {
    if (!status.hint().empty() || !status.retryable()) return status.hint();
    return "It is tried again by itself, and WAL is kept meanwhile; look at the store if this lasts.";
}

// Logs changes of state, once each: the first failure of a kind, recovery, off and on, dropping.
class Reporter {
public:
    // `next_try`: when the store is asked again at the earliest, as a text.
    void failed(const char* file, const Status& status, const std::string& next_try) {
        const std::string state(kind_name(status.kind()));
        ++failures_;
        const bool first = state != state_;
        state_ = state;
        const std::string hint = hint_of(status);
        if (first) add_event("archiving", file, "failing", status.message());
        ereport(first ? WARNING : DEBUG1,
                (errmsg("forge_backup: could not archive \"%s\": %s", file, status.message().c_str()),
                 errdetail("Error class: %s; failed attempts: %llu; next try: %s.", state.c_str(),
                           static_cast<unsigned long long>(failures_), next_try.c_str()),
                 hint.empty() ? 0 : errhint("%s", hint.c_str())));
    }
    void dropped_for_space(const char* file, const Backlog& backlog) {
        constexpr std::uint64_t kMegabyte = 1 << 20;
        ++failures_;
        if (!dropping_) {
            add_event("archiving", file, "dropping", "backlog_limit");
            ereport(WARNING,
                    (errmsg("forge_backup: WAL is dropped from \"%s\" on: %llu MB wait for the store, more than "
                            "forge_backup.backlog_limit",
                            file, static_cast<unsigned long long>(backlog.bytes / kMegabyte)),
                     errdetail("Recovery to a time in this gap will not be possible; forge_backup.gaps shows it."),
                     errhint("A base backup is made as soon as the store can be written again.")));
        }
        dropping_ = true;
    }
    void archived(const char* file) {
        ereport(DEBUG1, (errmsg_internal("forge_backup: archived \"%s\"", file)));
        if (failures_ > 0) {
            add_event("archiving", file, "works", "after " + std::to_string(failures_) + " failed attempts");
            ereport(LOG, (errmsg_plural("forge_backup: archiving works again after %llu failed attempt",
                                        "forge_backup: archiving works again after %llu failed attempts", failures_,
                                        static_cast<unsigned long long>(failures_))));
        } else if (state_.starts_with("dropped")) {
            add_event("archiving", file, "on");
            ereport(LOG, (errmsg("forge_backup: archiving is on")));
        }
        failures_ = 0;
        dropping_ = false;
        state_ = "on";
    }
    // `why`: "off", "clone" where that is because of clone_policy, or "foreign" where the prefix belongs to another
    // cluster.
    void dropped(std::string_view why) {
        const std::string state = "dropped, " + std::string(why);
        if (state_ != state) add_event("archiving", {}, why, "WAL is accepted and dropped");
        if (state_ != state && why == "foreign") {
            ereport(WARNING,
                    (errmsg("forge_backup: the storage belongs to another cluster, WAL is accepted and dropped"),
                     errhint("The row \"owner\" of forge_backup.status() says whose it is.")));
        } else if (state_ != state && why == "clone") {
            ereport(WARNING,
                    (errmsg("forge_backup: this server is a copy of another cluster, WAL is accepted and dropped"),
                     errhint("Set forge_backup.clone_policy to \"on\" or \"warn\" to have backups of it.")));
        } else if (state_ != state) {
            ereport(WARNING,
                    (errmsg("forge_backup: archiving is off, WAL is accepted and dropped"),
                     errhint("Set forge_backup.storage, or the variables in forge_backup.env_dir, to keep it.")));
        }
        failures_ = 0;
        state_ = state;
    }

private:
    std::string state_;
    std::uint64_t failures_ = 0;
    bool dropping_ = false;  // since a file was stored last
};

class Archiver {
public:
    Archiver() : link_(HelperRole::kArchiver, [this] { return on_wake(); }) {}

    bool archive(const char* file, const char* path);
    void shut_down() { link_.stop(has_given_up() ? kExitGraceAfterSilence : kExitGrace); }
    // The archiver's own loop waits on the same latch; what a wait of ours swallowed must be set again, or a shutdown
    // waits for a minute.
    void give_latch_back() {
        if (link_.latch_consumed()) SetLatch(MyLatch);
        link_.forget_latch();
    }

private:
    bool has_given_up() const;
    Status on_wake();
    Status ready_helper();
    Status configure();
    Status respawn_later(Status failure);
    void handle(const Frame& frame);
    bool breaker_is_open() const { return breaker_open_until_ && SteadyClock::now() < *breaker_open_until_; }
    Result<Frame> ask(const char* file, const char* path);
    Status store(const char* file, const char* path, std::string& dropped, Frame& said);
    bool drop_for_space(const char* file);
    std::string next_try() const;
    void publish_success(const char* file, bool dropped);
    void publish_failure(const char* file, const Status& status);

    HelperLink link_;
    std::vector<std::string> snapshot_;
    std::uint64_t epoch_ = 0;
    std::uint64_t configured_epoch_ = 0;  // of the running helper; 0 = not yet
    std::optional<Deadline> respawn_at_;
    int lost_helpers_ = 0;  // since the last answer
    std::optional<Deadline> breaker_open_until_;
    std::optional<Deadline> stop_by_;    // of the running call, set when a shutdown is noticed
    std::optional<Deadline> reload_by_;  // of the running call, set when a reload is noticed
    Deadline given_up_until_{};          // a call failed during a shutdown
    Backlog backlog_;
    Deadline backlog_known_until_{};
    Reporter reporter_;
    std::string storage_;         // as shown
    bool store_answers_ = false;  // and the events have it
    RestoredInfo restored_{};  // what the helper said last
    RestoredReminder reminder_;
};

bool Archiver::has_given_up() const { return SteadyClock::now() < given_up_until_; }

Status Archiver::on_wake() {
    if (!stop_by_ && postmaster_is_stopping()) stop_by_ = deadline_in(kShutdownPatience);
    if (stop_by_ && SteadyClock::now() >= *stop_by_)
        return Status(Kind::kCancelled, "the server is shutting down", "The file is archived after the next start.");
    if (!reload_by_ && ConfigReloadPending) reload_by_ = deadline_in(kReloadPatience);
    if (reload_by_ && SteadyClock::now() >= *reload_by_)
        return Status(Kind::kCancelled, "changed settings wait to be read", "The file is tried again with them.");
    return {};
}

Status Archiver::respawn_later(Status failure) {
    link_.stop(milliseconds(0));
    configured_epoch_ = 0;
    lost_helpers_ = std::min(lost_helpers_ + 1, 16);
    // The first death costs nothing but a retry.
    const auto pause =
        lost_helpers_ == 1 ? seconds(0) : std::min(seconds(1LL << (lost_helpers_ - 2)), kLongestRespawnPause);
    respawn_at_ = deadline_in(pause);
    update_state([](SharedState& state) { state.archiver.helper_pid = 0; });
    return failure;
}

Status Archiver::ready_helper() {
    auto snapshot = settings_snapshot();
    if (snapshot != snapshot_ || epoch_ == 0) {
        snapshot_ = std::move(snapshot);
        ++epoch_;
        // New settings deserve a new chance.
        respawn_at_.reset();
        breaker_open_until_.reset();
    }
    if (!link_.running()) {
        configured_epoch_ = 0;
        if (respawn_at_ && SteadyClock::now() < *respawn_at_)
            return Status(Kind::kUnavailable, "the helper process keeps ending, waiting before the next start",
                          "Earlier lines of the server's log say why.");
        if (Status started = link_.start(deadline_in(kStartPatience)); !started.ok()) return respawn_later(started);
        update_state([this](SharedState& state) {
            state.archiver.helper_pid = link_.pid();
            ++state.archiver.helper_starts;
            state.archiver.breaker.set("closed");
            state.archiver.forget_owner();
        });
        breaker_open_until_.reset();
    }
    if (configured_epoch_ != epoch_) FORGE_TRY(configure());
    while (const auto frame = link_.poll()) handle(*frame);
    if (!link_.running()) return respawn_later(link_.end());
    return {};
}

Status Archiver::configure() {
    auto answer = link_.configure(epoch_, snapshot_, deadline_in(kStartPatience));
    if (!answer.ok()) return answer.status().is(Kind::kCancelled) ? answer.status() : respawn_later(answer.status());
    configured_epoch_ = epoch_;
    handle(*answer);
    return {};
}

// What the helper says unasked: another effective configuration, or another state of the breaker.
void Archiver::handle(const Frame& frame) {
    if (frame.type == FrameType::kConfigured) {
        const bool changed = note_configured(frame);
        storage_ = frame.text(Tag::kStorage);
        update_state([&](SharedState& state) {
            if (changed) state.archiver.forget_owner();
            state.archiver.epoch = epoch_;
            if (!breaker_open_until_) state.archiver.breaker.set("closed");
        });
        if (changed) wake_scheduler();
        restored_.source.set(frame.text(Tag::kSource));
        restored_.at = instant_of(frame, Tag::kRestoredAt);
        restored_.is_clone = frame.number(Tag::kClone) != 0;
    } else if (frame.type == FrameType::kStoreState) {
        const bool open = frame.text(Tag::kState) == "open";
        const TimestampTz next_at = instant_of(frame, Tag::kNextTry);
        breaker_open_until_.reset();
        if (open) {
            auto pause = std::chrono::duration_cast<milliseconds>(kLongestBreakerPause);
            if (next_at != 0) pause = std::min(pause, milliseconds((next_at - GetCurrentTimestamp()) / 1000));
            breaker_open_until_ = deadline_in(pause);
        }
        update_state([&](SharedState& state) {
            state.archiver.breaker.set(frame.text(Tag::kState));
            state.archiver.conditional_put.set(frame.text(Tag::kConditionalPut));
            state.archiver.breaker_failures = frame.number(Tag::kFailures);
            state.archiver.breaker_next_try = open ? next_at : 0;
            if (open) state.archiver.problem.set(status_of(frame));
        });
        if (open) {
            add_change("storage", storage_, "unavailable", frame.text(Tag::kMessage));
            store_answers_ = false;
        }
    } else if (frame.type == FrameType::kOwner) {
        update_state([&](SharedState& state) {
            state.archiver.owner.set(frame.text(Tag::kState));
            state.archiver.owner_detail.set(frame.text(Tag::kValue));
            state.archiver.owner_problem.set(status_of(frame));
        });
        add_change("owner", storage_, frame.text(Tag::kState), frame.text(Tag::kValue));
    }
}

Result<Frame> Archiver::ask(const char* file, const char* path) {
    const milliseconds patience(settings.archive_timeout);
    Frame question(FrameType::kArchive);
    question.add(Tag::kName, file).add(Tag::kPath, path);
    question.add_number(Tag::kEpoch, epoch_).add_number(Tag::kTimeoutMs, static_cast<std::uint64_t>(patience.count()));
    const Deadline deadline = deadline_in(patience + kAnswerPatience);
    FORGE_TRY(link_.send(question, deadline));
    for (;;) {
        FORGE_ASSIGN(Frame frame, link_.receive(deadline));
        const bool ours =
            frame.type == FrameType::kArchived && frame.text(Tag::kName) == file && frame.number(Tag::kEpoch) == epoch_;
        if (ours) return frame;
        handle(frame);
    }
}

// Success when the file is durable in the store, or nobody wants it there: `dropped` says why. `said` is the helper's answer.
Status Archiver::store(const char* file, const char* path, std::string& dropped, Frame& said) {
    FORGE_TRY(ready_helper());
    if (breaker_is_open()) return Status(Kind::kUnavailable, std::string(kLeftAlone));
    auto answer = ask(file, path);
    if (answer.ok()) {
        lost_helpers_ = 0;
        const std::string_view state = answer->text(Tag::kState);
        if (state == "off" || state == "clone" || state == "foreign") dropped = state;
        said = *std::move(answer);
        return status_of(said);
    }
    // It did not even say that it ran out of time: stopped, or stuck where no signal reaches.
    if (link_.running() && answer.status().is(Kind::kTimeout))
        return respawn_later(Status(Kind::kTimeout, "the helper process does not answer and is replaced"));
    if (!link_.running()) return respawn_later(answer.status());
    Frame forget(FrameType::kForget);
    forget.add(Tag::kName, file);
    (void)link_.send(forget, deadline_in(milliseconds(0)));
    return answer.status();
}

bool Archiver::archive(const char* file, const char* path) {
    // The core tries each file three times; once is enough when the server wants to stop.
    if (has_given_up()) return false;
    stop_by_.reset();
    reload_by_.reset();
    std::string dropped;
    Frame said;
    const Status status = store(file, path, dropped, said);
    if (status.ok()) {
        publish_success(file, !dropped.empty());
        dropped.empty() ? note_archived(file) : note_dropped(file);
        if (dropped.empty()) note_commits(file, said);
        dropped.empty() ? reporter_.archived(file) : reporter_.dropped(dropped);
        if (dropped.empty() && !std::exchange(store_answers_, true)) add_change("storage", storage_, "available");
        // The scheduler's to say, which knows more; without preloading there is none.
        if (dropped.empty() && shared_state() == nullptr) reminder_.look_at_clone(restored_, {});
        return true;
    }
    if (!status.is(Kind::kCancelled) && drop_for_space(file)) return true;
    if (status.message() == kLeftAlone) {
        ereport(DEBUG1, (errmsg_internal("forge_backup: %s", status.message().c_str())));
        update_state([](SharedState& state) { ++state.archiver.failed_count; });
        return false;
    }
    publish_failure(file, status);
    reporter_.failed(file, status, next_try());
    if (postmaster_is_stopping()) given_up_until_ = deadline_in(kLastCycles);
    return false;
}

// Above backlog_limit what cannot be stored is given up, the oldest first, so that the disk does not fill. Not without
// having remembered it. Histories and the like are small, never lost (pg_wal keeps them), and would only be in the way.
bool Archiver::drop_for_space(const char* file) {
    constexpr std::uint64_t kMegabyte = 1 << 20;
    if (settings.backlog_limit == 0 || postmaster_is_stopping()) return false;
    if (SteadyClock::now() >= backlog_known_until_) {
        backlog_ = count_backlog();
        backlog_known_until_ = deadline_in(kBacklogKnown);
    }
    const Backlog backlog = backlog_;
    if (backlog.bytes <= static_cast<std::uint64_t>(settings.backlog_limit) * kMegabyte) return false;
    if (std::strlen(file) == XLOG_FNAME_LEN) {
        const Status recorded = record_gap({file, file, 1, "backlog_limit"});
        if (!recorded.ok()) {
            reporter_.failed(file, recorded.with_context("WAL above backlog_limit is not dropped"), next_try());
            return false;
        }
        backlog_.bytes -= static_cast<std::uint64_t>(wal_segment_size);
    }
    reporter_.dropped_for_space(file, backlog);
    update_state([](SharedState& state) { ++state.archiver.dropped_count; });
    note_dropped(file);
    wake_scheduler();
    return true;
}

std::string Archiver::next_try() const {
    if (!breaker_open_until_) return "at once";
    const auto left = std::chrono::duration_cast<seconds>(*breaker_open_until_ - SteadyClock::now()).count();
    return left <= 0 ? "at once" : "in " + std::to_string(left) + " s";
}

void Archiver::publish_success(const char* file, bool dropped) {
    update_state([&](SharedState& state) {
        ArchiverInfo& archiver = state.archiver;
        archiver.problem.clear();
        if (dropped) {
            ++archiver.dropped_count;
            return;
        }
        ++archiver.archived_count;
        archiver.last_archived.set(file);
        archiver.last_archived_at = GetCurrentTimestamp();
    });
}

void Archiver::publish_failure(const char* file, const Status& status) {
    update_state([&](SharedState& state) {
        ArchiverInfo& archiver = state.archiver;
        ++archiver.failed_count;
        archiver.last_failed.set(file);
        archiver.last_failed_at = GetCurrentTimestamp();
        archiver.problem.set(status);
        ErrorRow& row = archiver.errors[static_cast<std::size_t>(status.kind())];
        ++row.count;
        row.wal.set(file);
        row.at = archiver.last_failed_at;
        row.message.set(status.message());
        row.hint.set(hint_of(status));
    });
}

// On the heap and never freed: nothing of ours runs in the exit of the process but shutdown_cb.
Archiver* g_archiver = nullptr;
MemoryContext g_context = nullptr;

void report_quietly(const Failure& failure, const char* file) {
    (void)run_caught([&] {
        call_server([&] {
            ereport(WARNING, (errmsg("forge_backup: could not archive \"%s\": %s", file, failure.message),
                              failure.hint[0] != '\0' ? errhint("%s", failure.hint) : 0));
        });
    });
}

// In 15 and 16 the server calls this in TopMemoryContext with no handler around it: what is allocated here is ours to
// free, and what is raised here ours to catch.
bool archive_file(const char* file, const char* path) {
    const MemoryContext outer = MemoryContextSwitchTo(g_context);
    bool archived = false;
    const Failure failure = run_caught([&] {
        if (g_archiver == nullptr) {
            g_archiver = new Archiver();
            update_state([](SharedState& state) { state.archiver.pid = MyProcPid; });
        }
        archived = g_archiver->archive(file, path);
    });
    if (failure.failed) {
        archived = false;
        report_quietly(failure, file);
    }
    if (g_archiver != nullptr) g_archiver->give_latch_back();
    MemoryContextSwitchTo(outer);
    MemoryContextReset(g_context);
    if (archived) FORGE_CRASH_POINT("archive-decided");
    return archived;
}

void archiver_shutdown() {
    (void)run_caught([] {
        if (g_archiver != nullptr) g_archiver->shut_down();
        update_state([](SharedState& state) {
            state.archiver.pid = 0;
            state.archiver.helper_pid = 0;
        });
        keep_statistics();
    });
}

void create_context() {
    if (g_context == nullptr)
        g_context = AllocSetContextCreate(TopMemoryContext, "forge_backup archiver", ALLOCSET_SMALL_SIZES);
}

}  // namespace

}  // namespace forge::server

// Always configured: a server without a store must not keep every segment, and a wrong configuration is the helper's to
// report, once.
extern "C" {
#if FORGE_ARCHIVE_CALLBACKS_HAVE_STATE
static bool forge_check_configured(ArchiveModuleState*) { return true; }
static bool forge_archive_file(ArchiveModuleState*, const char* file, const char* path) {
    return forge::server::archive_file(file, path);
}
static void forge_archive_shutdown(ArchiveModuleState*) { forge::server::archiver_shutdown(); }

const ArchiveModuleCallbacks* _PG_archive_module_init(void) {
    static const ArchiveModuleCallbacks callbacks = {nullptr, forge_check_configured, forge_archive_file,
                                                     forge_archive_shutdown};
    forge::server::create_context();
    return &callbacks;
}
#else
static bool forge_check_configured(void) { return true; }
static bool forge_archive_file(const char* file, const char* path) { return forge::server::archive_file(file, path); }
static void forge_archive_shutdown(void) { forge::server::archiver_shutdown(); }

void _PG_archive_module_init(ArchiveModuleCallbacks* callbacks) {
    forge::server::create_context();
    callbacks->check_configured_cb = forge_check_configured;
    callbacks->archive_file_cb = forge_archive_file;
    callbacks->shutdown_cb = forge_archive_shutdown;
}
#endif
}
