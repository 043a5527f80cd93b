#include "core/wal/integrity.h"

#include <algorithm>

#include "core/base/text.h"

namespace forge::wal {

namespace {

// When the oldest of the segments newer than where the walk is was stored; nothing while there is none.
class NewerSegments {
public:
    void saw(Instant stored) { oldest_ = std::min(oldest_.value_or(stored), stored); }
    bool any() const { return oldest_.has_value(); }
    bool long_ago(Instant now) const {
        return oldest_ && now.nanos - oldest_->nanos > std::chrono::nanoseconds(kUploadPatience).count();
    }

private:
    std::optional<Instant> oldest_;
};

CheckStatus worst_of(const std::vector<IntegrityRow>& rows) {
    CheckStatus worst = CheckStatus::kOk;
    for (const IntegrityRow& row : rows) {
        if (row.state == SegmentState::kMissingLost) return CheckStatus::kFailure;
        if (row.state != SegmentState::kFound) worst = CheckStatus::kWarning;
    }
    return worst;
}

void add_to_rows(std::vector<IntegrityRow>& rows, const layout::Segment& segment, SegmentState state) {
    if (!rows.empty() && rows.back().timeline == segment.timeline && rows.back().state == state)
        rows.back().first = segment.number;
    else
        rows.push_back({segment.timeline, segment.number, segment.number, state});
}

}  // namespace

std::string_view state_name(SegmentState state) {
    switch (state) {
        case SegmentState::kFound: return "FOUND";
        case SegmentState::kMissingDelayed: return "MISSING_DELAYED";
        case SegmentState::kMissingUploading: return "MISSING_UPLOADING";
        case SegmentState::kMissingLost: return "MISSING_LOST";
    }
    return "MISSING_LOST";
}

std::string_view status_name(CheckStatus status) {
    switch (status) {
        case CheckStatus::kOk: return "OK";
        case CheckStatus::kWarning: return "WARNING";
        case CheckStatus::kFailure: return "FAILURE";
    }
    return "FAILURE";
}

Timeline timeline_of_segment(const HistoryMap& histories, Timeline timeline, std::uint64_t number,
                             std::uint64_t segment_size) {
    const auto history = histories.find(timeline);
    if (history == histories.end()) return timeline;
    const Lsn last_byte = (number + 1) * segment_size - 1;
    for (const HistoryEntry& entry : history->second)
        if (last_byte < entry.switch_point) return entry.timeline;
    return timeline;
}

bool leads_to(const HistoryMap& histories, Timeline timeline, const repository::BackupEntry& backup,
              std::uint64_t segment_size) {
    const auto begin = layout::parse_segment(backup.start_segment, segment_size);
    if (!begin) return false;
    const Timeline ended = backup.finish_timeline();
    if (ended == timeline) return true;
    const auto history = histories.find(timeline);
    if (history == histories.end()) return false;
    for (const HistoryEntry& entry : history->second) {
        if (entry.timeline != ended) continue;
        const Lsn end = backup.sentinel.finish_lsn.value_or(begin->number * segment_size);
        return end <= entry.switch_point;
    }
    return false;
}

IntegrityReport check_integrity(const std::map<layout::Segment, Instant>& archived, const Histories& histories,
                                const IntegrityOptions& options) {
    IntegrityReport report;
    if (options.position == 0) return report;
    const std::uint64_t head = (options.position - 1) / options.segment_size;
    NewerSegments newer;
    // What is stored at and beyond the position tells how old a gap before it is.
    for (auto at = archived.lower_bound({options.timeline, head});
         at != archived.end() && at->first.timeline == options.timeline; ++at)
        newer.saw(at->second);
    std::uint64_t missing = 0;  // so far
    bool found_one = false;
    for (std::uint64_t number = head; number-- > options.first;) {
        const layout::Segment segment{timeline_of_segment(histories.of, options.timeline, number, options.segment_size),
                                      number};
        SegmentState state = SegmentState::kFound;
        if (const auto there = archived.find(segment); there != archived.end()) {
            newer.saw(there->second);
            found_one = true;
        } else if (!found_one && !newer.any() && missing < options.most_delayed) {
            state = SegmentState::kMissingDelayed;
            ++missing;
        } else if (head - number <= options.most_delayed + options.most_uploading && !newer.long_ago(options.now)) {
            state = SegmentState::kMissingUploading;
        } else {
            state = SegmentState::kMissingLost;
        }
        add_to_rows(report.rows, segment, state);
    }
    std::reverse(report.rows.begin(), report.rows.end());
    report.status = worst_of(report.rows);
    return report;
}

TimelineReport check_timeline(const repository::WalListing& listing, Timeline current) {
    TimelineReport report;
    report.current = current;
    for (const auto* names : {&listing.segments, &listing.histories, &listing.partials})
        for (const std::string& name : *names)
            report.highest =
                std::max(report.highest, parse_number<Timeline>(std::string_view(name).substr(0, 8), 16).value_or(0));
    if (report.highest == 0)
        report.status = CheckStatus::kWarning;
    else if (report.highest != current)
        report.status = CheckStatus::kFailure;
    return report;
}

}  // namespace forge::wal
