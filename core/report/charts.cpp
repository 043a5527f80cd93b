#include "core/report/charts.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "core/report/markup.h"
#include "core/report/picture.h"

namespace forge::report {

namespace {

constexpr int kDeepest = 6;                // lanes of deltas
constexpr std::size_t kMostTimelines = 6;  // lanes of WAL
constexpr double kLane = 15;
constexpr double kAxis = 18;
constexpr int kCells = 400;  // of the width: marks of one lane in one of them are one mark

// Draws the timeline from top to bottom.
class TimelinePicture {
public:
    TimelinePicture(const Facts& facts, const TimeAxis& axis)
        : facts_(facts), axis_(axis), picture_("Timeline of base backups and archived WAL",
                                               "From " + time_text(axis.from()) + " to " + time_text(axis.to()) +
                                                   " UTC; the tables below have the same data") {}

    std::string draw() {
        draw_window();
        draw_backups();
        draw_restore_points();
        draw_wal();
        picture_.time_grid(axis_, y_);
        return picture_.finish(y_ + kAxis);
    }

private:
    void draw_window() {
        const bool known = facts_.earliest != Instant{};
        const Instant latest = std::max(facts_.latest, facts_.earliest);
        picture_.heading(y_ + 11, "Recovery window",
                         known ? span_text(seconds_between(facts_.earliest, latest)) + " long" : "none");
        y_ += 17;
        picture_.bar("track", 0.5, y_, 99, 8);
        if (known) {
            const double begin = axis_.place(facts_.earliest);
            picture_.bar("window", begin, y_, std::max(0.3, axis_.place(latest) - begin), 8,
                         "every moment from " + time_text(facts_.earliest) + " to " + time_text(latest) + " UTC");
            for (const WalHole& hole : facts_.wal.holes)
                if (hole.needed) draw_hole(hole, y_, 8);
        }
        y_ += 8 + kLane;
    }

    // In the order of time, with a cross where a restore is impossible.
    void draw_backups() {
        std::uint64_t full = 0;
        int deepest = 0;
        for (const Backup& backup : facts_.backups) {
            full += backup.parent.empty() ? 1U : 0U;
            deepest = std::max(deepest, std::min(backup.depth, kDeepest));
        }
        const std::uint64_t deltas = facts_.backups.size() - full;
        picture_.heading(y_ + 11, "Base backups",
                         plural(full, "full", "full") + (deltas > 0 ? ", " + plural(deltas, "delta", "deltas") : ""));
        y_ += 26;
        std::map<std::string_view, const Backup*> by_name;
        for (const Backup& backup : facts_.backups) by_name[backup.name] = &backup;
        std::set<std::pair<int, int>> drawn;
        std::vector<const Backup*> shown;
        for (auto backup = facts_.backups.rbegin(); backup != facts_.backups.rend(); ++backup) {
            const int cell = static_cast<int>(axis_.place(moment_of(*backup)) * kCells / 100);
            if (drawn.insert({lane_of(*backup), cell}).second) shown.push_back(&*backup);
        }
        for (const Backup* backup : shown)
            if (const auto parent = by_name.find(backup->parent); parent != by_name.end())
                draw_chain(*parent->second, *backup);
        for (const Backup* backup : shown) draw_backup(*backup);
        y_ += kLane * deepest + 12 + kLane;
    }

    // Marks that would lie on each other are one, which counts them.
    void draw_restore_points() {
        if (facts_.restore_points.empty()) return;
        picture_.heading(y_ + 11, "Restore points", count_text(facts_.restore_point_count));
        y_ += 22;
        std::map<std::pair<bool, int>, std::vector<const RestorePoint*>> cells;
        for (const RestorePoint& point : facts_.restore_points)
            cells[{point.backup.empty(), static_cast<int>(axis_.place(point.time) * kCells / 100)}].push_back(&point);
        for (const auto& [cell, points] : cells) {
            const RestorePoint& newest = *points.back();
            std::string tip = newest.name + ", " + time_text(newest.time) + " UTC, timeline " +
                              std::to_string(newest.timeline) +
                              (newest.backup.empty() ? ", cannot be reached" : ", from " + newest.backup);
            if (points.size() > 1) tip += ", and " + std::to_string(points.size() - 1) + " more beside it";
            picture_.bar(newest.backup.empty() ? "point lost" : "point", axis_.place(newest.time), y_, 0.35, 12, tip);
        }
        y_ += 12 + kLane;
    }

    static Instant moment_of(const Backup& backup) { return backup.finish != Instant{} ? backup.finish : backup.start; }
    static int lane_of(const Backup& backup) {
        return std::clamp(backup.parent.empty() ? 0 : std::max(1, backup.depth), 0, kDeepest);
    }
    double y_of(const Backup& backup) const { return y_ + kLane * lane_of(backup); }

    void draw_chain(const Backup& parent, const Backup& child) {
        const double from = axis_.place(moment_of(parent));
        picture_.line("chain", from, y_of(parent), from, y_of(child));
        picture_.line("chain", from, y_of(child), axis_.place(moment_of(child)), y_of(child));
    }

    void draw_backup(const Backup& backup) {
        const double x = axis_.place(moment_of(backup));
        const std::string tip = backup.name + ", " + time_text(moment_of(backup)) + " UTC, " +
                                format_size(backup.stored) + (backup.permanent ? ", permanent" : "") +
                                (backup.problem.empty() ? "" : ", cannot be restored: " + backup.problem);
        if (!backup.problem.empty())
            picture_.cross("broken", x, y_of(backup), 9, tip);
        else if (backup.parent.empty())
            picture_.square(backup.permanent ? "full permanent" : "full", x, y_of(backup), 10, tip);
        else
            picture_.dot(backup.permanent ? "delta permanent" : "delta", x, y_of(backup), 4, tip);
    }

    void draw_wal() {
        std::map<forge::Timeline, std::vector<const WalRun*>> lanes;
        for (const WalRun& run : facts_.wal.runs) lanes[run.timeline].push_back(&run);
        while (lanes.size() > kMostTimelines) lanes.erase(lanes.begin());
        if (lanes.empty()) {
            picture_.heading(y_ + 11, "WAL", "none");
            y_ += 17;
            picture_.bar("track", 0.5, y_, 99, 8);
            y_ += 16;
        }
        for (const auto& [timeline, runs] : lanes) draw_lane(timeline, runs);
        y_ += 2;
    }

    void draw_lane(forge::Timeline timeline, const std::vector<const WalRun*>& runs) {
        const std::uint64_t holes = static_cast<std::uint64_t>(
            std::count_if(facts_.wal.holes.begin(), facts_.wal.holes.end(),
                          [&](const WalHole& hole) { return timeline_of(hole) == timeline; }));
        picture_.heading(y_ + 11, "WAL, timeline " + std::to_string(timeline),
                         holes > 0 ? plural(holes, "hole", "holes") : "no hole");
        y_ += 17;
        picture_.bar("track", 0.5, y_, 99, 8);
        // Runs that touch are one bar.
        double end = -1;
        for (const WalRun* run : runs) {
            const double begin = axis_.place(run->begin);
            const double width = std::max(0.3, axis_.place(run->end) - begin);
            if (begin + width <= end) continue;
            picture_.bar("wal", begin, y_, width, 8,
                         plural(run->last - run->first + 1, "segment", "segments") + ", stored from " +
                             time_text(run->begin) + " to " + time_text(run->end) + " UTC");
            end = begin + width;
        }
        for (const WalHole& hole : facts_.wal.holes)
            if (timeline_of(hole) == timeline) draw_hole(hole, y_, 8);
        y_ += 8 + kLane;
    }

    static forge::Timeline timeline_of(const WalHole& hole) {
        return static_cast<forge::Timeline>(std::stoul(hole.first.substr(0, 8), nullptr, 16));
    }

    void draw_hole(const WalHole& hole, double y, double height) {
        const double begin = axis_.place(std::min(hole.after, hole.before));
        const double end = axis_.place(std::max(hole.after, hole.before));
        picture_.bar(hole.needed ? "hole" : "hole old", begin, y - 3, std::max(0.6, end - begin), height + 6,
                     plural(hole.segments, "segment is", "segments are") + " missing: " + hole.first +
                         (hole.segments > 1 ? " to " + hole.last : ""));
    }

    const Facts& facts_;
    const TimeAxis& axis_;
    Picture picture_;
    double y_ = 4;
};

// Bars of the newest backups, from left to right.
std::string draw_bars(const Facts& facts, const std::string& name, const std::string& description,
                      const std::function<double(const Backup&)>& value,
                      const std::function<std::string(double)>& figure) {
    const std::size_t count = std::min(facts.backups.size(), kMostBars);
    const auto first = facts.backups.end() - static_cast<std::ptrdiff_t>(count);
    double most = 0;
    for (auto backup = first; backup != facts.backups.end(); ++backup) most = std::max(most, value(*backup));
    constexpr double kHeight = 64;
    constexpr double kTop = 20;
    Picture picture(name, description);
    picture.heading(11, name,
                    count == 0 ? "none" : "newest " + figure(value(facts.backups.back())) + ", most " + figure(most));
    const double step = count == 0 ? 0 : std::min(6.0, 99.0 / static_cast<double>(count));
    double x = 0.5;
    for (auto backup = first; backup != facts.backups.end(); ++backup, x += step) {
        const double height = most > 0 ? std::max(1.0, kHeight * value(*backup) / most) : 1;
        picture.bar(backup->parent.empty() ? "size" : "size delta", x, kTop + kHeight - height, step * 0.72, height,
                    backup->name + ": " + figure(value(*backup)));
    }
    picture.line("base", 0, kTop + kHeight, 100, kTop + kHeight);
    return picture.finish(kTop + kHeight + 2);
}

}  // namespace

TimeAxis axis_of(const Facts& facts) {
    Instant from = facts.now;
    const auto consider = [&from](Instant at) {
        if (at != Instant{}) from = std::min(from, at);
    };
    for (const Backup& backup : facts.backups) consider(backup.start != Instant{} ? backup.start : backup.finish);
    consider(facts.wal.oldest_at);
    return {from, facts.now};
}

std::string draw_timeline(const Facts& facts, const TimeAxis& axis) { return TimelinePicture(facts, axis).draw(); }

std::string draw_risk(const Facts& facts, const TimeAxis& axis) {
    struct Step {
        Instant begin, end;
        double seconds;
    };
    std::vector<Step> steps;
    const bool measured = facts.server && !facts.server->risk_history.empty();
    if (measured) {
        const std::vector<RiskSample>& samples = facts.server->risk_history;
        for (const RiskSample& sample : samples)
            steps.push_back({sample.at, std::min(Instant{sample.at.nanos + kRiskSpan.count()}, facts.now), sample.seconds});
    } else {
        for (const Pause& pause : facts.wal.pauses) steps.push_back({pause.begin, pause.end, pause.seconds});
    }
    const TimeAxis own = measured ? TimeAxis(steps.front().begin, facts.now) : axis;
    const auto worst = std::max_element(steps.begin(), steps.end(),
                                        [](const Step& a, const Step& b) { return a.seconds < b.seconds; });
    constexpr double kHeight = 80;
    constexpr double kTop = 20;
    Picture picture("Data at risk over time", measured ? "Age of the oldest committed WAL that was not in the storage"
                                                       : "Age of the newest WAL in the storage");
    picture.heading(11, measured ? "Not yet stored" : "Age of the newest WAL",
                    worst == steps.end() || worst->seconds <= 0
                        ? "none"
                        : "most " + span_text(worst->seconds) + ", " + time_text(worst->begin).substr(0, 6));
    for (const Step& step : steps) {
        if (step.seconds <= 0) continue;
        const double x = own.place(step.begin);
        const double height = std::max(1.0, kHeight * step.seconds / worst->seconds);
        picture.bar(&step == &*worst ? "risk most" : "risk", x, kTop + kHeight - height,
                    std::max(0.3, own.place(step.end) - x), height,
                    time_text(step.begin) + " UTC: " + span_text(step.seconds));
    }
    picture.line("base", 0, kTop + kHeight, 100, kTop + kHeight);
    picture.time_grid(own, kTop + kHeight);
    return picture.finish(kTop + kHeight + kAxis);
}

std::string draw_sizes(const Facts& facts) {
    return draw_bars(
        facts, "Stored size", "One bar a base backup, the newest on the right",
        [](const Backup& backup) { return static_cast<double>(backup.stored); },
        [](double value) { return format_size(static_cast<std::uint64_t>(value)); });
}

std::string draw_durations(const Facts& facts) {
    return draw_bars(
        facts, "Duration", "One bar a base backup, the newest on the right",
        [](const Backup& backup) {
            if (backup.start == Instant{} || backup.finish == Instant{}) return 0.0;
            return std::max(0.0, seconds_between(backup.start, backup.finish));
        },
        span_text);
}

}  // namespace forge::report
