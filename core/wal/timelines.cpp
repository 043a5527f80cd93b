#include "core/wal/timelines.h"

#include <algorithm>
#include <array>
#include <set>

#include "core/base/text.h"
#include "core/wal/page_header.h"

namespace forge::wal {

namespace {

constexpr std::uint64_t kSmallestSegment = 1ULL << 20;
constexpr std::uint64_t kLargestSegment = 1ULL << 30;

// A standby names a backup after the segment of the byte before its start.
bool begins_in(Lsn start, std::uint64_t number, std::uint64_t size) {
    return start / size == number || (start > 0 && (start - 1) / size == number);
}

Result<std::optional<std::uint64_t>> size_by_first_page(repository::Repository& repository, const std::string& name,
                                                        const store::CallContext& context) {
    auto source = repository.open_wal(name, context);
    if (!source.ok() && source.status().retryable()) return source.status();
    if (!source.ok()) return std::optional<std::uint64_t>();
    std::array<std::uint8_t, kLongHeaderSize> page{};
    const auto got = read_full(**source, page);
    if (!got.ok()) return std::optional<std::uint64_t>();
    const auto header = parse_page_header(ByteView(page.data(), *got));
    if (!header || !header->is_long() || !layout::is_valid_segment_size(header->segment_size))
        return std::optional<std::uint64_t>();
    return std::optional<std::uint64_t>(header->segment_size);
}

bool concerns_object(const Status& status) {
    return !status.retryable() && !status.is(Kind::kCancelled) && !status.is(Kind::kInternal);
}

bool newer(const repository::BackupEntry* a, const repository::BackupEntry* b) {
    if (a->start_segment != b->start_segment) return a->start_segment > b->start_segment;
    return a->modified > b->modified;
}

// Of an ascending list without duplicates.
void fill_range(const std::vector<std::uint64_t>& numbers, TimelineSummary& summary) {
    summary.first = numbers.front();
    summary.last = numbers.back();
    summary.count = numbers.size();
    for (std::size_t i = 1; i < numbers.size(); ++i)
        for (std::uint64_t gap = numbers[i - 1] + 1; gap < numbers[i] && summary.missing.size() < kMostMissing; ++gap)
            summary.missing.push_back(gap);
}

bool lies_in(const repository::BackupEntry& backup, const TimelineSummary& summary, std::uint64_t segment_size) {
    const auto begin = layout::parse_segment(backup.start_segment, segment_size);
    if (!begin || begin->timeline != summary.timeline) return false;
    const auto end = layout::parse_segment(last_segment_of(backup, segment_size), segment_size);
    return begin->number >= summary.first && (end ? end->number : begin->number) <= summary.last;
}

}  // namespace

std::optional<std::uint64_t> segment_size_of(const repository::BackupEntry& backup) {
    if (!backup.sentinel.start_lsn) return std::nullopt;
    std::optional<std::uint64_t> found;
    for (std::uint64_t size = kSmallestSegment; size <= kLargestSegment; size <<= 1) {
        const auto first = layout::parse_segment(backup.start_segment, size);
        if (!first || !begins_in(*backup.sentinel.start_lsn, first->number, size)) continue;
        if (found) return std::nullopt;
        found = size;
    }
    return found;
}

Result<std::uint64_t> archive_segment_size(repository::Repository& repository,
                                           const std::vector<repository::BackupEntry>& backups,
                                           const std::vector<std::string>& segments,
                                           const store::CallContext& context) {
    for (auto backup = backups.rbegin(); backup != backups.rend(); ++backup)
        if (const auto size = segment_size_of(*backup)) return *size;
    for (std::size_t i = 0; i < std::min(segments.size(), kMostAsked); ++i) {
        FORGE_ASSIGN(const auto size, size_by_first_page(repository, segments[segments.size() - 1 - i], context));
        if (size) return *size;
    }
    return layout::kDefaultSegmentSize;
}

std::string last_segment_of(const repository::BackupEntry& backup, std::uint64_t segment_size) {
    if (backup.sentinel.finish_lsn.value_or(0) == 0) return {};
    const std::uint64_t size = segment_size_of(backup).value_or(segment_size);
    return layout::segment_name({backup.finish_timeline(), (*backup.sentinel.finish_lsn - 1) / size}, size);
}

Result<Histories> read_histories(repository::Repository& repository, const std::vector<std::string>& names,
                                 const store::CallContext& context) {
    Histories histories;
    for (const std::string& name : names) {
        const auto timeline = parse_number<Timeline>(std::string_view(name).substr(0, 8), 16);
        if (!timeline || *timeline == 0) continue;
        const auto text = repository.read_wal_text(name, context);
        if (!text.ok() && !concerns_object(text.status())) return text.status();
        auto entries = text.ok() ? parse_history(*text) : Result<std::vector<HistoryEntry>>(text.status());
        if (entries.ok())
            histories.of[*timeline] = std::move(entries).value();
        else
            histories.problems.push_back(name + ": " + entries.status().message());
    }
    return histories;
}

std::vector<TimelineSummary> summarize_timelines(const std::vector<std::string>& segments, std::uint64_t segment_size,
                                                 const Histories& histories,
                                                 const std::vector<repository::BackupEntry>& backups) {
    std::map<Timeline, std::vector<std::uint64_t>> numbers;
    for (const std::string& name : segments)
        if (const auto segment = layout::parse_segment(name, segment_size))
            numbers[segment->timeline].push_back(segment->number);
    std::vector<TimelineSummary> summaries;
    for (const auto& [timeline, present] : numbers) {
        TimelineSummary summary;
        summary.timeline = timeline;
        if (const auto history = histories.of.find(timeline);
            history != histories.of.end() && !history->second.empty()) {
            summary.parent = history->second.back().timeline;
            summary.switch_point = history->second.back().switch_point;
        }
        fill_range(present, summary);
        for (const repository::BackupEntry& backup : backups)
            if (lies_in(backup, summary, segment_size)) summary.backups.push_back(&backup);
        std::stable_sort(summary.backups.begin(), summary.backups.end(), newer);
        summaries.push_back(std::move(summary));
    }
    return summaries;
}

}  // namespace forge::wal
