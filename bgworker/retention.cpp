#include "bgworker/retention.h"

#include "extension/events.h"
#include "extension/settings.h"
#include "extension/shared_state.h"

namespace forge::server {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

constexpr std::chrono::seconds kStartPatience{30};
// Millions of objects may have to go; a helper that hangs must end some time.
constexpr std::chrono::hours kLongest{12};

void log_removal(std::string_view what) {
    const std::string text(what);
    call_server([&] { ereport(LOG, (errmsg("forge_backup: retention removed %s", text.c_str()))); });
}

// Locked objects are no failure: the next look may come tomorrow as ever.
Status refusal_of(const Frame& done) {
    const auto refused = done.number(Tag::kFailures);
    if (refused == 0) return {};
    return Status(Kind::kDenied,
                  "the store refused to remove " + std::to_string(refused) +
                      " objects: " + std::string(done.text(Tag::kHint)),
                  "They may be locked for some time, or the credentials may not delete.");
}

}  // namespace

void RetentionRun::start(const HelperLink::WakeCheck& interrupted) { begun_ = begin(interrupted); }

Status RetentionRun::begin(const HelperLink::WakeCheck& interrupted) {
    const Deadline patience = deadline_in(kStartPatience);
    deadline_ = deadline_in(kLongest);
    link_ = std::make_unique<HelperLink>(HelperRole::kQuery, interrupted);
    FORGE_TRY(link_->start(patience));
    FORGE_ASSIGN(const Frame configured, link_->configure(1, settings_snapshot(), patience));
    const std::string_view state = configured.text(Tag::kState);
    if (state == "off" || state == "clone") return Status(Kind::kCancelled, "the storage is off");
    if (state != "on") return status_of(configured);
    Frame question(FrameType::kRetain);
    question.add_number(Tag::kTimeline, call_server([] { return GetWALInsertionTimeLine(); }));
    question.add(Tag::kSchedule, settings.schedule).add_number(Tag::kExecute, 1);
    return link_->send(question, patience);
}

std::optional<Status> RetentionRun::look() {
    if (!begun_.ok()) return finish(std::move(begun_), Frame());
    while (const auto frame = link_->poll()) {
        if (frame->type == FrameType::kFailed) return finish(status_of(*frame), *frame);
        if (frame->type == FrameType::kProgress) show(*frame);
        if (frame->type == FrameType::kDone) return finish(Status(), *frame);
    }
    if (!link_->running())
        return finish(link_->end().ok() ? Status(Kind::kUnavailable, "the helper process ended") : link_->end(),
                      Frame());
    if (SteadyClock::now() < deadline_) return std::nullopt;
    return finish(Status(Kind::kTimeout, "the helper process did not end in time"), Frame());
}

// A look that finds nothing to remove is not shown.
void RetentionRun::show(const Frame& progress) {
    if (shown_ == nullptr) shown_ = std::make_unique<Operation>("retention", std::string_view());
    shown_->note(progress);
}

void RetentionRun::stop() {
    link_.reset();
    shown_.reset();
    begun_ = Status();
}

Status RetentionRun::finish(Status status, const Frame& done) {
    stop();
    if (status.is(Kind::kCancelled)) return status;
    const std::string removed(done.text(Tag::kMessage));
    const std::string held(done.text(Tag::kState));
    const Status problem = status.ok() ? refusal_of(done) : status;
    update_state([&](SharedState& state) {
        state.retention.finished_at = GetCurrentTimestamp();
        state.retention.problem.set(problem);
        if (status.ok())
            state.retention.result.set(!held.empty()     ? "nothing is removed: " + held
                                       : removed.empty() ? std::string("nothing to remove")
                                                         : removed + " removed");
    });
    for (const std::string_view backup : done.all(Tag::kBackup)) add_event("backup", backup, "deleted", "retention");
    if (!removed.empty()) add_event("retention", {}, "removed", removed);
    if (!problem.ok()) add_change("retention", {}, "failed", problem.message());
    if (!removed.empty()) log_removal(removed);
    report(problem.ok() ? LOG : WARNING, problem.ok() ? held : problem.message(), problem.hint());
    return status;
}

// Once, until it is another one.
void RetentionRun::report(int level, const std::string& message, const std::string& hint) {
    if (message == std::exchange(reported_, message) || message.empty()) return;
    call_server([&] {
        ereport(level, (errmsg("forge_backup: retention: %s", message.c_str()),
                        hint.empty() ? 0 : errhint("%s", hint.c_str())));
    });
}

}  // namespace forge::server
