// The helper that answers questions about the store (lists, plans, checks, verification), and marks and deletes
// backups.
#include "cli/checks.h"
#include "cli/command_cost.h"
#include "cli/common.h"
#include "cli/helper_roles.h"
#include "cli/list_rows.h"
#include "cli/owner_rows.h"
#include "cli/plan_rows.h"
#include "cli/report_facts.h"
#include "cli/version.h"
#include "core/base/text.h"
#include "core/keys/search.h"
#include "core/report/page.h"
#include "core/restore/continuity.h"
#include "core/restore/verify.h"
#include "core/retention/execute.h"
#include "core/retention/mark_chain.h"
#include "core/retention/policy.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

// A backend cancels earlier by closing the link; this only bounds a question nobody waits for.
constexpr std::chrono::minutes kLongest{10};
constexpr milliseconds kProgressInterval{250};

class QueryRole {
public:
    QueryRole(Channel& channel, Logger& logger, const Hello& hello)
        : channel_(channel), logger_(logger), hello_(hello), config_(channel, logger, hello), jobs_(logger) {}

    void run() {
        while (true) {
            Frame frame;
            const Channel::Event event = channel_.receive(frame, jobs_.busy() ? kProgressInterval : seconds(60));
            if (event == Channel::Event::kEnd) break;
            if (event == Channel::Event::kFrame) handle(frame);
            if (event == Channel::Event::kTimeout) send_progress();
        }
        end_process_after(seconds(2));
        cancel_.cancel();
    }

private:
    void handle(const Frame& frame) {
        if (frame.type == FrameType::kConfigure) {
            // The job thread may hold the settings of before; it works with copies.
            config_.configure(frame);
        } else if (frame.type == FrameType::kList || frame.type == FrameType::kPlan ||
                   frame.type == FrameType::kVerify || frame.type == FrameType::kMarkBackup ||
                   frame.type == FrameType::kDeleteBackup || frame.type == FrameType::kContinuity ||
                   frame.type == FrameType::kRetain || frame.type == FrameType::kAdoptPrefix ||
                   frame.type == FrameType::kSearchKeys || frame.type == FrameType::kRestorePoints) {
            auto repository = config_.repository_or_error();
            if (!repository.ok()) return channel_.send(failed_frame(repository.status()));
            jobs_.add([this, frame, repository = std::move(repository).value(), inputs = config_.inputs()] {
                finish(answer(frame, repository, inputs));
            });
        } else if (frame.type == FrameType::kCheck && config_.is_off_as_clone()) {
            // Nothing is written, not even to try it.
            send_row({"settings", "warning", config_.off().message(), config_.off().hint()});
            finish({});
        } else if (frame.type == FrameType::kCheck) {
            jobs_.add([this, loaded = config_.settings_or_error()] {
                for (const Finding& finding : run_checks(loaded, identity_of(hello_), context(), logger_).findings)
                    send_row({finding.check, std::string(cli::level_name(finding.level)), finding.detail,
                              finding.hint.empty() ? std::optional<std::string>() : finding.hint});
                finish({});
            });
        } else if (frame.type == FrameType::kReport) {
            jobs_.add([this, frame, loaded = config_.settings_or_error()] { finish(report(frame, loaded)); });
        }
    }

    // Whatever is the matter with the store is on the page.
    Status report(const Frame& frame, const Result<settings::Settings>& loaded) {
        report::Facts facts = facts_without_store(loaded);
        if (facts.state == report::Facts::State::kOn) {
            settings::Settings impatient = *loaded;
            expect_quick_answers(impatient);
            FORGE_ASSIGN(const auto repository, repository::Repository::open(impatient, logger_));
            add_store_facts(facts, *repository, policy_of(frame), context(), logger_);
        }
        if (frame.has(Tag::kValue)) add_server_facts(facts, frame.text(Tag::kValue));
        constexpr std::size_t kPiece = 1 << 20;
        const std::string page = report::page(facts);
        for (std::size_t at = 0; at < page.size(); at += kPiece) send_row({page.substr(at, kPiece)});
        return {};
    }

    // Of the server that asks; `retain` is still to be set.
    retention::Policy policy_of(const Frame& frame) const {
        retention::Policy policy;
        policy.timeline = static_cast<Timeline>(frame.number(Tag::kTimeline));
        policy.system_identifier = hello_.system_identifier;
        // A wrong expression is the scheduler's to report.
        if (auto schedule = schedule::parse_cron(frame.text(Tag::kSchedule)); schedule.ok())
            policy.schedule = *schedule;
        return policy;
    }

    Status answer(const Frame& frame, const std::shared_ptr<repository::Repository>& shared,
                  const settings::Inputs& inputs) {
        repository::Repository& repository = *shared;
        const bool changes = frame.type == FrameType::kMarkBackup || frame.type == FrameType::kDeleteBackup ||
                             (frame.type == FrameType::kRetain && frame.number(Tag::kExecute) != 0);
        // Timeline 0: whose prefix it is, nothing more.
        if (changes) FORGE_TRY(make_guard(shared, hello_)->may_write(0, context()));
        switch (frame.type) {
            case FrameType::kList: return list(repository);
            case FrameType::kPlan: return plan(frame, repository, inputs);
            case FrameType::kVerify: return verify(frame, repository);
            case FrameType::kMarkBackup: return mark(frame, repository);
            case FrameType::kContinuity: return continuity(frame, repository);
            case FrameType::kRetain: return retain(frame, repository);
            case FrameType::kAdoptPrefix: return adopt_prefix(repository);
            case FrameType::kSearchKeys: return search_keys(frame, repository);
            case FrameType::kRestorePoints: return list_restore_points(repository);
            default: return delete_backup(frame, repository);
        }
    }

    Status verify(const Frame& frame, repository::Repository& repository) {
        FORGE_ASSIGN(const auto backup, repository.find_backup(std::string(frame.text(Tag::kName)), unbounded()));
        restore::VerifyOptions options;
        options.concurrency = repository.settings().download_concurrency;
        options.rate_limit = repository.settings().network_rate_limit;
        restore::VerifyProgress progress;
        const Shown shown(*this, [&progress] {
            return Frame(FrameType::kProgress)
                .add_number(Tag::kBytesTotal, progress.bytes_total)
                .add_number(Tag::kBytesDone, progress.bytes_done)
                .add_number(Tag::kFilesTotal, progress.objects_total)
                .add_number(Tag::kFilesDone, progress.objects_done);
        });
        const auto report = [this](const restore::VerifyFinding& finding) {
            send_row({finding.object, std::string(level_name(finding.level)), std::to_string(finding.stored_size),
                      finding.detail.empty() ? std::optional<std::string>() : finding.detail});
        };
        return restore::verify_backup(repository, backup, options, report, progress, cancel_, logger_);
    }

    Status mark(const Frame& frame, repository::Repository& repository) {
        const bool permanent = frame.number(Tag::kPermanent) != 0;
        FORGE_ASSIGN(const auto changed,
                     retention::mark_backup(repository, std::string(frame.text(Tag::kName)), permanent, context()));
        for (const std::string& name : changed) send_row({name, permanent ? "t" : "f"});
        return {};
    }

    Status adopt_prefix(repository::Repository& repository) {
        FORGE_ASSIGN(const repository::Adoption adoption,
                     repository::adopt(repository.store(), identity_of(hello_), product(), context()));
        if (adoption.before) send_row(owner_row("before", *adoption.before));
        send_row(owner_row("after", adoption.after));
        return {};
    }

    Status search_keys(const Frame& frame, repository::Repository& repository) {
        std::vector<keys::OldKey> known;
        for (const std::string_view word : frame.all(Tag::kKey)) {
            const std::size_t tab = word.find('\t');
            if (tab != word.npos)
                known.push_back({std::string(word.substr(0, tab)), keys::OldKey::Need::kUnknown,
                                 std::string(word.substr(tab + 1))});
        }
        FORGE_ASSIGN(const auto found, keys::find_old_keys(repository, known, {}, unbounded()));
        Frame answer(FrameType::kKeys);
        for (const keys::OldKey& key : found.keys)
            answer.add(Tag::kKey, key.fingerprint + "\t" + std::string(keys::need_name(key.need)) + "\t" + key.object);
        channel_.send(answer.add_number(Tag::kCounter, found.objects));
        return {};
    }

    Status delete_backup(const Frame& frame, repository::Repository& repository) {
        const std::string name(frame.text(Tag::kName));
        FORGE_ASSIGN(const auto inventory, retention::take_inventory(repository, SystemClock().now(), unbounded()));
        FORGE_ASSIGN(const auto plan, retention::plan_target(inventory, name, false));
        if (frame.number(Tag::kForce) == 0) FORGE_TRY(retention::check_something_is_left(inventory, plan));
        retention::DeleteResult result;
        FORGE_TRY(execute(plan, inventory, repository, result));
        if (result.refused > 0)
            return Status(Kind::kDenied,
                          "the store refused to delete " + std::to_string(result.refused) + " of " +
                              std::to_string(plan.object_count()) + " objects of backup " + quoted(name) + ": " +
                              result.refusals.front().status.message(),
                          "They may be locked for some time, or the credentials may not delete; delete again later.");
        for (const auto& backup : plan.backups)
            send_row({backup.name, std::to_string(backup.object_count()), std::to_string(backup.bytes)});
        return {};
    }

    Status execute(const retention::DeletePlan& plan, const retention::Inventory& inventory,
                   repository::Repository& repository, retention::DeleteResult& result) {
        const Shown shown(*this, [&plan, &result] {
            return Frame(FrameType::kProgress)
                .add_number(Tag::kBytesTotal, plan.bytes())
                .add_number(Tag::kBytesDone, result.bytes)
                .add_number(Tag::kFilesTotal, plan.object_count())
                .add_number(Tag::kFilesDone, result.objects);
        });
        return retention::execute(repository.store(), inventory, plan, result, unbounded())
            .with_context("deletion stopped after " + std::to_string(result.objects) + " of " +
                          std::to_string(plan.object_count()) + " objects");
    }

    Status retain(const Frame& frame, repository::Repository& repository) {
        FORGE_ASSIGN(const auto inventory, retention::take_inventory(repository, SystemClock().now(), unbounded()));
        retention::Policy policy = policy_of(frame);
        policy.retain = repository.settings().retain;
        const retention::RetentionPlan plan = retention::plan_by_policy(inventory, policy);
        for (const Row& row : retention_rows(plan)) send_row(row);
        done_.add(Tag::kState, plan.held);
        return frame.number(Tag::kExecute) == 0 ? Status() : carry_out(plan.deletion, inventory, repository);
    }

    Status carry_out(const retention::DeletePlan& plan, const retention::Inventory& inventory,
                     repository::Repository& repository) {
        retention::DeleteResult result;
        FORGE_TRY(execute(plan, inventory, repository, result));
        for (const std::string& backup : result.backups) done_.add(Tag::kBackup, backup);
        done_.add(Tag::kMessage, retention::summary_of(result)).add_number(Tag::kFailures, result.refused);
        if (!result.refusals.empty()) done_.add(Tag::kHint, result.refusals.front().status.message());
        return {};
    }

    // While it is there, what `sample` says is told now and then.
    class Shown {
    public:
        Shown(QueryRole& role, std::function<Frame()> sample) : role_(role) { set(std::move(sample)); }
        ~Shown() { set({}); }
        Shown(const Shown&) = delete;
        Shown& operator=(const Shown&) = delete;

    private:
        void set(std::function<Frame()> sample) {
            const std::lock_guard lock(role_.progress_mutex_);
            role_.progress_ = std::move(sample);
        }
        QueryRole& role_;
    };

    void send_progress() {
        const std::lock_guard lock(progress_mutex_);
        if (progress_) channel_.send(progress_());
    }

    static std::string_view level_name(restore::VerifyFinding::Level level) {
        switch (level) {
            case restore::VerifyFinding::Level::kOk: return "ok";
            case restore::VerifyFinding::Level::kWarning: return "warning";
            case restore::VerifyFinding::Level::kError: return "error";
        }
        return "error";
    }

    Status list(repository::Repository& repository) {
        FORGE_ASSIGN(const std::vector<Row> rows, backup_rows(repository, context()));
        for (const Row& row : rows) send_row(row);
        return {};
    }

    Status list_restore_points(repository::Repository& repository) {
        FORGE_ASSIGN(const std::vector<Row> rows, restore_point_rows(repository, context(), logger_));
        for (const Row& row : rows) send_row(row);
        return {};
    }

    Status plan(const Frame& frame, repository::Repository& repository, const settings::Inputs& inputs) {
        const auto text = [&frame](Tag tag) { return std::string(frame.text(tag)); };
        const bool inclusive = !frame.has(Tag::kInclusive) || frame.number(Tag::kInclusive) != 0;
        FORGE_ASSIGN(const restore::Target target,
                     parse_target(text(Tag::kTargetType), text(Tag::kTargetValue), text(Tag::kTargetTimeline),
                                  text(Tag::kBackup), inclusive));
        const bool allow_nearest = frame.number(Tag::kAllowNearest) != 0;
        FORGE_ASSIGN(const restore::Plan found,
                     restore::make_plan(repository, target, allow_nearest, context(), logger_));
        CommandParts parts;
        parts.executable = own_path();
        parts.words = words_for_inputs(inputs);
        const auto time_command = [&parts](const std::string& segment) { return time_restore_command(parts, segment); };
        FORGE_ASSIGN(const restore::Estimate estimate,
                     restore::estimate_restore(repository, found, time_command, context(), logger_));
        for (auto& [name, value] : plan_rows(found, estimate, repository.settings(), parts)) send_row({name, value});
        return {};
    }

    // Not each time: the whole archive is listed for it.
    static bool window_is_wanted(const Frame& frame, const restore::Continuity& found) {
        if (!frame.has(Tag::kWindow)) return false;
        if (frame.number(Tag::kWindow) != 0 || !found.holes.empty()) return true;
        const auto known = frame.all(Tag::kBackup);
        const auto is_gone = [&](std::string_view name) {
            return !name.empty() && std::find(found.backups.begin(), found.backups.end(), name) == found.backups.end();
        };
        const bool newest_is_known =
            !found.backup || std::find(known.begin(), known.end(), found.backup->name) != known.end();
        return !newest_is_known || std::any_of(known.begin(), known.end(), is_gone);
    }

    Status add_window(repository::Repository& repository, Timeline timeline) {
        FORGE_ASSIGN(const restore::Window window,
                     restore::recovery_window(repository, std::to_string(timeline), context()));
        done_.add(Tag::kWindow, window.backup);
        const auto add = [this](Tag lsn_tag, std::optional<Lsn> lsn, Tag time_tag, std::optional<Instant> time) {
            if (lsn) done_.add_number(lsn_tag, *lsn);
            if (time) done_.add_number(time_tag, static_cast<std::uint64_t>(time->micros()));
        };
        add(Tag::kEarliestLsn, window.earliest_lsn, Tag::kEarliestTime, window.earliest);
        add(Tag::kLatestLsn, window.latest_lsn, Tag::kLatestTime, window.latest);
        return {};
    }

    Status continuity(const Frame& frame, repository::Repository& repository) {
        const restore::ServerPlace place{.data_directory = hello_.data_directory,
                                         .system_identifier = hello_.system_identifier,
                                         .segment_size = hello_.segment_size,
                                         .timeline = static_cast<Timeline>(frame.number(Tag::kTimeline)),
                                         .position = frame.number(Tag::kFinishLsn)};
        FORGE_ASSIGN(const restore::Continuity found,
                     restore::check_continuity(repository, place, frame.number(Tag::kFull) != 0, context(), logger_));
        for (const restore::Hole& hole : found.holes)
            send_row({"hole", hole.first, hole.last, std::to_string(hole.segments)});
        for (const std::string& name : found.on_disk) send_row({"on disk", name});
        done_.add(Tag::kState, state_name(found.state)).add(Tag::kMessage, found.problem);
        done_.add_number(Tag::kCounter, found.waiting);
        if (frame.number(Tag::kMeasure) != 0) {
            std::uint64_t bytes = 0;
            FORGE_TRY(repository.store().list(
                "",
                [&bytes](const store::ObjectInfo& object) {
                    bytes += object.size;
                    return true;
                },
                context()));
            done_.add_number(Tag::kBytesStored, bytes);
        }
        if (window_is_wanted(frame, found)) FORGE_TRY(add_window(repository, place.timeline));
        if (found.backup) {
            const auto micros = [](Instant at) { return static_cast<std::uint64_t>(at.micros()); };
            done_.add(Tag::kName, found.backup->name).add(Tag::kWal, found.backup->start_segment);
            done_.add_number(Tag::kStartTime, micros(found.backup->sentinel.start_time));
            done_.add_number(Tag::kFinishTime, micros(found.backup->sentinel.finish_time));
        }
        return {};
    }

    static std::string_view state_name(restore::Continuity::State state) {
        switch (state) {
            case restore::Continuity::State::kNoBackups: return "none";
            case restore::Continuity::State::kForeign: return "foreign";
            case restore::Continuity::State::kDamaged: return "damaged";
            case restore::Continuity::State::kBackup: return "backup";
        }
        return "none";
    }

    void finish(const Status& result) {
        channel_.send(result.ok() ? std::exchange(done_, Frame(FrameType::kDone)) : failed_frame(result));
    }

    void send_row(const Row& row) {
        Frame frame(FrameType::kRow);
        for (const auto& field : row) frame.add(field ? Tag::kValue : Tag::kNull, field.value_or(""));
        channel_.send(frame);
    }

    store::CallContext context() const {
        store::CallContext context;
        context.cancel = &cancel_;
        context.deadline = Deadline::after(kLongest);
        return context;
    }

    // Reading or removing a large backup takes as long as it takes; the backend ends it by closing the link.
    store::CallContext unbounded() const {
        store::CallContext context;
        context.cancel = &cancel_;
        return context;
    }

    Channel& channel_;
    Logger& logger_;
    const Hello& hello_;
    Configuration config_;
    Frame done_{FrameType::kDone};  // what the end of the running answer says
    CancelToken cancel_;
    std::mutex progress_mutex_;
    std::function<Frame()> progress_;  // of the running job
    JobThread jobs_;  // last: its jobs use the rest
};

}  // namespace

void run_query_role(Channel& channel, Logger& logger, const Hello& hello) {
    QueryRole role(channel, logger, hello);
    role.run();
}

}  // namespace forge::cli
