#include "core/report/wal_summary.h"

#include <algorithm>

namespace forge::report {

namespace {

// Runs for a picture: neighbours are joined until there are few enough. The list of holes tells them all the same.
std::vector<WalRun> at_most(const std::vector<WalRun>& runs, std::size_t most) {
    if (runs.size() <= most) return runs;
    const std::size_t group = runs.size() / most + 1;
    std::vector<WalRun> joined;
    std::size_t in_group = 0;
    for (const WalRun& run : runs) {
        if (joined.empty() || in_group == group || joined.back().timeline != run.timeline) {
            // Timelines beyond all measure: the newest are of interest.
            if (joined.size() == most) joined.erase(joined.begin());
            joined.push_back(run);
            in_group = 1;
            continue;
        }
        joined.back().last = run.last;
        joined.back().begin = std::min(joined.back().begin, run.begin);
        joined.back().end = std::max(joined.back().end, run.end);
        ++in_group;
    }
    return joined;
}

// Where recovery can begin: the segments in which backups that can be restored do. By the number, since a later
// timeline goes on from where an older one was.
class StartingPoints {
public:
    StartingPoints(const std::vector<Backup>& backups, std::uint64_t segment_size) {
        for (const Backup& backup : backups) {
            const auto start = layout::parse_segment(backup.start_segment, segment_size);
            if (start && backup.problem.empty()) points_.push_back({start->number, start->timeline, 0, &backup});
        }
        std::stable_sort(points_.begin(), points_.end(),
                         [](const Point& a, const Point& b) { return a.number < b.number; });
        Timeline oldest = UINT32_MAX;
        for (Point& point : points_) point.oldest = oldest = std::min(oldest, point.timeline);
    }
    // A recovery from one of them comes by this segment.
    bool any_up_to(layout::Segment segment) const {
        const auto after = first_after(segment);
        return after != points_.begin() && std::prev(after)->oldest <= segment.timeline;
    }
    // Name of the first backup that does not need it any more; empty = there is none.
    std::string next_after(layout::Segment segment) const {
        for (auto point = first_after(segment); point != points_.end(); ++point)
            if (point->timeline >= segment.timeline) return point->backup->name;
        return {};
    }

private:
    struct Point {
        std::uint64_t number;
        Timeline timeline;
        Timeline oldest;  // of this and all before it
        const Backup* backup;
    };
    std::vector<Point>::const_iterator first_after(layout::Segment segment) const {
        return std::upper_bound(points_.begin(), points_.end(), segment.number,
                                [](std::uint64_t number, const Point& point) { return number < point.number; });
    }
    std::vector<Point> points_;
};

}  // namespace

void WalSummary::add(std::string_view name, std::uint64_t bytes, Instant stored) {
    const auto segment = layout::parse_segment(name, segment_size_);
    if (!segment) return;
    bytes_ += bytes;
    stored_.push_back(stored);
    if (stored >= newest_at_) {
        newest_at_ = stored;
        newest_ = name;
    }
    if (!runs_.empty() && runs_.back().timeline == segment->timeline && segment->number <= runs_.back().last + 1) {
        WalRun& run = runs_.back();  // the same segment twice: by two methods
        run.last = std::max(run.last, segment->number);
        run.begin = std::min(run.begin, stored);
        run.end = std::max(run.end, stored);
        return;
    }
    runs_.push_back({segment->timeline, segment->number, segment->number, stored, stored});
}

bool WalSummary::covers(layout::Segment first, layout::Segment last) const {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), first, [](const auto& wanted, const WalRun& run) {
        return wanted < layout::Segment{run.timeline, run.first};
    });
    if (after == runs_.begin()) return false;
    const WalRun& run = *std::prev(after);
    return run.timeline == first.timeline && last.timeline == first.timeline && last.number <= run.last;
}

Wal WalSummary::finish(const std::vector<Backup>& backups, Instant now) const {
    Wal wal;
    wal.objects = stored_.size();
    wal.bytes = bytes_;
    wal.segment_size = segment_size_;
    wal.newest = newest_;
    wal.newest_at = newest_at_;
    if (!stored_.empty()) wal.oldest_at = *std::min_element(stored_.begin(), stored_.end());
    wal.run_count = runs_.size();
    wal.runs = at_most(runs_, kMostRuns);
    add_holes(wal, backups);
    wal.pauses = pauses(now);
    return wal;
}

void WalSummary::add_holes(Wal& wal, const std::vector<Backup>& backups) const {
    const StartingPoints starts(backups, segment_size_);
    for (std::size_t i = 1; i < runs_.size(); ++i) {
        const WalRun& before = runs_[i - 1];
        const WalRun& after = runs_[i];
        if (after.timeline != before.timeline) continue;
        WalHole hole;
        const layout::Segment last{before.timeline, after.first - 1};
        hole.first = layout::segment_name({before.timeline, before.last + 1}, segment_size_);
        hole.last = layout::segment_name(last, segment_size_);
        hole.segments = after.first - before.last - 1;
        hole.after = before.end;
        hole.before = after.begin;
        hole.needed = starts.any_up_to(last);
        hole.bridge = starts.next_after(last);
        ++wal.hole_count;
        if (hole.needed && hole.bridge.empty()) wal.open_segments += hole.segments;
        if (wal.holes.size() == kMostHoles) wal.holes.erase(wal.holes.begin());
        wal.holes.push_back(std::move(hole));
    }
}

// At a moment between two uploads what is newer than the first of them is not in the store.
std::vector<Pause> WalSummary::pauses(Instant now) const {
    std::vector<Instant> stored = stored_;
    std::sort(stored.begin(), stored.end());
    if (stored.empty() || now <= stored.front()) return {};
    const Instant from = stored.front();
    const std::int64_t slice = (now.nanos - from.nanos) / static_cast<std::int64_t>(kMostPauses) + 1;
    std::vector<Pause> slices(kMostPauses);
    for (std::size_t i = 0; i < slices.size(); ++i) {
        slices[i].begin = Instant{from.nanos + static_cast<std::int64_t>(i) * slice};
        slices[i].end = std::min(now, Instant{slices[i].begin.nanos + slice});
    }
    stored.push_back(now);
    for (std::size_t i = 1; i < stored.size(); ++i) {
        const Instant begin = stored[i - 1];
        const Instant end = std::min(stored[i], now);
        if (end <= from || end <= begin) continue;
        const auto index = [&](Instant at) {
            return static_cast<std::size_t>(std::clamp<std::int64_t>((at.nanos - from.nanos) / slice, 0,
                                                                     static_cast<std::int64_t>(kMostPauses) - 1));
        };
        for (std::size_t at = index(begin); at <= index(end); ++at) {
            const std::int64_t length = std::min(end, slices[at].end).nanos - begin.nanos;
            slices[at].seconds = std::max(slices[at].seconds, static_cast<double>(length) / 1e9);
        }
    }
    std::erase_if(slices, [](const Pause& pause) { return pause.end <= pause.begin; });
    return slices;
}

}  // namespace forge::report
