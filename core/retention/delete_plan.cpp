#include "core/retention/delete_plan.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/text.h"

namespace forge::retention {

using repository::BackupEntry;

namespace {

using Names = std::set<std::string>;

std::uint64_t size_of(const Going& objects) {
    std::uint64_t bytes = 0;
    for (const StoredObject* object : objects) bytes += object->size;
    return bytes;
}

// Those that `wanted` says.
template <typename Wanted>
void add_objects(Going& going, const StoredObjects& objects, Wanted wanted) {
    for (const StoredObject& object : objects)
        if (wanted(object)) going.push_back(&object);
}
void add_objects(Going& going, const StoredObjects& objects) {
    add_objects(going, objects, [](const StoredObject&) { return true; });
}

// --- order -----------------------------------------------------------------------------------------------------------

// Compares backups and WAL with each other, by place in the WAL or by time (walg-format 9.4).
class Order {
public:
    Order(const Inventory& inventory, bool by_start_time)
        : by_time_(by_start_time &&
                   std::all_of(inventory.backups.begin(), inventory.backups.end(),
                               [](const BackupEntry& backup) { return backup.sentinel.start_time != Instant{}; })) {}

    bool older(const BackupEntry& a, const BackupEntry& b) const {
        if (by_time_ && a.sentinel.start_time != b.sentinel.start_time)
            return a.sentinel.start_time < b.sentinel.start_time;
        return a.start_segment < b.start_segment;
    }
    // Objects have no start time: the number of their segment alone stands for it.
    bool older(std::string_view place, const BackupEntry& than) const {
        if (place.empty()) return false;
        return by_time_ ? number_of(place) < number_of(than.start_segment) : place < than.start_segment;
    }
    Instant time_of(const BackupEntry& backup) const { return by_time_ ? backup.sentinel.start_time : backup.modified; }

private:
    bool by_time_;
};

// Oldest first.
std::vector<const BackupEntry*> sorted(const Inventory& inventory, const Order& order) {
    std::vector<const BackupEntry*> backups;
    for (const BackupEntry& backup : inventory.backups) backups.push_back(&backup);
    std::stable_sort(backups.begin(), backups.end(),
                     [&order](const BackupEntry* a, const BackupEntry* b) { return order.older(*a, *b); });
    return backups;
}

// --- what must stay --------------------------------------------------------------------------------------------------

// Folders without sentinel that somebody may be writing to.
std::vector<const BackupFolder*> living_folders(const Inventory& inventory) {
    std::vector<const BackupFolder*> living;
    for (const auto& [name, folder] : inventory.folders)
        if (layout::is_backup_name(name) && state_of(inventory, folder) == FolderState::kMayBeAlive)
            living.push_back(&folder);
    return living;
}

// The backup on which one in the making builds, by its name; null when it is a full one.
const BackupEntry* parent_of_folder(const Inventory& inventory, const BackupFolder& folder) {
    BackupEntry unread;
    unread.name = folder.name;
    unread.readable = false;
    return inventory.parent_of(unread);
}

// Why each backup of `wanted` that must stay does; `spared` are the reasons that are known already.
std::map<std::string, std::string> reasons_to_stay(const Inventory& inventory, const Names& wanted,
                                                   const std::map<std::string, std::string>& spared = {}) {
    std::map<std::string, std::string> reasons;
    std::vector<const BackupEntry*> staying;
    const auto keep = [&](const BackupEntry& backup, const std::string& reason) {
        if (wanted.contains(backup.name) && reasons.try_emplace(backup.name, reason).second) staying.push_back(&backup);
    };
    for (const BackupEntry& backup : inventory.backups) {
        if (!wanted.contains(backup.name)) staying.push_back(&backup);
        if (const auto reason = spared.find(backup.name); reason != spared.end()) keep(backup, reason->second);
        if (inventory.is_permanent(backup))
            keep(backup, backup.sentinel.is_permanent ? "it is permanent"
                                                      : "it may be permanent, since its metadata.json cannot be read");
    }
    for (const BackupFolder* folder : living_folders(inventory))
        if (const BackupEntry* parent = parent_of_folder(inventory, *folder))
            keep(*parent, "backup " + quoted(folder->name) + ", which may be in the making, builds on it");
    while (!staying.empty()) {
        const BackupEntry& backup = *staying.back();
        staying.pop_back();
        if (const BackupEntry* parent = inventory.parent_of(backup))
            keep(*parent, "backup " + quoted(backup.name) + " builds on it");
    }
    return reasons;
}

// The WAL that must stay when `wanted` go, but for those with a reason to stay. A backup that stays although it is
// older than what was asked for keeps what makes it consistent, and not all WAL since then.
std::vector<Need> needs_of_staying(const Inventory& inventory, const Names& wanted,
                                   const std::map<std::string, std::string>& reasons) {
    std::vector<Need> needs;
    for (const BackupEntry& backup : inventory.backups) {
        if (reasons.contains(backup.name) || inventory.is_permanent(backup))
            needs.push_back(need_for_backup(inventory, backup));
        if (!wanted.contains(backup.name) && !inventory.is_permanent(backup))
            needs.push_back(need_for_recovery(backup.start_segment));
    }
    for (const BackupFolder* folder : living_folders(inventory))
        needs.push_back(need_for_recovery(layout::backup_start_segment(folder->name)));
    return needs;
}

bool is_needed(const Inventory& inventory, const std::vector<Need>& needs, const std::string& place) {
    return std::any_of(needs.begin(), needs.end(), [&](const Need& need) { return need.covers(inventory, place); });
}

// WAL and restore points that `wanted` says and nobody needs.
void add_wal(DeletePlan& plan, const Inventory& inventory, const std::vector<Need>& needs,
             const std::function<bool(const StoredObject&)>& wanted) {
    const auto may_go = [&](const StoredObject& object) {
        const std::string place = place_of_wal(object.key);
        return !place.empty() && wanted(object) && !is_needed(inventory, needs, place);
    };
    add_objects(plan.wal, inventory.wal, may_go);
    add_objects(plan.restore_points, inventory.restore_points, may_go);
}

// --- plans -----------------------------------------------------------------------------------------------------------

BackupRemoval removal_of(const Inventory& inventory, const std::string& name) {
    BackupRemoval removal;
    removal.name = name;
    if (const auto folder = inventory.folders.find(name); folder != inventory.folders.end())
        add_objects(removal.objects, folder->second.objects);
    removal.bytes = size_of(removal.objects);
    const BackupEntry* backup = inventory.find(name);
    removal.has_sentinel = backup != nullptr;
    if (backup == nullptr) return removal;
    if (const auto size = inventory.sentinel_sizes.find(name); size != inventory.sentinel_sizes.end())
        removal.bytes += size->second;
    if (const BackupEntry* parent = inventory.parent_of(*backup)) removal.parent = parent->name;
    removal.needs.push_back(need_for_backup(inventory, *backup));
    return removal;
}

std::size_t depth_of(const Inventory& inventory, const std::string& name) {
    std::size_t depth = 0;
    const BackupEntry* backup = inventory.find(name);
    // A chain that leads back into itself must not hold us here.
    while (backup != nullptr && depth <= inventory.backups.size()) {
        backup = inventory.parent_of(*backup);
        ++depth;
    }
    return depth;
}

// Adds the backups in the order in which they are to go: the newest first, and never one before what builds on it.
void add_backups(DeletePlan& plan, const Inventory& inventory, const Names& names) {
    std::vector<std::pair<std::size_t, std::string>> order;
    for (const std::string& name : names) order.emplace_back(depth_of(inventory, name), name);
    std::sort(order.rbegin(), order.rend());
    for (const auto& [depth, name] : order) plan.backups.push_back(removal_of(inventory, name));
}

Status not_full(const BackupEntry& backup) {
    return Status(Kind::kInvalid,
                  "backup " + quoted(backup.name) + " is a delta backup, and what it builds on cannot be deleted",
                  "Use FIND_FULL to go back to the nearest full backup.");
}

// A delta whose sentinel is damaged is one by its name.
bool is_full(const BackupEntry& backup) {
    return backup.readable ? !backup.sentinel.is_delta() : backup.name.find("_D_") == std::string::npos;
}

// `at` itself if it is a full one, or the nearest full one before it.
Result<const BackupEntry*> full_from(const std::vector<const BackupEntry*>& backups, std::size_t at,
                                     Modifier modifier) {
    if (is_full(*backups[at])) return backups[at];
    if (modifier != Modifier::kFindFull) return not_full(*backups[at]);
    for (std::size_t i = at; i-- > 0;)
        if (backups[i]->readable && is_full(*backups[i])) return backups[i];
    return Status(Kind::kInvalid, "there is no full backup before " + quoted(backups[at]->name),
                  "Nothing older than a delta backup without a full one can be told apart; name another backup.");
}

Status no_such_backup(const Inventory& inventory, const std::string& what) {
    std::string names;
    for (const BackupEntry& backup : inventory.backups) names += (names.empty() ? "" : ", ") + backup.name;
    return Status(Kind::kInvalid, "backup " + quoted(what) + " does not exist",
                  names.empty() ? "There is no backup at all." : "The backups are " + names + ".");
}

constexpr std::size_t kNone = SIZE_MAX;

// Position of the backup that `what` means; kNone when it is a time after all backups.
Result<std::size_t> position_of(const Inventory& inventory, const std::vector<const BackupEntry*>& backups,
                                const Order& order, const std::string& what) {
    std::size_t found = kNone;
    for (std::size_t i = 0; i < backups.size(); ++i) {
        if (backups[i]->name == what) return i;
        if (what.empty() || !backups[i]->name.starts_with(what)) continue;
        if (found != kNone)
            return Status(Kind::kInvalid, "more than one backup has a name that begins with " + quoted(what),
                          "Give the whole name.");
        found = i;
    }
    if (found != kNone) return found;
    const auto time = parse_time(what);
    if (!time.ok()) {
        if (!what.empty() && what[0] >= '0' && what[0] <= '9') return time.status();
        return no_such_backup(inventory, what);
    }
    for (std::size_t i = 0; i < backups.size(); ++i)
        if (order.time_of(*backups[i]) >= *time &&
            (found == kNone || order.time_of(*backups[i]) < order.time_of(*backups[found])))
            found = i;
    return found;
}

// Everything older than `target`. The newest backups may be damaged: what is left must be worth keeping.
Result<DeletePlan> plan_older(const Inventory& inventory, const Order& order, const BackupEntry& target) {
    Choice choice;
    for (const BackupEntry& backup : inventory.backups)
        if (backup.name != target.name && order.older(backup, target)) choice.backups.insert(backup.name);
    for (const auto& [name, folder] : inventory.folders)
        if (state_of(inventory, folder) == FolderState::kAbandoned &&
            order.older(layout::backup_start_segment(name), target))
            choice.folders.insert(name);
    choice.wal = [&](const StoredObject& object) { return order.older(place_of_wal(object.key), target); };
    DeletePlan plan = plan_choice(inventory, choice);
    plan.target = target.name;
    FORGE_TRY(check_something_is_left(inventory, plan));
    return plan;
}

// --- target ----------------------------------------------------------------------------------------------------------

// The backups that build on one of `names`, directly or not, and these themselves.
Names with_dependents(const Inventory& inventory, Names names) {
    for (bool grew = true; grew;) {
        grew = false;
        for (const BackupEntry& backup : inventory.backups) {
            const BackupEntry* parent = inventory.parent_of(backup);
            if (parent != nullptr && names.contains(parent->name)) grew |= names.insert(backup.name).second;
        }
    }
    return names;
}

std::string root_of(const Inventory& inventory, const BackupEntry& backup) {
    Names seen;
    const BackupEntry* root = &backup;
    for (const BackupEntry* at = root; at != nullptr && seen.insert(at->name).second; at = inventory.parent_of(*at))
        root = at;
    return root->name;
}

// A name without a sentinel: what a failed backup or an interrupted deletion left.
Result<DeletePlan> plan_target_folder(const Inventory& inventory, const std::string& name) {
    const auto folder = inventory.folders.find(name);
    if (folder == inventory.folders.end()) return no_such_backup(inventory, name);
    if (state_of(inventory, folder->second) != FolderState::kAbandoned)
        return Status(Kind::kInvalid, "backup " + quoted(name) + " has no sentinel and may be in the making",
                      "If it is not, its objects can be deleted 24 hours after the last of them was written.");
    DeletePlan plan;
    plan.backups.push_back(removal_of(inventory, name));
    return plan;
}

// All of `wanted` may go; kInvalid saying why not.
Status check_may_go(const Inventory& inventory, const std::string& name, const Names& wanted) {
    const std::string refusal = "backup " + quoted(name) + " cannot be deleted: ";
    for (const std::string& member : wanted)
        if (inventory.is_permanent(*inventory.find(member)))
            return Status(Kind::kInvalid,
                          refusal +
                              (member == name ? "it"
                                              : "backup " + quoted(member) +
                                                    ", which builds on it or on "
                                                    "which it builds,") +
                              " is permanent",
                          "Take the mark away first with \"backup-mark -i " + member + "\".");
    const auto reasons = reasons_to_stay(inventory, wanted);
    if (reasons.empty()) return {};
    return Status(Kind::kInvalid, refusal + reasons.begin()->second,
                  "Wait until that backup is finished, and delete it first.");
}

// --- everything ------------------------------------------------------------------------------------------------------

// Takes from a plan for everything what backups in the making write and need.
void spare_living(DeletePlan& plan, const Inventory& inventory, Names& going) {
    std::vector<Need> needs;
    for (const BackupFolder* folder : living_folders(inventory)) {
        going.erase(folder->name);
        plan.kept.push_back({folder->name, "it may be in the making"});
        needs.push_back(need_for_recovery(layout::backup_start_segment(folder->name)));
        for (const BackupEntry* at = parent_of_folder(inventory, *folder); at != nullptr && going.erase(at->name) > 0;
             at = inventory.parent_of(*at)) {
            plan.kept.push_back({at->name, "backup " + quoted(folder->name) + " builds on it"});
            needs.push_back(need_for_backup(inventory, *at));
        }
    }
    if (needs.empty()) return;
    for (auto* objects : {&plan.wal, &plan.restore_points})
        std::erase_if(*objects, [&](const StoredObject* object) {
            const std::string place = place_of_wal(object->key);
            return place.empty() || is_needed(inventory, needs, place);
        });
}

}  // namespace

std::uint64_t DeletePlan::object_count() const {
    std::uint64_t count = wal.size() + restore_points.size();
    for (const BackupRemoval& backup : backups) count += backup.object_count();
    return count;
}

std::uint64_t DeletePlan::wal_bytes() const { return size_of(wal); }
std::uint64_t DeletePlan::restore_points_bytes() const { return size_of(restore_points); }

std::uint64_t DeletePlan::bytes() const {
    std::uint64_t total = wal_bytes() + restore_points_bytes();
    for (const BackupRemoval& backup : backups) total += backup.bytes;
    return total;
}

bool is_restorable(const Inventory& inventory, const BackupEntry& backup) {
    const BackupEntry* at = &backup;
    for (std::size_t steps = 0; steps <= inventory.backups.size(); ++steps) {
        if (!at->readable) return false;
        if (!at->sentinel.is_delta()) return at->name.find("_D_") == std::string::npos;
        at = inventory.parent_of(*at);
        if (at == nullptr) return false;
    }
    return false;
}

Status check_something_is_left(const Inventory& inventory, const DeletePlan& plan) {
    Names going;
    for (const BackupRemoval& removal : plan.backups) going.insert(removal.name);
    bool loses_one = false;
    for (const BackupEntry& backup : inventory.backups) {
        if (!is_restorable(inventory, backup)) continue;
        if (!going.contains(backup.name)) return {};
        loses_one = true;
    }
    if (!loses_one) return {};
    return Status(
        Kind::kInvalid, "no backup that can be restored would be left",
        "Make a backup first, or delete it by \"delete target\", \"delete everything\" or delete_backup() with force.");
}

DeletePlan plan_choice(const Inventory& inventory, const Choice& choice) {
    DeletePlan plan;
    const auto reasons = reasons_to_stay(inventory, choice.backups, choice.spared);
    for (const auto& [name, reason] : reasons) plan.kept.push_back({name, reason});
    Names going = choice.folders;
    for (const std::string& name : choice.backups)
        if (!reasons.contains(name)) going.insert(name);
    add_backups(plan, inventory, going);
    std::vector<Need> needs = needs_of_staying(inventory, choice.backups, reasons);
    needs.insert(needs.end(), choice.needs.begin(), choice.needs.end());
    add_wal(plan, inventory, needs, choice.wal);
    return plan;
}

Result<DeletePlan> plan_before(const Inventory& inventory, const Before& wanted) {
    const Order order(inventory, wanted.by_start_time);
    const auto backups = sorted(inventory, order);
    FORGE_ASSIGN(const std::size_t at, position_of(inventory, backups, order, wanted.what));
    if (at == kNone) return DeletePlan();
    FORGE_ASSIGN(const BackupEntry* target, full_from(backups, at, wanted.modifier));
    return plan_older(inventory, order, *target);
}

Result<DeletePlan> plan_retain(const Inventory& inventory, const Retain& wanted) {
    if (wanted.count < 1)
        return Status(Kind::kInvalid, "the number of backups to retain must be 1 or more",
                      "Use \"delete everything\" to delete all of them.");
    const Order order(inventory, wanted.by_start_time);
    const auto backups = sorted(inventory, order);
    int counted = 0;
    std::size_t at = kNone;
    for (std::size_t i = backups.size(); i-- > 0 && at == kNone;) {
        if (!is_restorable(inventory, *backups[i])) continue;
        if (wanted.modifier == Modifier::kFull && !is_full(*backups[i])) continue;
        if (++counted == wanted.count) at = i;
    }
    if (at == kNone) return DeletePlan();
    FORGE_ASSIGN(const BackupEntry* target, full_from(backups, at, wanted.modifier));
    if (wanted.after.empty()) return plan_older(inventory, order, *target);
    FORGE_ASSIGN(const std::size_t after, position_of(inventory, backups, order, wanted.after));
    if (after != kNone && after < at) {
        FORGE_ASSIGN(const BackupEntry* other, full_from(backups, after, wanted.modifier));
        if (order.older(*other, *target)) target = other;
    }
    return plan_older(inventory, order, *target);
}

Result<DeletePlan> plan_target(const Inventory& inventory, const std::string& name, bool family) {
    const BackupEntry* backup = inventory.find(name);
    if (backup == nullptr) return plan_target_folder(inventory, name);
    const Names wanted = with_dependents(inventory, {family ? root_of(inventory, *backup) : name});
    FORGE_TRY(check_may_go(inventory, name, wanted));
    DeletePlan plan;
    add_backups(plan, inventory, wanted);
    return plan;
}

Result<DeletePlan> plan_everything(const Inventory& inventory, bool force) {
    std::string permanent;
    Names going;
    for (const BackupEntry& backup : inventory.backups) {
        if (inventory.is_permanent(backup)) permanent += (permanent.empty() ? "" : ", ") + backup.name;
        going.insert(backup.name);
    }
    if (!permanent.empty() && !force)
        return Status(Kind::kInvalid, "there are permanent backups: " + permanent,
                      "Take the mark away with \"backup-mark -i\", or use \"everything FORCE\".");
    for (const auto& [name, folder] : inventory.folders) going.insert(name);
    DeletePlan plan;
    add_objects(plan.wal, inventory.wal);
    add_objects(plan.restore_points, inventory.restore_points);
    if (!force) spare_living(plan, inventory, going);
    add_backups(plan, inventory, going);
    add_objects(plan.wal, inventory.strays);
    return plan;
}

DeletePlan plan_garbage(const Inventory& inventory, const Garbage& wanted) {
    DeletePlan plan;
    Names going;
    for (const auto& [name, folder] : inventory.folders) {
        if (!wanted.backups || !layout::is_backup_name(name)) continue;
        const FolderState state = state_of(inventory, folder);
        if (state == FolderState::kAbandoned) going.insert(name);
        if (state == FolderState::kMayBeAlive) plan.kept.push_back({name, "it may be in the making"});
    }
    add_backups(plan, inventory, going);
    const BackupEntry* oldest = nullptr;
    for (const BackupEntry& backup : inventory.backups) {
        if (inventory.is_permanent(backup)) continue;
        if (oldest == nullptr || backup.start_segment < oldest->start_segment) oldest = &backup;
    }
    if (!wanted.archives || oldest == nullptr) return plan;
    const std::vector<Need> needs = needs_of_staying(inventory, {}, {});
    add_wal(plan, inventory, needs,
            [oldest](const StoredObject& object) { return place_of_wal(object.key) < oldest->start_segment; });
    return plan;
}

}  // namespace forge::retention
