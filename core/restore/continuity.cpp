#include "core/restore/continuity.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/repository/chain.h"
#include "core/repository/server_history.h"
#include "core/restore/fetch_contents.h"
#include "core/wal/integrity.h"
#include "core/wal/page_header.h"

namespace forge::restore {

namespace {

// A listing may lag behind the store (Swift's does): what seems lost is asked for by name, as many at most.
constexpr std::uint64_t kMostConfirmed = 64;

class Check {
public:
    Check(repository::Repository& repository, const ServerPlace& place, const store::CallContext& context,
          Logger& logger)
        : repository_(repository), place_(place), context_(context), logger_(logger) {}

    Result<Continuity> run(bool read_contents) {
        FORGE_TRY(read_own_history());
        FORGE_TRY(find_backup());
        if (!found_.backup) return std::move(found_);
        FORGE_TRY(look_at_backup(read_contents));
        if (found_.state != Continuity::State::kBackup || place_.position == 0) return std::move(found_);
        // Before the listing: what is archived meanwhile must not look as if it were lost.
        FORGE_TRY(read_marks());
        FORGE_TRY(list_archive());
        FORGE_TRY(walk());
        return std::move(found_);
    }

private:
    std::string in_pg_wal(const std::string& name) const { return join_path(place_.data_directory, "pg_wal/" + name); }

    Status read_own_history() {
        if (place_.timeline <= 1) return {};
        FORGE_ASSIGN(histories_.of[place_.timeline],
                     repository::read_history(repository_, place_.data_directory, place_.timeline, context_));
        return {};
    }

    bool leads_here(const repository::BackupEntry& backup) const {
        if (!backup.readable) return false;
        const auto& sentinel = backup.sentinel;
        const bool known = place_.system_identifier != 0 && sentinel.system_identifier != 0;
        if (known && sentinel.system_identifier != place_.system_identifier) return false;
        if (place_.position != 0 && sentinel.start_lsn.value_or(0) > place_.position) return false;
        return wal::leads_to(histories_.of, place_.timeline, backup, place_.segment_size);
    }

    Status find_backup() {
        FORGE_ASSIGN(backups_, repository_.list_backups(context_));
        for (const auto& backup : backups_) found_.backups.push_back(backup.name);
        if (backups_.empty()) return {};
        const repository::BackupEntry* newest = nullptr;
        const auto start = [](const repository::BackupEntry& one) { return one.sentinel.start_lsn.value_or(0); };
        for (const auto& backup : backups_)
            if (leads_here(backup) && (newest == nullptr || start(backup) >= start(*newest))) newest = &backup;
        if (newest == nullptr) {
            found_.state = Continuity::State::kForeign;
            found_.problem = "none of the " + std::to_string(backups_.size()) +
                             " backups in the store leads to timeline " + std::to_string(place_.timeline);
            return {};
        }
        found_.backup = *newest;
        return {};
    }

    Status look_at_backup(bool read_contents) {
        found_.state = Continuity::State::kBackup;
        const auto chain = repository::chain_of(backups_, *found_.backup);
        Status status = chain.status();
        if (status.ok() && read_contents) {
            status = examine_chain(repository_, *found_.backup, {.allow_unlisted = true}, context_, logger_).status();
        } else if (status.ok()) {
            const std::string folder = layout::parts_folder(found_.backup->name);
            FORGE_ASSIGN(const auto parts, repository_.store().list_folder(folder, context_));
            if (parts.objects.empty()) status = Status(Kind::kCorrupt, "its parts are gone: " + quoted(folder));
        }
        if (status.ok()) return {};
        const bool damaged = status.is(Kind::kCorrupt) || status.is(Kind::kInvalid) || status.is(Kind::kNotFound);
        if (!damaged) return status;
        found_.state = Continuity::State::kDamaged;
        found_.problem = "backup " + quoted(found_.backup->name) + " cannot be restored: " + status.message();
        return {};
    }

    Status read_marks() {
        constexpr std::string_view kReady = ".ready";
        FORGE_ASSIGN(const auto names, list_directory(in_pg_wal("archive_status")));
        for (const std::string& name : names)
            if (name.ends_with(kReady)) ready_.insert(name.substr(0, name.size() - kReady.size()));
        return {};
    }

    // From the segment the backup begins with: names are in the order of timelines and positions.
    Status list_archive() {
        const std::string& first = found_.backup->start_segment;
        const std::string folder(layout::kWalFolder);
        const auto visit = [this](const store::ObjectInfo& object) {
            if (auto wal = layout::parse_wal_key(object.key)) archived_.insert(std::move(wal->name));
            return true;
        };
        // One digit short, so that the segment itself is in it.
        return repository_.store().list_after(folder, folder + first.substr(0, first.size() - 1), visit, context_);
    }

    Status walk() {
        const auto begin = layout::parse_segment(found_.backup->start_segment, place_.segment_size);
        if (!begin) return {};
        for (const auto& [timeline, entries] : histories_.of) {
            for (const auto& entry : entries)
                if (entry.timeline > begin->timeline) look_for_history(entry.timeline);
            if (timeline > begin->timeline) look_for_history(timeline);
        }
        const std::uint64_t end = place_.position / place_.segment_size;  // being written
        for (std::uint64_t number = begin->number; number < end; ++number) {
            const Timeline timeline =
                wal::timeline_of_segment(histories_.of, place_.timeline, number, place_.segment_size);
            FORGE_TRY(look_for_segment({timeline, number}));
        }
        return {};
    }

    void look_for_history(Timeline timeline) {
        const std::string name = wal::history_name(timeline);
        if (archived_.contains(name) || ready_.contains(name)) return;
        if (path_exists(in_pg_wal(name))) found_.on_disk.push_back(name);
    }

    Status look_for_segment(const layout::Segment& segment) {
        const std::string name = layout::segment_name(segment, place_.segment_size);
        if (archived_.contains(name)) return {};
        if (ready_.contains(name)) {
            ++found_.waiting;
            return {};
        }
        if (is_whole_on_disk(name)) {
            found_.on_disk.push_back(name);
            return {};
        }
        if (confirmed_++ < kMostConfirmed) {
            const auto there = repository_.open_wal(name, context_);
            if (there.ok()) return {};
            if (!there.status().is(Kind::kNotFound)) return there.status();
        }
        add_hole(segment, name);
        return {};
    }

    // A segment that was recycled has another name; one that is prepared for later has an old header.
    bool is_whole_on_disk(const std::string& name) const {
        auto file = open_file(in_pg_wal(name), O_RDONLY);
        struct ::stat info {};
        if (!file.ok() || ::fstat(file->get(), &info) != 0) return false;
        if (static_cast<std::uint64_t>(info.st_size) != place_.segment_size) return false;
        Bytes page(wal::kLongHeaderSize);
        const auto got = read_fd(file->get(), page, name);
        if (!got.ok()) return false;
        const auto header = wal::parse_first_page(ByteView(page).first(*got), name);
        return header.ok() && wal::check_first_page(*header, name, place_.segment_size, place_.system_identifier).ok();
    }

    void add_hole(const layout::Segment& segment, const std::string& name) {
        const bool goes_on =
            last_lost_ && last_lost_->timeline == segment.timeline && last_lost_->number + 1 == segment.number;
        if (!goes_on) found_.holes.push_back({name, name, 0});
        found_.holes.back().last = name;
        ++found_.holes.back().segments;
        last_lost_ = segment;
    }

    repository::Repository& repository_;
    const ServerPlace& place_;
    const store::CallContext& context_;
    Logger& logger_;
    wal::Histories histories_;
    std::vector<repository::BackupEntry> backups_;
    std::set<std::string> ready_;
    std::set<std::string> archived_;
    std::uint64_t confirmed_ = 0;
    std::optional<layout::Segment> last_lost_;
    Continuity found_;
};

}  // namespace

Result<Continuity> check_continuity(repository::Repository& repository, const ServerPlace& place, bool read_contents,
                                    const store::CallContext& context, Logger& logger) {
    return Check(repository, place, context, logger).run(read_contents);
}

}  // namespace forge::restore
