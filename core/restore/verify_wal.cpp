#include "core/restore/verify_wal.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/wal/history.h"

namespace forge::restore {
namespace {

constexpr std::size_t kRunLength = 8;
constexpr std::size_t kListedMissing = 100;
constexpr std::size_t kLargestSmallFile = 1 << 20;

std::string key_without_extension(const std::string& name) { return std::string(layout::kWalFolder) + name; }

// Opened when somebody wants to read: most of the time nobody does.
class LazySource final : public Source {
public:
    using Open = std::function<Result<std::unique_ptr<Source>>()>;
    explicit LazySource(Open open) : open_(std::move(open)) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        if (!next_) {
            FORGE_ASSIGN(next_, open_());
        }
        return next_->read(buffer);
    }

private:
    Open open_;
    std::unique_ptr<Source> next_;
};

// Where recovery leaves the timeline of a file.
Lsn end_of(const Lineage& lineage, Timeline timeline) {
    for (const Branch& branch : lineage.branches())
        if (branch.timeline == timeline) return branch.end;
    return UINT64_MAX;
}

}  // namespace

Status WalCheck::list() {
    const auto visit = [this](const store::ObjectInfo& object) {
        auto file = layout::parse_wal_key(object.key);
        if (!file) return true;
        std::vector<Copy>& copies = copies_[file->name];
        if (copies.empty() && file->kind == layout::WalKind::kSegment) listing_.segments.push_back(file->name);
        if (copies.empty() && file->kind == layout::WalKind::kHistory) listing_.histories.push_back(file->name);
        copies.push_back({object.key, file->method, object.size});
        return true;
    };
    FORGE_TRY(context_.repository.store().list(std::string(layout::kWalFolder), visit, context_.call));
    std::sort(listing_.segments.begin(), listing_.segments.end());
    std::sort(listing_.histories.begin(), listing_.histories.end());
    return {};
}

Result<std::uint64_t> WalCheck::segment_size(const Inventory& backup) {
    if (backup.control && layout::is_valid_segment_size(backup.control->segment_size))
        return std::uint64_t{backup.control->segment_size};
    if (!archive_segment_size_) {
        const auto found = find_segment_size(unmetered_, listing_, context_.call);
        if (!found.ok() && !concerns_object(found.status())) return found.status();
        archive_segment_size_ = found.ok() ? *found : layout::kDefaultSegmentSize;
    }
    return *archive_segment_size_;
}

Result<const ArchiveView*> WalCheck::view_of(Timeline timeline, std::uint64_t segment_size) {
    auto& view = views_[{timeline, segment_size}];
    if (view) return static_cast<const ArchiveView*>(view.get());
    if (timeline > 1) add_small(wal::history_name(timeline));
    auto lineage = Lineage::read(unmetered_, listing_, timeline, context_.call);
    if (!lineage.ok() && !concerns_object(lineage.status())) return lineage.status();
    // A damaged history is reported by itself.
    if (!lineage.ok()) lineage = Lineage::read(unmetered_, {}, timeline, context_.call);
    if (!lineage.ok()) return lineage.status();
    view = std::make_unique<ArchiveView>(unmetered_, listing_, std::move(lineage).value(), segment_size, context_.call);
    return static_cast<const ArchiveView*>(view.get());
}

// The newest timeline that the backup leads to, as recovery to the latest timeline takes it.
Result<Timeline> WalCheck::newest_timeline(const Inventory& backup) {
    const Timeline own = backup.entry.finish_timeline();
    for (auto name = listing_.histories.rbegin(); name != listing_.histories.rend(); ++name) {
        const auto timeline = parse_number<Timeline>(std::string_view(*name).substr(0, 8), 16);
        if (!timeline || *timeline <= own) continue;
        const auto lineage = Lineage::read(unmetered_, listing_, *timeline, context_.call);
        if (!lineage.ok() && !concerns_object(lineage.status())) return lineage.status();
        if (!lineage.ok()) add_small(*name);
        if (lineage.ok() && lineage->contains(backup.entry)) return *timeline;
    }
    return own;
}

Status WalCheck::add(const Inventory& backup, bool all) {
    FORGE_ASSIGN(const std::uint64_t size, segment_size(backup));
    const auto named = layout::parse_segment(backup.entry.start_segment, size);
    if (!named) return {};  // the name of the backup is no name of one with such segments: said with the backup
    const layout::Sentinel& sentinel = backup.entry.sentinel;
    const Lsn start = sentinel.start_lsn.value_or(named->number * size);
    const Lsn finish = std::max(sentinel.finish_lsn.value_or(0), start + 1);
    FORGE_ASSIGN(const Timeline timeline, all ? newest_timeline(backup) : Result<Timeline>(backup.entry.finish_timeline()));
    FORGE_ASSIGN(const ArchiveView* view, view_of(timeline, size));

    const std::uint64_t last = (finish - 1) / size;
    std::size_t missing = 0;
    for (std::uint64_t number = start / size; number <= last && missing < kListedMissing; ++number) {
        if (view->has(number)) {
            add_segment(*view, number, std::min(finish, (number + 1) * size), backup);
            continue;
        }
        const std::string more = ++missing < kListedMissing ? "" : ", and so may be others";
        context_.report.missing(key_without_extension(view->name(number)), VerifyFinding::Level::kError,
                                "is missing" + more + "; backup " + quoted(backup.name()) + " needs it");
    }
    for (auto label = copies_.lower_bound(backup.entry.start_segment + ".");
         label != copies_.end() && label->first.starts_with(backup.entry.start_segment + "."); ++label)
        if (layout::classify_wal_name(label->first) == layout::WalKind::kBackupHistory) add_small(label->first);
    if (all) add_rest(*view, last, backup);
    return {};
}

void WalCheck::add_segment(const ArchiveView& view, std::uint64_t number, Lsn needed, const Inventory& backup) {
    Segment segment;
    SegmentPlace& place = segment.place;
    place.name = view.name(number);
    place.number = number;
    place.size = view.segment_size();
    place.timeline = parse_number<Timeline>(std::string_view(place.name).substr(0, 8), 16).value_or(0);
    place.end = end_of(view.lineage(), place.timeline);
    place.lineage = &view.lineage();
    place.system_identifier = backup.system_identifier();
    segment.needed = needed;
    segment.copies = &copies_.at(place.name);
    const auto [known, added] = segments_.try_emplace(place.name, segment);
    if (added) {
        count(*segment.copies);
        return;
    }
    known->second.needed = std::max(known->second.needed, needed);
    // Of two lineages, the one that uses more of the segment.
    if (place.end > known->second.place.end) known->second.place = place;
}

void WalCheck::add_rest(const ArchiveView& view, std::uint64_t last, const Inventory& backup) {
    const auto reached = view.reach(last);
    if (!reached) return;
    for (std::uint64_t number = last + 1; number <= *reached; ++number)
        add_segment(view, number, (number + 1) * view.segment_size(), backup);
    segments_.at(view.name(*reached)).remark =
        "is the last one that can be reached from backup " + quoted(backup.name()) + " without a gap";
    if (view.highest() > *reached)
        context_.report.missing(key_without_extension(view.name(*reached + 1)), VerifyFinding::Level::kWarning,
                                "is missing: recovery from backup " + quoted(backup.name()) +
                                    " ends there, though there is WAL up to " + quoted(view.name(view.highest())));
}

void WalCheck::add_small(const std::string& name) {
    if (!small_.try_emplace(name, true).second) return;
    const auto copies = copies_.find(name);
    if (copies != copies_.end())
        count(copies->second);
    else
        context_.report.missing(key_without_extension(name), VerifyFinding::Level::kWarning,
                                "is missing: nobody knows where its timeline comes from");
}

void WalCheck::count(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
        ++context_.objects;
        context_.bytes += copy.size;
    }
}

std::vector<VerifyJob> WalCheck::jobs() {
    std::vector<VerifyJob> jobs;
    const Segment* before = nullptr;
    for (auto& [name, segment] : segments_) {
        const bool follows = before != nullptr && before->place.lineage == segment.place.lineage &&
                             before->place.number + 1 == segment.place.number;
        if (follows && runs_.back()->segments.size() == kRunLength) runs_.back()->after = &segment;
        if (!follows || runs_.back()->segments.size() == kRunLength) runs_.push_back(std::make_unique<Run>());
        runs_.back()->segments.push_back(&segment);
        before = &segment;
    }
    for (const auto& run : runs_) {
        VerifyJob job;
        for (const Segment* segment : run->segments)
            for (const Copy& copy : *segment->copies) job.weight += copy.size;
        job.run = [this, &work = *run] { return check_run(work); };
        jobs.push_back(std::move(job));
    }
    for (const auto& [name, wanted] : small_)
        if (copies_.contains(name)) jobs.push_back({0, [this, file = name] { return check_small(file); }});
    return jobs;
}

Status WalCheck::check_small(const std::string& name) {
    std::optional<std::string> first;
    for (const Copy& copy : copies_.at(name)) {
        const auto read = [&]() -> Result<std::string> {
            FORGE_ASSIGN(const auto source, context_.repository.open_object(copy.key, copy.method, context_.call));
            return read_all_text(*source, kLargestSmallFile);
        };
        const auto text = read();
        if (!text.ok() && !concerns_object(text.status())) return text.status();
        ObjectProblems problems;
        if (!text.ok()) problems.error(text.status(), copy.key);
        if (text.ok() && layout::classify_wal_name(name) == layout::WalKind::kHistory)
            if (const auto history = wal::parse_history(*text); !history.ok())
                problems.error(history.status().message());
        if (text.ok() && first && *text != *first)
            problems.error("is not the same as " + quoted(copies_.at(name).front().key));
        if (text.ok() && !first) first = *text;
        context_.report.object(copy.key, copy.size, problems);
    }
    return {};
}

Status WalCheck::check_run(Run& run) {
    for (std::size_t i = 0; i < run.segments.size(); ++i)
        FORGE_TRY(check_segment(*run.segments[i], run, i + 1 == run.segments.size() ? run.after : nullptr));
    return {};
}

Status WalCheck::check_segment(const Segment& segment, Run& run, const Segment* after) {
    ObjectProblems problems;
    std::optional<backup::Digest> digest(std::in_place);
    const Copy& copy = segment.copies->front();
    Status status = read_segment(segment, run, problems, *digest);
    if (status.ok() && after != nullptr) status = finish_record(*after, run, problems);
    if (!status.ok()) {
        if (!concerns_object(status)) return status;
        problems.error(status, copy.key);
        run.reader.reset();
        digest.reset();
    }
    context_.report.object(copy.key, copy.size, problems, segment.remark);
    return check_other_copies(segment, digest);
}

Status WalCheck::read_segment(const Segment& segment, Run& run, ObjectProblems& problems, backup::Digest& digest) {
    const Copy& copy = segment.copies->front();
    FORGE_ASSIGN(auto source, context_.repository.open_object(copy.key, copy.method, context_.call));
    SegmentWatch watch(std::move(source), segment.place);
    if (!run.reader) {
        run.reader.emplace([](const wal::WalEvent&) { return true; });
        run.reader->on_record([&run](Lsn start, Lsn) { return start < run.end; });
    }
    run.end = segment.place.end;
    const Status records = run.reader->feed(watch, segment.place.number, segment.place.size);
    FORGE_TRY(watch.failure());
    FORGE_TRY(watch.drain());
    digest = watch.digest();
    if (const std::string problem = watch.problem(); !problem.empty()) {
        problems.error(problem);
        run.reader.reset();
        return {};
    }
    judge_records(segment, run, records, problems);
    return {};
}

void WalCheck::judge_records(const Segment& segment, Run& run, const Status& records, ObjectProblems& problems) {
    const SegmentPlace& place = segment.place;
    if (!records.ok()) {
        problems.error(records.message());
    } else if (run.reader->at_end()) {
        const Lsn end = std::max(run.reader->end_lsn(), place.number * place.size);
        const std::string where = "valid WAL ends at " + format_lsn(end);
        // What recovery does not read there may be anything: the last bytes of a timeline that was left, with a page
        // header between the last record and the switch point at most.
        const bool timeline_ends = place.end != UINT64_MAX && end + wal::kLongHeaderSize >= place.end;
        if (!timeline_ends && end >= segment.needed)
            problems.warning(where + ", behind the end of the backup at " + format_lsn(segment.needed));
        else if (!timeline_ends)
            problems.error("is damaged: " + where);
    } else if (!run.reader->stopped()) {
        return;
    }
    run.reader.reset();
}

// The record that begins in the last segment of the run and goes on in the first of another.
Status WalCheck::finish_record(const Segment& after, Run& run, ObjectProblems& problems) {
    if (!run.reader) return {};
    const Copy& copy = after.copies->front();
    LazySource source([&] { return unmetered_.open_object(copy.key, copy.method, context_.call); });
    const Status status = run.reader->finish_record(source, after.place.number, after.place.size);
    // What is wrong with that segment is said there.
    if (!status.ok()) return concerns_object(status) ? Status() : status;
    if (run.reader->at_end())
        problems.error("the record that begins in it and goes on in " + quoted(after.place.name) + " is damaged");
    return {};
}

// Which one a reader finds first is chance.
Status WalCheck::check_other_copies(const Segment& segment, const std::optional<backup::Digest>& first) {
    const std::vector<Copy>& copies = *segment.copies;
    for (std::size_t i = 1; i < copies.size(); ++i) {
        ObjectProblems problems;
        const auto compare = [&]() -> Status {
            FORGE_ASSIGN(auto source, context_.repository.open_object(copies[i].key, copies[i].method, context_.call));
            SegmentWatch watch(std::move(source), segment.place);
            FORGE_TRY(watch.drain());
            if (const std::string problem = watch.problem(); !problem.empty())
                problems.error(problem);
            else if (first && watch.digest() != *first)
                problems.error("is not the same as " + quoted(copies.front().key) +
                               ": one of the two is of another history of the cluster");
            return {};
        };
        const Status status = compare();
        if (!status.ok() && !concerns_object(status)) return status;
        if (!status.ok()) problems.error(status, copies[i].key);
        context_.report.object(copies[i].key, copies[i].size, problems);
    }
    return {};
}

}  // namespace forge::restore
