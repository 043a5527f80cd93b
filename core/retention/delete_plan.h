// Which objects a deletion removes and which it must leave: decisions over an inventory, without a store. The command
// line, the SQL functions and whatever else removes backups share them; execute() in execute.h carries them out.
//
// Whatever is asked for:
//  - permanent backups stay, with the WAL from their start to their end (walg-format W4);
//  - a backup stays while one that stays builds on it, or one that may be in the making does;
//  - plan_before() and plan_retain() never leave a store without a backup that can be restored;
//  - WAL that a backup that stays needs for recovery to any later moment stays, on its timeline and those that follow;
//  - restore points go with the WAL they are in;
//  - only objects in basebackups_005/, wal_005/ and forge_restore_points/ are touched (W16), a folder without sentinel
//    only once it is abandoned (W17), and `.history` objects only by plan_everything().
#pragma once

#include <functional>
#include <optional>

#include "core/retention/inventory.h"

namespace forge::retention {

// Point into the inventory, which outlives a plan.
using Going = std::vector<const StoredObject*>;

struct BackupRemoval {
    std::string name;
    std::string parent;  // name of what it builds on
    bool has_sentinel = true;
    Going objects;            // of its folder
    std::uint64_t bytes = 0;  // sentinel included
    std::size_t object_count() const { return objects.size() + (has_sentinel ? 1 : 0); }
    std::vector<Need> needs;  // its WAL, which must stay if the store refuses to remove it
};

struct DeletePlan {
    struct Kept {
        std::string name;
        std::string reason;  // "it is permanent"
    };
    std::vector<BackupRemoval> backups;  // one that builds on another comes before it
    Going wal;                           // and whatever else is not part of a backup
    Going restore_points;
    std::vector<Kept> kept;  // what was asked for and stays all the same
    std::string target;      // the backup before which everything goes; empty = another kind of deletion

    bool empty() const { return backups.empty() && wal.empty() && restore_points.empty(); }
    std::uint64_t object_count() const;
    std::uint64_t bytes() const;
    std::uint64_t wal_bytes() const;
    std::uint64_t restore_points_bytes() const;
};

enum class Modifier { kNone, kFull, kFindFull };

// Everything older than a backup: `what` is its name, the beginning of its name, or a time with zone (then the oldest
// backup that is not older is meant). It must be a full backup, else kInvalid; with kFindFull the nearest full one
// before it is taken. An empty plan when no backup fits the time.
struct Before {
    std::string what;
    Modifier modifier = Modifier::kNone;  // kNone or kFindFull
    // Compare backups by their start time instead of their place in the WAL (if every backup has one), and times with
    // it instead of the modification time of the sentinel.
    bool by_start_time = false;
};
Result<DeletePlan> plan_before(const Inventory& inventory, const Before& order);

// Everything older than the newest `count` backups; with kFull only full ones are counted, with kFindFull the nearest
// full one at or after that many is taken. Backups that cannot be restored are not counted, so that damaged new ones do
// not push out good old ones. `after`: keep also everything from this backup or time on.
struct Retain {
    int count = 0;
    Modifier modifier = Modifier::kNone;
    std::string after;
    bool by_start_time = false;
};
Result<DeletePlan> plan_retain(const Inventory& inventory, const Retain& order);

// One backup and all that build on it; with `family`, the full backup at the root of its chain and all that build on
// that. WAL stays. kInvalid when one of them is permanent, or may be the parent of a backup in the making.
Result<DeletePlan> plan_target(const Inventory& inventory, const std::string& name, bool family);

// Everything in the three folders. kInvalid when there is a permanent backup, unless `force`, which also takes folders
// that somebody may be writing to.
Result<DeletePlan> plan_everything(const Inventory& inventory, bool force);

// Abandoned folders, and WAL from before the oldest backup that is not permanent.
struct Garbage {
    bool backups = true;
    bool archives = true;
};
DeletePlan plan_garbage(const Inventory& inventory, const Garbage& order);

// What somebody else chose, under the rules above.
struct Choice {
    std::set<std::string> backups;              // names of those with a sentinel
    std::set<std::string> folders;              // and of those without
    std::map<std::string, std::string> spared;  // of `backups`: why it stays all the same, with the WAL that it needs
    std::vector<Need> needs;                    // more WAL to keep
    // WAL and its side objects that may go unless something that stays needs it; place_of_wal() of it is not empty.
    std::function<bool(const StoredObject&)> wal;
};
DeletePlan plan_choice(const Inventory& inventory, const Choice& choice);

// kInvalid when there is a backup that can be restored, and none would be left.
Status check_something_is_left(const Inventory& inventory, const DeletePlan& plan);

// A backup can be restored as far as the listing tells: it is readable and its chain is complete.
bool is_restorable(const Inventory& inventory, const repository::BackupEntry& backup);

}  // namespace forge::retention
