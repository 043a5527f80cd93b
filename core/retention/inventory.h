// What a store holds in the folders that a deletion may touch, WAL-G's two and that of our restore points, and who
// needs what of it. Other folders and objects under the prefix are somebody else's and are never looked at (walg-format
// W16).
#pragma once

#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/layout/history.h"
#include "core/repository/repository.h"

namespace forge::retention {

// There can be millions: no more of each than is needed here, and in sequences that are not copied while they grow.
struct StoredObject {
    std::string key;
    std::uint64_t size = 0;
    Instant modified;
};
using StoredObjects = std::deque<StoredObject>;

// A folder basebackups_005/<name>/, whether its backup has a sentinel or not.
struct BackupFolder {
    std::string name;
    StoredObjects objects;
    bool has_metadata = false;
    bool has_pg_control = false;
    Instant newest;  // last modification in it
};

struct Inventory {
    std::vector<repository::BackupEntry> backups;  // those with a sentinel
    std::map<std::string, std::uint64_t> sentinel_sizes;
    std::map<std::string, BackupFolder> folders;       // by name
    StoredObjects strays;                              // directly in basebackups_005/, and no sentinel
    StoredObjects wal;                                 // everything in wal_005/, in key order
    StoredObjects restore_points;                      // of archived segments, in key order
    layout::HistoryMap histories;                      // oldest ancestor first
    std::map<Timeline, std::set<Timeline>> ancestors;  // by the histories; a timeline without one is not in it
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    Instant now;

    const repository::BackupEntry* find(const std::string& name) const;
    // What a delta builds on; null for a full one, and when it is not there.
    const repository::BackupEntry* parent_of(const repository::BackupEntry& backup) const;
    // True as well when nobody knows: permanence is in metadata.json, and that is there but cannot be read.
    bool is_permanent(const repository::BackupEntry& backup) const;
    // Of 24 digits; compressed by whatever method.
    bool has_segment(std::string_view segment) const;
};

// Reads all of it. An unreadable history is as good as none; an unreadable backup is in the list with its problem.
Result<Inventory> take_inventory(repository::Repository& repository, Instant now, const store::CallContext& context);

// A folder without sentinel is a backup that is being made, one that failed, or one whose deletion was interrupted.
enum class FolderState {
    kListed,      // it has a sentinel
    kMayBeAlive,  // somebody may be writing to it: it changed within kUnfinishedAge
    kAbandoned,
};
inline constexpr seconds kUnfinishedAge{24 * 60 * 60};
// A writer makes pg_control's part before metadata.json, and a deletion removes that part early and metadata.json last:
// metadata.json without the part is left from a deletion, however young it is.
FolderState state_of(const Inventory& inventory, const BackupFolder& folder);

// --- places in the WAL -----------------------------------------------------------------------------------------------

// Order of WAL-G: the 24 digits of an object's name. Empty for objects that have no place, which before, retain and
// garbage never touch: timeline histories and foreign names. Restore points have the place of their segment.
std::string place_of_wal(const std::string& key);
// Number of the segment alone, as 16 digits that compare like the number.
inline std::string_view number_of(std::string_view place) { return place.substr(8); }

// WAL that a backup needs.
struct Need {
    Timeline timeline = 0;
    std::string from;   // 16 digits
    std::string to;     // inclusive; empty: everything from there on, on this timeline and on those that follow it
    Timeline last = 0;  // of `to`
    // `inventory` knows which timelines follow which; one without a history may follow any older one.
    bool covers(const Inventory& inventory, std::string_view place) const;
};
// To restore the backup and to recover to any later moment.
Need need_for_recovery(const std::string& start_segment);
// Only to make the backup consistent. Everything from its start on when its end is not known.
Need need_for_backup(const Inventory& inventory, const repository::BackupEntry& backup);

}  // namespace forge::retention
