#include "core/retention/policy.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/wal/integrity.h"
#include "core/wal/timelines.h"

namespace forge::retention {

using repository::BackupEntry;

namespace {

constexpr std::int64_t kSecondsADay = 24 * 60 * 60;

Instant finish_of(const BackupEntry& backup) {
    return backup.sentinel.finish_time == Instant{} ? backup.modified : backup.sentinel.finish_time;
}
Instant start_of(const BackupEntry& backup) {
    return backup.sentinel.start_time == Instant{} ? finish_of(backup) : backup.sentinel.start_time;
}

class Judge {
public:
    Judge(const Inventory& inventory, const Policy& policy)
        : inventory_(inventory), policy_(policy), count_(std::max(policy.retain, kLeastRetain)),
          timeline_(policy.timeline != 0 ? policy.timeline : newest_timeline()) {}

    RetentionPlan run() {
        RetentionPlan plan;
        plan.held = reason_to_hold();
        if (plan.held.empty()) {
            choose_target();
            plan.deletion = plan_choice(inventory_, choice());
            plan.deletion.target = target_->name;
            const Status left = check_something_is_left(inventory_, plan.deletion);
            if (!left.ok()) {
                plan.deletion = DeletePlan();
                plan.held = left.message();
            }
        }
        plan.backups = verdicts(plan);
        return plan;
    }

private:
    // --- the lineage -------------------------------------------------------------------------------------------------

    // Of whatever was stored last, for who has no server to ask.
    Timeline newest_timeline() const {
        Instant newest;
        Timeline found = 0;
        const auto look = [&](Instant at, std::string_view place) {
            if (place.empty() || at < newest) return;
            newest = at;
            found = parse_number<Timeline>(place.substr(0, 8), 16).value_or(found);
        };
        for (const StoredObject& object : inventory_.wal) look(object.modified, place_of_wal(object.key));
        for (const BackupEntry& backup : inventory_.backups) look(backup.modified, backup.start_segment);
        return found;
    }

    bool has_several_timelines() const {
        std::set<std::string> found;
        for (const StoredObject& object : inventory_.wal)
            if (const std::string place = place_of_wal(object.key); !place.empty()) found.insert(place.substr(0, 8));
        for (const BackupEntry& backup : inventory_.backups) found.insert(backup.start_segment.substr(0, 8));
        return found.size() > 1;
    }

    bool is_foreign(const BackupEntry& backup) const {
        const std::uint64_t theirs = backup.sentinel.system_identifier;
        return policy_.system_identifier != 0 && theirs != 0 && theirs != policy_.system_identifier;
    }

    // Where it begins, as far as anybody knows.
    Lsn place_of(const BackupEntry& backup) const {
        if (backup.sentinel.start_lsn) return *backup.sentinel.start_lsn;
        const auto segment = layout::parse_segment(backup.start_segment, inventory_.segment_size);
        return segment ? segment->number * inventory_.segment_size : 0;
    }

    bool is_on_lineage(const BackupEntry& backup) const {
        return !is_foreign(backup) && wal::leads_to(inventory_.histories, timeline_, backup, inventory_.segment_size);
    }

    // Every segment from its start to its end is in the store. Where the end is not known, nobody can say.
    bool has_its_wal(const BackupEntry& backup) const {
        if (!backup.sentinel.start_lsn || !backup.sentinel.finish_lsn) return true;
        const std::uint64_t size = wal::segment_size_of(backup).value_or(inventory_.segment_size);
        const auto first = layout::parse_segment(backup.start_segment, size);
        if (!first) return false;
        for (std::uint64_t number = first->number; number <= (*backup.sentinel.finish_lsn - 1) / size; ++number) {
            const Timeline timeline =
                wal::timeline_of_segment(inventory_.histories, backup.finish_timeline(), number, size);
            if (!inventory_.has_segment(layout::segment_name({timeline, number}, size))) return false;
        }
        return true;
    }

    // Those that count, newest first.
    std::vector<const BackupEntry*> countable() {
        std::vector<const BackupEntry*> found;
        for (const BackupEntry& backup : inventory_.backups)
            if (is_on_lineage(backup) && is_restorable(inventory_, backup) && has_its_wal(backup))
                found.push_back(&backup);
        std::sort(found.begin(), found.end(), [this](const BackupEntry* a, const BackupEntry* b) {
            return std::pair(place_of(*a), std::string_view(a->name)) >
                   std::pair(place_of(*b), std::string_view(b->name));
        });
        return found;
    }

    // --- when nothing goes -------------------------------------------------------------------------------------------

    std::string reason_to_hold() {
        if (policy_.retain <= 0) return "the setting \"retain\" is 0";
        if (policy_.timeline == 0 && policy_.times_are_changed && has_several_timelines())
            return "rekey has changed the times of the WAL, so that they do not tell the timeline of the server";
        if (timeline_ > 1 && !inventory_.histories.contains(timeline_))
            return "the history of timeline " + std::to_string(timeline_) + " is not in the store";
        counted_ = countable();
        if (counted_.empty())
            return "no backup on the way to timeline " + std::to_string(timeline_) + " can be restored";
        if (!is_too_old(*counted_.front())) return {};
        return "the newest backup that can be restored, " + quoted(counted_.front()->name) +
               ", is older than the schedule allows";
    }

    bool is_too_old(const BackupEntry& newest) const {
        if (!policy_.schedule) return is_old(newest);
        const auto next = [this](std::int64_t minute) {
            return schedule::next_run(*policy_.schedule, minute, schedule::utc_to_local);
        };
        const auto first = next(start_of(newest).seconds() / 60);
        const auto second = first ? next(*first) : std::nullopt;
        return second && inventory_.now.seconds() >= *second * 60;
    }

    // N days old or more.
    bool is_old(const BackupEntry& backup) const {
        return inventory_.now.seconds() - finish_of(backup).seconds() >= count_ * kSecondsADay;
    }

    // --- what goes ---------------------------------------------------------------------------------------------------

    const BackupEntry* root_of(const BackupEntry* backup) const {
        for (std::size_t steps = 0; steps < inventory_.backups.size(); ++steps) {
            const BackupEntry* const parent = inventory_.parent_of(*backup);
            if (parent == nullptr) break;
            backup = parent;
        }
        return backup;
    }

    void choose_target() {
        for (std::size_t i = static_cast<std::size_t>(count_) - 1; i < counted_.size() && !reached_; ++i) {
            reached_ = is_old(*counted_[i]);
            if (reached_) target_ = root_of(counted_[i]);
        }
        if (!reached_) target_ = root_of(counted_.back());
    }

    // Older than the backup that the window begins with.
    bool is_before_target(const BackupEntry& backup) const {
        if (!reached_ || &backup == target_) return false;
        if (is_on_lineage(backup)) return place_of(backup) < place_of(*target_);
        return backup.modified < target_->modified && is_old(backup);
    }

    Choice choice() const {
        Choice choice;
        for (const BackupEntry& backup : inventory_.backups) {
            if (is_foreign(backup)) {
                choice.backups.insert(backup.name);
                choice.spared[backup.name] = "it belongs to another cluster";
            } else if (is_before_target(backup)) {
                choice.backups.insert(backup.name);
            }
        }
        for (const auto& [name, folder] : inventory_.folders)
            if (layout::is_backup_name(name) && state_of(inventory_, folder) == FolderState::kAbandoned)
                choice.folders.insert(name);
        // A permanent backup as target keeps all WAL since then, and not only its own.
        choice.needs.push_back(need_for_recovery(target_->start_segment));
        choice.wal = [this](const StoredObject& object) { return object.modified < target_->modified; };
        return choice;
    }

    // --- what is said ------------------------------------------------------------------------------------------------

    std::vector<Verdict> verdicts(const RetentionPlan& plan) {
        std::set<std::string> going;
        for (const BackupRemoval& removal : plan.deletion.backups) going.insert(removal.name);
        std::map<std::string, std::string> reasons;
        for (const DeletePlan::Kept& kept : plan.deletion.kept) reasons[kept.name] = kept.reason;
        std::vector<Verdict> verdicts;
        for (const BackupEntry& backup : inventory_.backups) {
            Verdict verdict = measured(backup.name, true);
            verdict.keep = !going.contains(backup.name);
            if (!plan.held.empty())
                verdict.reason = "nothing is deleted: " + plan.held;
            else if (const auto reason = reasons.find(backup.name); reason != reasons.end())
                verdict.reason = reason->second;
            else
                verdict.reason = verdict.keep ? reason_to_keep(backup) : reason_to_go(backup);
            verdicts.push_back(std::move(verdict));
        }
        for (const auto& [name, folder] : inventory_.folders) {
            const FolderState state = state_of(inventory_, folder);
            if (state == FolderState::kListed || !layout::is_backup_name(name)) continue;
            Verdict verdict = measured(name, false);
            verdict.keep = !going.contains(name);
            verdict.reason = state == FolderState::kMayBeAlive ? "it may be in the making"
                             : verdict.keep                    ? "nothing is deleted: " + plan.held
                                            : "left behind by a backup that failed or by an interrupted deletion";
            verdicts.push_back(std::move(verdict));
        }
        return verdicts;
    }

    Verdict measured(const std::string& name, bool has_sentinel) const {
        Verdict verdict;
        verdict.backup = name;
        if (const auto folder = inventory_.folders.find(name); folder != inventory_.folders.end()) {
            verdict.objects = folder->second.objects.size();
            for (const StoredObject& object : folder->second.objects) verdict.bytes += object.size;
        }
        if (!has_sentinel) return verdict;
        ++verdict.objects;
        if (const auto size = inventory_.sentinel_sizes.find(name); size != inventory_.sentinel_sizes.end())
            verdict.bytes += size->second;
        return verdict;
    }

    std::string reason_to_keep(const BackupEntry& backup) const {
        const std::string number = std::to_string(count_);
        const auto at = std::find(counted_.begin(), counted_.end(), &backup);
        if (at == counted_.end())
            return (is_on_lineage(backup) ? "it cannot be restored, but is not older than "
                                          : "it is on an abandoned timeline, but not older than ") +
                   quoted(target_->name);
        if (at - counted_.begin() < count_) return "it is one of the newest " + number;
        if (!is_old(backup)) return "it is younger than " + number + " days";
        return "recovery to the last " + number + " days begins with it";
    }

    std::string reason_to_go(const BackupEntry& backup) const {
        return (is_on_lineage(backup) ? "it is older than " : "it is on an abandoned timeline and older than ") +
               quoted(target_->name);
    }

    const Inventory& inventory_;
    const Policy& policy_;
    const int count_;
    const Timeline timeline_;
    std::vector<const BackupEntry*> counted_;
    const BackupEntry* target_ = nullptr;  // the window begins with it
    bool reached_ = false;                 // there are more than enough backups
};

}  // namespace

RetentionPlan plan_by_policy(const Inventory& inventory, const Policy& policy) {
    return Judge(inventory, policy).run();
}

}  // namespace forge::retention
