#include "core/restore/target.h"

#include <algorithm>
#include <set>

#include "core/base/text.h"
#include "core/repository/chain.h"
#include "core/restore/plan_archive.h"
#include "core/wal/history.h"

namespace forge::restore {

namespace {

using repository::BackupEntry;
using wal::WalEvent;

std::string describe(const Target& target) {
    switch (target.type) {
        case Target::Type::kLatest: return "the latest point";
        case Target::Type::kImmediate: return "the end of the backup";
        case Target::Type::kTime: return "target time " + quoted(format_postgres(target.time));
        case Target::Type::kLsn: return "target LSN " + format_lsn(target.lsn);
        case Target::Type::kXid: return "target transaction " + std::to_string(target.xid);
        case Target::Type::kName: return "target restore point " + quoted(target.name);
    }
    return {};
}

// Where recovery would end, seen from one record.
enum class Stop { kNo, kBefore, kAfter };
// The rules of the server's recoveryStopsBefore() and recoveryStopsAfter().
struct StopRule {
    std::function<Stop(const WalEvent&)> at_event = [](const WalEvent&) { return Stop::kNo; };
    std::optional<Lsn> lsn;  // the first record that begins here or later
    bool inclusive = true;   // … is replayed
};

StopRule stop_rule(const Target& target) {
    StopRule rule;
    rule.inclusive = target.inclusive;
    switch (target.type) {
        case Target::Type::kTime:
            rule.at_event = [target](const WalEvent& event) {
                if (!event.ends_transaction()) return Stop::kNo;
                const bool later = target.inclusive ? event.time > target.time : event.time >= target.time;
                return later ? Stop::kBefore : Stop::kNo;
            };
            break;
        case Target::Type::kXid:
            rule.at_event = [target](const WalEvent& event) {
                if (!event.ends_transaction() || event.xid != target.xid) return Stop::kNo;
                return target.inclusive ? Stop::kAfter : Stop::kBefore;
            };
            break;
        case Target::Type::kName:
            rule.at_event = [target](const WalEvent& event) {
                return event.type == WalEvent::Type::kRestorePoint && event.name == target.name ? Stop::kAfter
                                                                                                : Stop::kNo;
            };
            break;
        case Target::Type::kLsn: rule.lsn = target.lsn; break;
        case Target::Type::kLatest:
        case Target::Type::kImmediate: break;
    }
    return rule;
}

// How far a walk came.
struct Walked {
    bool found = false;              // the stop
    Lsn stop = 0;                    // record at which it is
    std::uint64_t last_segment = 0;  // needed to read that record
    std::optional<WalEvent> commit;  // last one that is replayed
    std::optional<Lsn> record;       // start of the last record that is replayed
};

// Follows recovery through segments first..last to where `rule` ends it. Records before `from` end nothing.
Result<Walked> walk_to(ArchiveView& view, std::uint64_t first, std::uint64_t last, Lsn from, const StopRule& rule) {
    Walked walked;
    std::optional<Lsn> previous;
    bool enough = false;
    const auto stop_at = [&](Lsn start, Lsn end) {
        walked.found = true;
        walked.stop = start;
        walked.last_segment = view.number_of(end - 1);
    };
    FORGE_TRY(view.walk(
        first, last,
        [&](const WalEvent& event) {
            const Stop stop = event.lsn < from ? Stop::kNo : rule.at_event(event);
            if (stop != Stop::kNo) stop_at(event.lsn, event.end_lsn);
            if (stop == Stop::kBefore) {
                walked.record = previous;
                return false;
            }
            if (event.type == WalEvent::Type::kCommit) walked.commit = event;
            return stop == Stop::kNo;
        },
        [&](Lsn start, Lsn end) {
            if (enough) return false;
            previous = std::exchange(walked.record, start);
            if (!rule.lsn || start < *rule.lsn) return true;
            stop_at(start, end);
            enough = true;  // one more call, so that an event in this record is seen
            if (!rule.inclusive) walked.record = previous;
            return rule.inclusive;
        }));
    return walked;
}

class Planner {
public:
    Planner(repository::Repository& repository, const Target& target, bool allow_nearest,
            const store::CallContext& context, Logger& logger)
        : repository_(repository), target_(target), allow_nearest_(allow_nearest), context_(context), logger_(logger) {}

    Result<Plan> run();
    Result<Window> window();

private:
    using Backups = std::vector<BackupEntry>;

    // Reads the listings and chooses the lineage; what is left in backups_ can be restored and lies on it, oldest
    // first.
    Status prepare();
    Status find_candidates();
    Status keep_named(const Backups& all);
    Result<Lineage> choose_lineage();
    Result<Lineage> newest_lineage();
    Result<Lineage> numbered_lineage();
    // "current": the newest backup that fits the target decides.
    Timeline current_timeline() const;
    Status keep_restorable();
    bool ended_in_time(const BackupEntry& backup) const;
    const BackupEntry* newest_in_time() const;

    Result<Plan> plan_end();
    Result<Plan> plan_immediate();
    Result<Plan> plan_time();
    Result<Plan> plan_lsn();
    Result<Plan> plan_search();
    // First segment to walk for a time target: bisection over the first commit or abort of each segment.
    Result<std::uint64_t> segment_before(std::uint64_t first, std::uint64_t last);

    Plan plan_from(const BackupEntry& backup) const;
    Result<Plan> reached(Plan plan, const Walked& walked, std::uint64_t walked_from);
    Result<Plan> not_reached(Plan plan);
    Result<Plan> nearest(Plan plan, std::string reason);
    Status too_early();
    Status beyond_hole(const BackupEntry& backup);
    Status too_late();
    Result<Window> reachable();
    Result<std::string> window_text();
    bool has_hole(const BackupEntry& backup) const { return last_reachable(backup) < view_->highest(); }
    std::uint64_t first_segment(const BackupEntry& backup) const { return view_->number_of(start_of(backup)); }
    std::uint64_t last_reachable(const BackupEntry& backup) const {
        return view_->reach(first_segment(backup)).value_or(0);
    }

    repository::Repository& repository_;
    const Target target_;
    const bool allow_nearest_;
    const store::CallContext& context_;
    Logger& logger_;
    repository::WalListing listing_;
    Backups backups_;
    std::optional<ArchiveView> view_;
};

Status Planner::prepare() {
    FORGE_ASSIGN(listing_, repository_.list_wal(context_));
    FORGE_TRY(find_candidates());
    FORGE_ASSIGN(const std::uint64_t segment_size, find_segment_size(repository_, listing_, context_));
    FORGE_ASSIGN(Lineage lineage, choose_lineage());
    view_.emplace(repository_, listing_, std::move(lineage), segment_size, context_);
    std::erase_if(backups_, [&](const BackupEntry& backup) { return !view_->lineage().contains(backup); });
    return keep_restorable();
}

Status Planner::find_candidates() {
    FORGE_ASSIGN(const Backups all, repository_.list_backups(context_));
    if (!target_.backup.empty() && target_.backup != "LATEST") return keep_named(all);
    backups_ = usable_backups(all);
    if (backups_.empty()) {
        const std::string where = " in " + repository_.store().url();
        if (all.empty())
            return Status(Kind::kInvalid, "there is no backup" + where,
                          "Check the prefix; a first backup has to be made before anything can be restored.");
        return Status(Kind::kInvalid, "there is no backup that can be restored" + where,
                      "List the backups to see why; delta backups need the full backup they are based on.");
    }
    if (target_.backup == "LATEST") backups_.erase(backups_.begin(), backups_.end() - 1);
    return {};
}

Status Planner::keep_named(const Backups& all) {
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const BackupEntry& backup) { return backup.name == target_.backup; });
    // The repository knows how to say that there is no such backup.
    if (found == all.end()) {
        auto named = repository_.find_backup(target_.backup, context_);
        FORGE_TRY(named.status());
        backups_ = {std::move(*named)};
    } else {
        backups_ = {*found};
    }
    const BackupEntry& backup = backups_.front();
    if (!backup.readable)
        return Status(Kind::kCorrupt, "backup " + quoted(backup.name) + " cannot be read: " + backup.problem);
    FORGE_TRY(repository::chain_of(all, backup).status());
    if (!is_usable(backup))
        return Status(Kind::kCorrupt,
                      "backup " + quoted(backup.name) + " does not say where in the WAL it begins and ends");
    return {};
}

Result<Lineage> Planner::choose_lineage() {
    if (target_.timeline == "latest" || target_.timeline.empty()) return newest_lineage();
    if (target_.timeline == "current") return Lineage::read(repository_, listing_, current_timeline(), context_);
    return numbered_lineage();
}

// The highest timeline to which a backup leads. The server probes upwards from the backup's timeline; both agree unless
// history files are missing.
Result<Lineage> Planner::newest_lineage() {
    std::set<Timeline> timelines;
    for (const std::string& history : listing_.histories) {
        if (const auto timeline = parse_number<Timeline>(std::string_view(history).substr(0, 8), 16))
            timelines.insert(*timeline);
    }
    for (const BackupEntry& backup : backups_) timelines.insert(backup.finish_timeline());
    for (auto timeline = timelines.rbegin(); timeline != timelines.rend(); ++timeline) {
        FORGE_ASSIGN(Lineage lineage, Lineage::read(repository_, listing_, *timeline, context_));
        const bool leads = std::any_of(backups_.begin(), backups_.end(),
                                       [&](const BackupEntry& backup) { return lineage.contains(backup); });
        if (leads) return lineage;
        logger_.debug("no backup lies on the way to timeline " + std::to_string(*timeline));
    }
    return Status(Kind::kInternal, "no backup lies on its own timeline");
}

Result<Lineage> Planner::numbered_lineage() {
    const auto timeline = parse_number<Timeline>(target_.timeline);
    if (!timeline || *timeline == 0) {
        return Status(Kind::kInvalid, "invalid timeline " + quoted(target_.timeline),
                      "Give \"latest\", \"current\" or the number of a timeline.");
    }
    FORGE_ASSIGN(Lineage lineage, Lineage::read(repository_, listing_, *timeline, context_));
    const bool leads = std::any_of(backups_.begin(), backups_.end(),
                                   [&](const BackupEntry& backup) { return lineage.contains(backup); });
    if (leads) return lineage;
    const std::string number = std::to_string(*timeline);
    if (!target_.backup.empty()) {
        return Status(Kind::kInvalid,
                      "backup " + quoted(backups_.front().name) + " does not lie on the way to timeline " + number,
                      "Choose another backup or another timeline.");
    }
    const bool exists = std::find(listing_.histories.begin(), listing_.histories.end(), wal::history_name(*timeline)) !=
                        listing_.histories.end();
    if (!exists)
        return Status(Kind::kInvalid, "timeline " + number + " does not exist in the archive",
                      "Its history file is missing, and no backup was taken on it.");
    return Status(Kind::kInvalid, "no backup lies on the way to timeline " + number, "Restore to another timeline.");
}

Timeline Planner::current_timeline() const {
    const BackupEntry* backup = newest_in_time();
    return backup != nullptr ? backup->finish_timeline() : backups_.front().finish_timeline();
}

Status Planner::keep_restorable() {
    std::string first_problem;
    Backups kept;
    for (const BackupEntry& backup : backups_) {
        // The position after the last byte of WAL needed may be the start of a segment that is not.
        const auto missing = view_->missing_between(first_segment(backup), view_->number_of(finish_of(backup) - 1));
        if (missing.empty()) {
            kept.push_back(backup);
            continue;
        }
        const std::string problem = "backup " + quoted(backup.name) + " cannot be restored: WAL segment " +
                                    quoted(missing.front()) + ", which it needs, is missing";
        logger_.warning(problem);
        if (first_problem.empty()) first_problem = problem;
    }
    const bool had_any = !backups_.empty();
    backups_ = std::move(kept);
    if (!backups_.empty()) return {};
    if (had_any)
        return Status(Kind::kInvalid, first_problem,
                      "Without these segments it never becomes consistent; use another backup.");
    return Status(Kind::kInvalid,
                  "no backup lies on the way to timeline " + std::to_string(view_->lineage().timeline()),
                  "Choose another backup or another timeline.");
}

bool Planner::ended_in_time(const BackupEntry& backup) const {
    if (target_.type == Target::Type::kTime) return backup.sentinel.finish_time <= target_.time;
    if (target_.type == Target::Type::kLsn) return finish_of(backup) <= target_.lsn;
    return true;
}

const BackupEntry* Planner::newest_in_time() const {
    const auto found = std::find_if(backups_.rbegin(), backups_.rend(),
                                    [this](const BackupEntry& backup) { return ended_in_time(backup); });
    return found == backups_.rend() ? nullptr : &*found;
}

Result<Plan> Planner::run() {
    FORGE_TRY(prepare());
    switch (target_.type) {
        case Target::Type::kLatest: return plan_end();
        case Target::Type::kImmediate: return plan_immediate();
        case Target::Type::kTime: return plan_time();
        case Target::Type::kLsn: return plan_lsn();
        case Target::Type::kXid:
        case Target::Type::kName: return plan_search();
    }
    return Status(Kind::kInternal, "unknown type of target");
}

Plan Planner::plan_from(const BackupEntry& backup) const {
    Plan plan;
    plan.backup = backup;
    plan.target = target_;
    plan.timeline = view_->lineage().timeline();
    for (const Branch& branch : view_->lineage().branches()) {
        if (branch.timeline >= backup.timeline()) plan.lineage.push_back(branch.timeline);
    }
    const std::uint64_t first = first_segment(backup);
    const std::uint64_t last = last_reachable(backup);
    plan.first_segment = view_->name(first);
    plan.last_segment = view_->name(last);
    plan.segments = last - first + 1;
    return plan;
}

Result<Plan> Planner::reached(Plan plan, const Walked& walked, std::uint64_t walked_from) {
    const std::uint64_t first = first_segment(plan.backup);
    const std::uint64_t last = std::min(walked.last_segment, last_reachable(plan.backup));
    plan.last_segment = view_->name(last);
    plan.segments = last - first + 1;
    plan.reached_lsn = walked.record;
    if (walked.commit) {
        plan.reached_time = walked.commit->time;
    } else if (walked_from > first) {
        FORGE_ASSIGN(const ArchiveView::LastEnds before, view_->last_ends(first, walked_from - 1));
        if (before.commit) plan.reached_time = before.commit->time;
    }
    return plan;
}

Result<Plan> Planner::plan_end() {
    Plan plan = plan_from(backups_.back());
    if (has_hole(plan.backup)) return not_reached(std::move(plan));
    const std::uint64_t first = first_segment(plan.backup);
    const std::uint64_t last = last_reachable(plan.backup);
    FORGE_ASSIGN(const ArchiveView::LastEnds ends, view_->last_ends(first, last));
    if (ends.commit) plan.reached_time = ends.commit->time;
    FORGE_ASSIGN(plan.reached_lsn, view_->last_record(last));
    return plan;
}

Result<Plan> Planner::plan_immediate() {
    Plan plan = plan_from(backups_.back());
    const std::uint64_t first = first_segment(plan.backup);
    const std::uint64_t last = view_->number_of(finish_of(plan.backup) - 1);
    FORGE_ASSIGN(const ArchiveView::LastEnds ends, view_->last_ends(first, last, finish_of(plan.backup)));
    if (ends.commit) plan.reached_time = ends.commit->time;
    plan.last_segment = view_->name(last);
    plan.segments = last - first + 1;
    plan.reached_lsn = finish_of(plan.backup);
    return plan;
}

// Recovery ends at the first commit or abort later than the target, and fails where there is none.
Result<Plan> Planner::plan_time() {
    const BackupEntry* backup = newest_in_time();
    if (backup == nullptr) return too_early();
    const std::uint64_t last = last_reachable(*backup);
    FORGE_ASSIGN(const std::uint64_t from, segment_before(first_segment(*backup), last));
    FORGE_ASSIGN(const Walked walked, walk_to(*view_, from, last, finish_of(*backup), stop_rule(target_)));
    Plan plan = plan_from(*backup);
    return walked.found ? reached(std::move(plan), walked, from) : not_reached(std::move(plan));
}

// Times of commits grow but for moments (they are taken before the record is written), so two segments of margin make
// the walk that follows exact. A clock that was set back by more may hide an earlier stop.
Result<std::uint64_t> Planner::segment_before(std::uint64_t first, std::uint64_t last) {
    const StopRule rule = stop_rule(target_);
    std::uint64_t low = first;
    std::uint64_t high =
        last + 1;  // the first segment from which on everything is later than the target lies in low..high
    while (low < high) {
        const std::uint64_t middle = low + (high - low) / 2;
        std::optional<WalEvent> next;
        for (std::uint64_t number = middle; number <= last && !next; ++number) {
            FORGE_ASSIGN(next, view_->first_end(number));
        }
        if (!next || rule.at_event(*next) != Stop::kNo) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    constexpr std::uint64_t kMargin = 2;
    return std::min(last, std::max(first + kMargin, low) - kMargin);
}

Result<Plan> Planner::plan_lsn() {
    const BackupEntry* backup = newest_in_time();
    if (backup == nullptr) return too_early();
    Plan plan = plan_from(*backup);
    const std::uint64_t last = last_reachable(*backup);
    const std::uint64_t from = view_->number_of(target_.lsn);
    if (from > last) return not_reached(std::move(plan));
    FORGE_ASSIGN(const Walked walked, walk_to(*view_, from, last, 0, stop_rule(target_)));
    return walked.found ? reached(std::move(plan), walked, from) : not_reached(std::move(plan));
}

// Transactions and restore points are looked for from the newest backup on, then between the one before and it, and so
// on. What lies within a backup can only be reached from an older one.
Result<Plan> Planner::plan_search() {
    const StopRule rule = stop_rule(target_);
    std::optional<std::uint64_t> upper;
    for (auto backup = backups_.rbegin(); backup != backups_.rend(); ++backup) {
        const std::uint64_t first = first_segment(*backup);
        const std::uint64_t last = std::min(last_reachable(*backup), upper.value_or(UINT64_MAX));
        FORGE_ASSIGN(const Walked walked, walk_to(*view_, first, last, 0, rule));
        if (walked.found && walked.stop >= finish_of(*backup)) return reached(plan_from(*backup), walked, first);
        upper = view_->number_of(finish_of(*backup));
    }
    if (has_hole(backups_.back())) return not_reached(plan_from(backups_.back()));
    FORGE_ASSIGN(const std::string window, window_text());
    return Status(Kind::kInvalid,
                  describe(target_) + " is not in the archived WAL after the end of the first backup " + window,
                  "Check it, and the timeline: this is the WAL that leads to timeline " +
                      std::to_string(view_->lineage().timeline()) + ".");
}

Result<Plan> Planner::not_reached(Plan plan) {
    const Status reason = has_hole(plan.backup) ? beyond_hole(plan.backup) : too_late();
    if (!allow_nearest_ || !reason.is(Kind::kInvalid)) return reason;
    return nearest(std::move(plan), reason.message());
}

Result<Plan> Planner::nearest(Plan plan, std::string reason) {
    const std::uint64_t first = first_segment(plan.backup);
    const std::uint64_t last = last_reachable(plan.backup);
    FORGE_ASSIGN(const ArchiveView::LastEnds ends, view_->last_ends(first, last));
    if (ends.commit) plan.reached_time = ends.commit->time;
    FORGE_ASSIGN(plan.reached_lsn, view_->last_record(last));
    plan.exact = false;
    plan.inexact_reason = std::move(reason);
    if (view_->highest() > last) plan.missing_segments = view_->missing_between(last, view_->highest());
    return plan;
}

Status Planner::too_early() {
    FORGE_ASSIGN(const std::string window, window_text());
    return Status(Kind::kInvalid, describe(target_) + " is before the first backup ended " + window,
                  target_.backup.empty() ? "Choose a target after the end of a backup."
                                         : "Choose a later target or an older backup.");
}

Status Planner::beyond_hole(const BackupEntry& backup) {
    const std::uint64_t last = last_reachable(backup);
    FORGE_ASSIGN(const ArchiveView::LastEnds ends, view_->last_ends(first_segment(backup), last));
    const std::string point =
        ends.any ? quoted(format_postgres(ends.any->time)) : "the end of backup " + quoted(backup.name);
    return Status(Kind::kInvalid,
                  describe(target_) + " lies beyond a hole in the archived WAL: segment " +
                      quoted(view_->name(last + 1)) + " is missing (the archive leads to " + point + ")",
                  "The nearest point that can be reached is " + point +
                      "; ask for the nearest point, or for an earlier one.");
}

Status Planner::too_late() {
    FORGE_ASSIGN(const Window window, reachable());
    FORGE_ASSIGN(const std::string text, window_text());
    std::string message = describe(target_);
    if (target_.type == Target::Type::kLsn) {
        FORGE_ASSIGN(const auto record, view_->last_record(view_->highest()));
        message += " is after the last archived record, at " + format_lsn(record.value_or(0));
    } else if (window.latest && *window.latest == target_.time) {
        message += " is that of the last archived transaction, and recovery stops only at a later one";
    } else {
        message += " is after the last archived transaction";
    }
    return Status(Kind::kInvalid, message + " " + text,
                  "Choose an earlier target; without a target, recovery goes to the end of the archived WAL.");
}

// On an idle cluster the last transaction may lie before the newest backup.
Result<Window> Planner::reachable() {
    Window window;
    if (backups_.empty()) return window;
    const std::uint64_t last = last_reachable(backups_.back());
    const auto oldest = std::find_if(backups_.begin(), backups_.end(), [&](const BackupEntry& backup) {
        return last_reachable(backup) == last;  // no hole lies between
    });
    window.backup = oldest->name;
    window.earliest = oldest->sentinel.finish_time;
    window.earliest_lsn = oldest->sentinel.finish_lsn;
    FORGE_ASSIGN(const ArchiveView::LastEnds ends, view_->last_ends(first_segment(*oldest), last));
    if (ends.any) {
        window.latest = ends.any->time;
        window.latest_lsn = ends.any->end_lsn;
    }
    return window;
}

Result<std::string> Planner::window_text() {
    FORGE_ASSIGN(const Window window, reachable());
    if (!window.earliest) return std::string("(nothing can be restored)");
    const std::string earliest = quoted(format_postgres(*window.earliest));
    if (!window.latest) return "(no transaction is archived after the first backup, which ended at " + earliest + ")";
    return "(the archive can restore " + earliest + " to " + quoted(format_postgres(*window.latest)) + ")";
}

Result<Window> Planner::window() {
    if (const Status status = prepare(); !status.ok()) {
        // Nothing to restore is an answer here.
        if (status.is(Kind::kInvalid)) return Window();
        return status;
    }
    return reachable();
}

}  // namespace

Result<Plan> make_plan(repository::Repository& repository, const Target& target, bool allow_nearest,
                       const store::CallContext& context, Logger& logger) {
    return Planner(repository, target, allow_nearest, context, logger).run();
}

Result<Window> recovery_window(repository::Repository& repository, const std::string& timeline,
                               const store::CallContext& context) {
    NullLogger quiet;
    Target end;
    end.timeline = timeline;
    return Planner(repository, end, false, context, quiet).window();
}

}  // namespace forge::restore
