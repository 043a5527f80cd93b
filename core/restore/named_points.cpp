#include "core/restore/named_points.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <tuple>

#include "core/backup/worker_group.h"
#include "core/base/text.h"
#include "core/restore/plan_archive.h"
#include "core/wal/timelines.h"

namespace forge::restore {

namespace {

using repository::BackupEntry;
using repository::RestorePoint;
using repository::RestorePoints;

// The object is what is wrong, not the store: the others are fine.
bool concerns_object(const Status& status) {
    return status.is(Kind::kCorrupt) || status.is(Kind::kInvalid) || status.is(Kind::kDenied) ||
           status.is(Kind::kExhausted);
}

// The backups on the way to one timeline, and how far each leads.
class Way {
public:
    Way(const ArchiveView& view, const std::vector<BackupEntry>& usable) : view_(view) {
        for (const BackupEntry& backup : usable) {
            const auto reach = view.reach(view.number_of(start_of(backup)));
            if (!reach || *reach < view.number_of(finish_of(backup) - 1) || !view.lineage().contains(backup)) continue;
            starts_.push_back({&backup, *reach});
        }
    }
    std::string newest_for(Lsn point) const {
        for (auto start = starts_.rbegin(); start != starts_.rend(); ++start)
            if (finish_of(*start->backup) < point && view_.number_of(point - 1) <= start->reach)
                return start->backup->name;
        return {};
    }

private:
    struct Start {
        const BackupEntry* backup;
        std::uint64_t reach;  // number of the last segment before a hole
    };
    const ArchiveView& view_;
    std::vector<Start> starts_;  // in the order in which they were finished
};

// A timeline begins with a copy of the WAL before it, and the points in that: of the same ones the first that can be
// reached counts.
void drop_copies(std::vector<NamedPoint>& points) {
    const auto identity = [](const NamedPoint& point) { return std::tie(point.lsn, point.time, point.name); };
    std::sort(points.begin(), points.end(), [&](const NamedPoint& a, const NamedPoint& b) {
        if (identity(a) != identity(b)) return identity(a) < identity(b);
        if (a.backup.empty() != b.backup.empty()) return b.backup.empty();
        return a.timeline < b.timeline;
    });
    const auto end = std::unique(points.begin(), points.end(), [&](const NamedPoint& a, const NamedPoint& b) {
        return identity(a) == identity(b);
    });
    points.erase(end, points.end());
}

class Search {
public:
    Search(repository::Repository& repository, const store::CallContext& context, Logger& logger)
        : repository_(repository), context_(context), logger_(logger) {}

    Result<std::vector<NamedPoint>> run() {
        FORGE_TRY(list_objects());
        if (segments_.empty()) return std::move(found_);
        FORGE_ASSIGN(listing_, repository_.list_wal(context_));
        std::erase_if(segments_, [this](const std::string& segment) {
            return !std::binary_search(listing_.segments.begin(), listing_.segments.end(), segment);
        });
        FORGE_TRY(read_objects());
        FORGE_ASSIGN(const std::vector<BackupEntry> backups, repository_.list_backups(context_));
        usable_ = usable_backups(backups);
        FORGE_ASSIGN(segment_size_, wal::archive_segment_size(repository_, backups, listing_.segments, context_));
        for (const auto& [timeline, points] : points_) FORGE_TRY(add(timeline, points));
        drop_copies(found_);
        std::stable_sort(found_.begin(), found_.end(),
                         [](const NamedPoint& a, const NamedPoint& b) { return a.time < b.time; });
        return std::move(found_);
    }

private:
    Status list_objects() {
        const auto visit = [this](const store::ObjectInfo& object) {
            if (auto segment = layout::segment_of_restore_points(object.key)) segments_.push_back(std::move(*segment));
            return true;
        };
        return repository_.store().list(std::string(layout::kRestorePointsFolder), visit, context_);
    }

    Status read_objects() {
        std::vector<Result<RestorePoints>> read(segments_.size(), RestorePoints());
        backup::WorkerGroup workers(store::cancel_of(context_));
        store::CallContext inner = context_;
        inner.cancel = &workers.stop();
        std::atomic<std::size_t> next{0};
        const auto work = [&]() -> Status {
            for (std::size_t at = next++; at < segments_.size(); at = next++) {
                read[at] = repository::read_restore_points(repository_, segments_[at], inner);
                const Status status = read[at].status();
                if (!status.ok() && !status.is(Kind::kNotFound) && !concerns_object(status)) return status;
            }
            return {};
        };
        const auto jobs = static_cast<std::size_t>(std::max(1, repository_.settings().download_concurrency));
        for (std::size_t i = 0; i < std::min(jobs, segments_.size()); ++i)
            if (!workers.start(work)) break;
        FORGE_TRY(workers.wait());
        for (std::size_t i = 0; i < segments_.size(); ++i) take(segments_[i], read[i]);
        return {};
    }

    void take(const std::string& segment, Result<RestorePoints>& read) {
        const std::string key = layout::restore_points_key(segment);
        if (!read.ok()) {
            const std::string message = read.status().message();
            const bool is_named = message.find(key) != std::string::npos;
            if (!read.status().is(Kind::kNotFound))  // then it was deleted since
                logger_.warning("restore points are left out: " +
                                (is_named ? message : "object " + quoted(key) + ": " + message));
            return;
        }
        if (read->left_out > 0)
            logger_.warning("object " + quoted(key) + " has the first " + std::to_string(read->points.size()) +
                            " restore points of its segment; " + std::to_string(read->left_out) + " more are left out");
        for (RestorePoint& point : read->points) points_[point.timeline()].push_back(std::move(point));
    }

    // The points of one timeline. A history that makes no sense leads nowhere.
    Status add(Timeline timeline, const std::vector<RestorePoint>& points) {
        auto lineage = Lineage::read(repository_, listing_, timeline, context_);
        if (!lineage.ok() && !concerns_object(lineage.status())) return lineage.status();
        std::optional<ArchiveView> view;
        std::optional<Way> way;
        if (lineage.ok()) {
            view.emplace(repository_, listing_, std::move(*lineage), segment_size_, context_);
            way.emplace(*view, usable_);
        } else {
            logger_.warning(lineage.status().message());
        }
        for (const RestorePoint& point : points)
            found_.push_back({point.name, point.time, point.lsn, timeline, way ? way->newest_for(point.lsn) : ""});
        return {};
    }

    repository::Repository& repository_;
    const store::CallContext& context_;
    Logger& logger_;
    std::vector<std::string> segments_;  // that have an object and are in the archive
    repository::WalListing listing_;
    std::map<Timeline, std::vector<RestorePoint>> points_;
    std::vector<BackupEntry> usable_;
    std::uint64_t segment_size_ = 0;
    std::vector<NamedPoint> found_;
};

}  // namespace

Result<std::vector<NamedPoint>> named_points(repository::Repository& repository, const store::CallContext& context,
                                             Logger& logger) {
    return Search(repository, context, logger).run();
}

}  // namespace forge::restore
