#include "core/restore/plan_archive.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/repository/chain.h"
#include "core/wal/history.h"

namespace forge::restore {

using repository::BackupEntry;

bool is_usable(const BackupEntry& backup) {
    const layout::Sentinel& sentinel = backup.sentinel;
    return backup.readable && sentinel.start_lsn && sentinel.finish_lsn && *sentinel.finish_lsn > *sentinel.start_lsn;
}

std::vector<BackupEntry> usable_backups(const std::vector<BackupEntry>& all) {
    std::vector<BackupEntry> usable;
    std::copy_if(all.begin(), all.end(), std::back_inserter(usable), [&](const BackupEntry& backup) {
        return is_usable(backup) && repository::chain_of(all, backup).ok();
    });
    std::stable_sort(usable.begin(), usable.end(), [](const BackupEntry& a, const BackupEntry& b) {
        return a.sentinel.finish_time < b.sentinel.finish_time;
    });
    return usable;
}

Result<Lineage> Lineage::read(repository::Repository& repository, const repository::WalListing& listing,
                              Timeline timeline, const store::CallContext& context) {
    Lineage lineage;
    const std::string name = wal::history_name(timeline);
    Lsn begin = 0;
    if (std::find(listing.histories.begin(), listing.histories.end(), name) != listing.histories.end()) {
        FORGE_ASSIGN(const std::string text, repository.read_wal_text(name, context));
        auto entries = wal::parse_history(text);
        if (!entries.ok()) return entries.status().with_context("timeline history " + quoted(name));
        for (const wal::HistoryEntry& entry : *entries) {
            if (entry.timeline >= timeline) {
                return Status(Kind::kCorrupt, "timeline history " + quoted(name) + " names timeline " +
                                                  std::to_string(entry.timeline) + " as an ancestor of timeline " +
                                                  std::to_string(timeline));
            }
            lineage.branches_.push_back({entry.timeline, begin, entry.switch_point});
            begin = entry.switch_point;
        }
    }
    lineage.branches_.push_back({timeline, begin, UINT64_MAX});
    return lineage;
}

bool Lineage::contains(const repository::BackupEntry& backup) const {
    return std::any_of(branches_.begin(), branches_.end(), [&](const Branch& branch) {
        return branch.timeline == backup.finish_timeline() && backup.sentinel.finish_lsn.value_or(UINT64_MAX) <= branch.end;
    });
}

const Branch& Lineage::at(Lsn position) const {
    return *std::find_if(branches_.begin(), branches_.end() - 1,
                         [&](const Branch& branch) { return position < branch.end; });
}

Result<std::uint64_t> find_segment_size(repository::Repository& repository, const repository::WalListing& listing,
                                        const store::CallContext& context) {
    if (listing.segments.empty()) {
        return Status(
            Kind::kInvalid, "no WAL is archived in " + repository.store().url(),
            "Check the prefix, and that the server archives into it; a backup cannot be restored without its WAL.");
    }
    const std::string& name = listing.segments.back();
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_wal(name, context));
    Bytes start(wal::kLongHeaderSize);
    FORGE_ASSIGN(const std::size_t got, read_full(*source, start));
    FORGE_ASSIGN(const wal::PageHeader header,
                 wal::parse_first_page(ByteView(start).first(got), "WAL file " + quoted(name)));
    return header.segment_size;
}

// As the server chooses files (XLogFileReadAnyTLI): the newest timeline that has begun by the end of the segment, if
// its file is there. For the segment in which a timeline was left, the old timeline's own file serves as well, up to
// that point.
ArchiveView::ArchiveView(repository::Repository& repository, const repository::WalListing& listing, Lineage lineage,
                         std::uint64_t segment_size, const store::CallContext& context)
    : repository_(repository), lineage_(std::move(lineage)), segment_size_(segment_size), context_(context) {
    for (const Branch& branch : lineage_.branches()) {  // newer ones replace what older ones left
        const std::uint64_t lowest = number_of(branch.begin);
        const std::uint64_t highest = branch.end == UINT64_MAX ? UINT64_MAX : number_of(branch.end - 1);
        for (const std::string& name : listing.segments) {
            const auto segment = layout::parse_segment(name, segment_size);
            if (!segment || segment->timeline != branch.timeline || segment->number < lowest ||
                segment->number > highest)
                continue;
            segments_[segment->number] = {name, branch.end};
        }
    }
}

std::string ArchiveView::name(std::uint64_t number) const {
    if (const auto held = segments_.find(number); held != segments_.end()) return held->second.name;
    const Branch& branch = lineage_.at((number + 1) * segment_size_ - 1);
    return layout::segment_name({branch.timeline, number}, segment_size_);
}

std::optional<std::uint64_t> ArchiveView::reach(std::uint64_t first) const {
    auto at = segments_.find(first);
    if (at == segments_.end()) return std::nullopt;
    std::uint64_t last = first;
    while (++at != segments_.end() && at->first == last + 1) last = at->first;
    return last;
}

std::vector<std::string> ArchiveView::missing_between(std::uint64_t first, std::uint64_t last) const {
    std::vector<std::string> names;
    constexpr std::size_t kEnough = 1000;
    for (std::uint64_t number = first; number <= last && names.size() < kEnough; ++number) {
        if (!has(number)) names.push_back(name(number));
    }
    return names;
}

Status ArchiveView::feed(wal::RecordReader& reader, std::uint64_t number, bool only_pending) {
    const std::string& name = segments_.at(number).name;
    auto source = repository_.open_wal(name, context_);
    // It was in the listing a moment ago.
    if (!source.ok() && source.status().is(Kind::kNotFound)) {
        return Status(Kind::kUnavailable, "WAL file " + quoted(name) + " vanished from the archive while it was read");
    }
    FORGE_TRY(source.status());
    Status status = only_pending ? reader.finish_record(**source, number, segment_size_)
                                 : reader.feed(**source, number, segment_size_);
    return std::move(status).with_context("WAL file " + quoted(name));
}

Status ArchiveView::walk(std::uint64_t first, std::uint64_t last, const OnEvent& on_event, const OnRecord& on_record) {
    const Lsn limit = (last + 1) * segment_size_;
    Lsn branch_end = UINT64_MAX;  // what lies behind it in the segment at hand belongs to an abandoned timeline
    wal::RecordReader reader([&](const wal::WalEvent& event) {
        if (event.lsn >= limit || event.lsn >= branch_end) return false;
        return on_event(event);
    });
    reader.on_record([&](Lsn start, Lsn end) {
        if (start >= limit || start >= branch_end) return false;
        return !on_record || on_record(start, end);
    });
    for (std::uint64_t number = first; number <= last; ++number) {
        branch_end = segments_.at(number).end;
        FORGE_TRY(feed(reader, number, false));
        if (reader.stopped()) return {};
        if (reader.at_end() && number < last) {
            return Status(Kind::kCorrupt, "WAL file " + quoted(name(number)) + " is damaged: valid WAL ends at " +
                                              format_lsn(reader.end_lsn()) + ", in the middle of it");
        }
    }
    if (reader.event_pending() && has(last + 1)) return feed(reader, last + 1, true);
    return {};
}

Result<std::optional<wal::WalEvent>> ArchiveView::first_end(std::uint64_t number) {
    if (const auto known = first_ends_.find(number); known != first_ends_.end()) return known->second;
    std::optional<wal::WalEvent> found;
    FORGE_TRY(walk(number, number, [&](const wal::WalEvent& event) {
        if (!event.ends_transaction()) return true;
        found = event;
        return false;
    }));
    first_ends_[number] = found;
    return found;
}

Result<ArchiveView::LastEnds> ArchiveView::last_ends(std::uint64_t first, std::uint64_t last, Lsn limit) {
    LastEnds ends;
    for (std::uint64_t number = last + 1; number-- > first && !ends.commit;) {
        LastEnds here;
        FORGE_TRY(walk(number, number, [&](const wal::WalEvent& event) {
            if (event.lsn >= limit) return false;
            if (event.ends_transaction()) here.any = event;
            if (event.type == wal::WalEvent::Type::kCommit) here.commit = event;
            return true;
        }));
        if (!ends.any) ends.any = here.any;
        ends.commit = here.commit;
    }
    return ends;
}

Result<std::optional<Lsn>> ArchiveView::last_record(std::uint64_t number) {
    std::optional<Lsn> last;
    FORGE_TRY(walk(
        number, number, [](const wal::WalEvent&) { return true; },
        [&](Lsn start, Lsn) {
            last = start;
            return true;
        }));
    return last;
}

}  // namespace forge::restore
