#include "core/retention/inventory.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/wal/timelines.h"

namespace forge::retention {

using repository::BackupEntry;

namespace {

constexpr std::size_t kPlaceDigits = 24;

StoredObject stored(const store::ObjectInfo& object) { return {object.key, object.size, object.modified}; }

void add_to_folder(Inventory& inventory, const store::ObjectInfo& object, std::string_view below) {
    const std::string name(below.substr(0, below.find('/')));
    BackupFolder& folder = inventory.folders[name];
    folder.name = name;
    folder.has_metadata |= object.key == layout::metadata_key(name);
    folder.has_pg_control |=
        object.key.starts_with(layout::parts_folder(name)) &&
        layout::is_pg_control_part(std::string_view(object.key).substr(layout::parts_folder(name).size()));
    folder.newest = std::max(folder.newest, object.modified);
    folder.objects.push_back(stored(object));
}

Status list_backup_objects(Inventory& inventory, store::ObjectStore& store, const store::CallContext& context) {
    const auto visit = [&inventory](const store::ObjectInfo& object) {
        const std::string_view below = std::string_view(object.key).substr(layout::kBackupsFolder.size());
        if (const auto name = layout::backup_of_sentinel(object.key))
            inventory.sentinel_sizes[*name] = object.size;
        else if (below.find('/') != std::string_view::npos)
            add_to_folder(inventory, object, below);
        else if (!below.empty())
            inventory.strays.push_back(stored(object));
        return true;
    };
    return store.list(std::string(layout::kBackupsFolder), visit, context);
}

Status list_wal_objects(Inventory& inventory, store::ObjectStore& store, std::vector<std::string>& histories,
                        const store::CallContext& context) {
    const auto visit = [&](const store::ObjectInfo& object) {
        const auto file = layout::parse_wal_key(object.key);
        if (file && file->kind == layout::WalKind::kHistory) histories.push_back(file->name);
        if (object.key.size() > layout::kWalFolder.size()) inventory.wal.push_back(stored(object));
        return true;
    };
    return store.list(std::string(layout::kWalFolder), visit, context);
}

Status list_restore_points(Inventory& inventory, store::ObjectStore& store, const store::CallContext& context) {
    const auto visit = [&inventory](const store::ObjectInfo& object) {
        if (layout::segment_of_restore_points(object.key)) inventory.restore_points.push_back(stored(object));
        return true;
    };
    return store.list(std::string(layout::kRestorePointsFolder), visit, context);
}

bool is_segment(const StoredObject& object, std::string_view segment) {
    const auto file = layout::parse_wal_key(object.key);
    return file && file->kind == layout::WalKind::kSegment && (segment.empty() || file->name == segment);
}

// The newest of them, oldest first.
std::vector<std::string> last_segments(const Inventory& inventory) {
    std::vector<std::string> names;
    for (auto object = inventory.wal.rbegin(); object != inventory.wal.rend() && names.size() < wal::kMostAsked;
         ++object)
        if (is_segment(*object, {})) names.push_back(place_of_wal(object->key));
    std::ranges::reverse(names);
    return names;
}

std::string start_segment_of_parent(const std::string& name) {
    const std::size_t mark = name.find("_D_");
    return mark == std::string::npos ? std::string() : name.substr(mark + 3, kPlaceDigits);
}

}  // namespace

const BackupEntry* Inventory::find(const std::string& name) const {
    for (const BackupEntry& backup : backups)
        if (backup.name == name) return &backup;
    return nullptr;
}

const BackupEntry* Inventory::parent_of(const BackupEntry& backup) const {
    if (backup.readable) return backup.sentinel.is_delta() ? find(backup.sentinel.delta_from) : nullptr;
    const std::string start = start_segment_of_parent(backup.name);
    for (const BackupEntry& other : backups)
        if (!start.empty() && other.start_segment == start) return &other;
    return nullptr;
}

bool Inventory::is_permanent(const BackupEntry& backup) const {
    if (backup.sentinel.is_permanent) return true;
    if (backup.readable) return !backup.problem.empty() && backup.problem != "metadata.json: not found";
    const auto folder = folders.find(backup.name);
    const bool unread = backup.sentinel.start_time == Instant{};
    return unread && folder != folders.end() && folder->second.has_metadata;
}

bool Inventory::has_segment(std::string_view segment) const {
    const std::string beginning = std::string(layout::kWalFolder).append(segment);
    for (auto object = std::ranges::lower_bound(wal, beginning, {}, &StoredObject::key);
         object != wal.end() && object->key.starts_with(beginning); ++object)
        if (is_segment(*object, segment)) return true;
    return false;
}

// The objects before the sentinels: a backup that is finished in between has its sentinel in the list then, and is not
// taken for an abandoned one.
Result<Inventory> take_inventory(repository::Repository& repository, Instant now, const store::CallContext& context) {
    Inventory inventory;
    inventory.now = now;
    std::vector<std::string> histories;
    FORGE_TRY(list_backup_objects(inventory, repository.store(), context));
    FORGE_TRY(list_wal_objects(inventory, repository.store(), histories, context));
    FORGE_TRY(list_restore_points(inventory, repository.store(), context));
    FORGE_ASSIGN(inventory.backups, repository.list_backups(context));
    FORGE_ASSIGN(inventory.segment_size,
                 wal::archive_segment_size(repository, inventory.backups, last_segments(inventory), context));
    FORGE_ASSIGN(wal::Histories read, wal::read_histories(repository, histories, context));
    inventory.histories = std::move(read.of);
    for (const auto& [timeline, entries] : inventory.histories) {
        std::set<Timeline>& ancestors = inventory.ancestors[timeline];
        for (const wal::HistoryEntry& entry : entries) ancestors.insert(entry.timeline);
    }
    return inventory;
}

FolderState state_of(const Inventory& inventory, const BackupFolder& folder) {
    if (inventory.find(folder.name) != nullptr) return FolderState::kListed;
    if (folder.has_metadata && !folder.has_pg_control) return FolderState::kAbandoned;
    const std::int64_t age = inventory.now.nanos - folder.newest.nanos;
    return age < std::chrono::nanoseconds(kUnfinishedAge).count() ? FolderState::kMayBeAlive : FolderState::kAbandoned;
}

std::string place_of_wal(const std::string& key) {
    if (auto segment = layout::segment_of_restore_points(key)) return std::move(*segment);
    const std::string_view name = std::string_view(key).substr(std::min(key.size(), layout::kWalFolder.size()));
    if (!key.starts_with(layout::kWalFolder) || name.size() < kPlaceDigits) return {};
    if (name.find('/') != std::string_view::npos) return {};
    const std::string_view place = name.substr(0, kPlaceDigits);
    if (place.find_first_not_of("0123456789ABCDEF") != std::string_view::npos) return {};
    // Map and metadata objects are named after a segment; a longer run of digits is another kind of name.
    if (name.size() > kPlaceDigits && name[kPlaceDigits] != '.' && name[kPlaceDigits] != '_') return {};
    return std::string(place);
}

bool Need::covers(const Inventory& inventory, std::string_view place) const {
    const auto other = parse_number<Timeline>(place.substr(0, 8), 16);
    if (!other || number_of(place) < from || *other < timeline) return false;
    if (!to.empty() && (number_of(place) > to || *other > last)) return false;
    if (*other == timeline) return true;
    const auto known = inventory.ancestors.find(*other);
    return known == inventory.ancestors.end() || known->second.contains(timeline);
}

Need need_for_recovery(const std::string& start_segment) {
    return {parse_number<Timeline>(std::string_view(start_segment).substr(0, 8), 16).value_or(0),
            std::string(number_of(start_segment)),
            {},
            0};
}

// From the byte before the start, as WAL-G keeps it: a backup of a standby may begin at the end of the segment before.
Need need_for_backup(const Inventory& inventory, const BackupEntry& backup) {
    Need need = need_for_recovery(backup.start_segment);
    const std::uint64_t size = wal::segment_size_of(backup).value_or(inventory.segment_size);
    if (const Lsn start = backup.sentinel.start_lsn.value_or(0); start > 0) {
        const std::string before = layout::segment_name({need.timeline, (start - 1) / size}, size);
        need.from = std::min(need.from, std::string(number_of(before)));
    }
    if (const std::string last = wal::last_segment_of(backup, inventory.segment_size); !last.empty()) {
        need.to = number_of(last);
        need.last = backup.finish_timeline();
    }
    return need;
}

}  // namespace forge::retention
