#include "core/backup/records.h"

#include <algorithm>
#include <utility>

#include "core/layout/backup_json.h"
#include "core/layout/names.h"

namespace forge::backup {
namespace {

ManifestFile record_of(const PackedMember& member) {
    ManifestFile file{member.name.substr(1), member.size, member.mtime.seconds(), member.crc32c};
    if (!member.incremented_size) return file;
    file.size = *member.incremented_size;
    file.checksum.reset();
    return file;
}

ManifestFile record_of(const SkippedFile& skipped) {
    const ListedFile& listed = *skipped.of_parent;
    return {listed.name, skipped.size, listed.mtime.seconds(), listed.checksum};
}

NextFile each_file(const BackupFiles& files) {
    return [&files, packed = files.packed.begin(), skipped = files.skipped.begin(),
            from_memory = files.from_memory.begin()](ManifestFile& file) mutable {
        packed = std::find_if(packed, files.packed.end(), [](const PackedMember& member) { return member.is_file; });
        if (packed != files.packed.end())
            file = record_of(*packed++);
        else if (skipped != files.skipped.end())
            file = record_of(*skipped++);
        else if (from_memory != files.from_memory.end())
            file = *from_memory++;
        else
            return false;
        return true;
    };
}

// Relative to the data directory, without leading slash.
std::string_view path_of(const PackedMember& member) { return std::string_view(member.name).substr(1); }
std::string_view path_of(const SkippedFile& skipped) { return skipped.of_parent->name; }

// By name, bytewise.
template <typename Entry, typename Filter>
std::vector<const Entry*> sorted(const std::deque<Entry>& entries, Filter filter) {
    std::vector<const Entry*> pointers;
    for (const Entry& entry : entries)
        if (filter(entry)) pointers.push_back(&entry);
    std::ranges::sort(pointers, {}, [](const Entry* entry) { return path_of(*entry); });
    return pointers;
}

template <typename Entry>
std::vector<const Entry*> sorted(const std::deque<Entry>& entries) {
    return sorted(entries, [](const Entry&) { return true; });
}

template <typename Entry>
NextPath paths_of(std::vector<const Entry*> entries) {
    return [entries = std::move(entries), at = std::size_t{0}](std::string_view& path) mutable {
        if (at == entries.size()) return false;
        path = path_of(*entries[at++]);
        return true;
    };
}

layout::FileEntry entry_of(const PackedMember& member) {
    layout::FileEntry entry;
    entry.mtime = member.mtime;
    entry.is_incremented = member.incremented_size.has_value();
    if (!member.bad) return entry;
    entry.corrupt_count = member.bad->count;
    entry.corrupt_blocks = member.bad->blocks;
    return entry;
}

layout::FileEntry entry_of(const SkippedFile& skipped) {
    layout::FileEntry entry;
    entry.mtime = skipped.of_parent->mtime;
    entry.is_skipped = true;
    return entry;
}

Status write_file_entries(const BackupFiles& files, layout::FilesMetadataWriter& writer) {
    const auto packed = sorted(files.packed);
    const auto skipped = sorted(files.skipped);
    for (std::size_t i = 0, k = 0; i < packed.size() || k < skipped.size();) {
        const bool from_packed =
            k == skipped.size() || (i < packed.size() && path_of(*packed[i]) < path_of(*skipped[k]));
        FORGE_TRY(from_packed ? writer.add_file(packed[i]->name, entry_of(*packed[i]))
                              : writer.add_file("/" + skipped[k]->of_parent->name, entry_of(*skipped[k])));
        ++(from_packed ? i : k);
    }
    return {};
}

// WAL-G does not list the part with the control file.
Status write_parts(const BackupFiles& files, layout::FilesMetadataWriter& writer) {
    auto member = files.packed.begin();
    for (std::size_t part = 0; part < files.parts.size(); ++part) {
        const std::string& name = files.parts[part].name;
        if (layout::is_pg_control_part(name)) continue;
        FORGE_TRY(writer.add_part(name));
        for (; member != files.packed.end() && member->part == part; ++member)
            FORGE_TRY(writer.add_member(member->name));
        if (!layout::is_label_part(name)) continue;
        for (const std::string_view label : {kMapMember, kLabelMember}) FORGE_TRY(writer.add_member(label));
    }
    return {};
}

}  // namespace

ManifestLists lists_of(const BackupFiles& files) {
    const auto is_increment = [](const PackedMember& member) { return member.incremented_size.has_value(); };
    return {each_file(files), paths_of(sorted(files.packed, is_increment)), paths_of(sorted(files.skipped))};
}

Status write_files_metadata(const BackupFiles& files, Sink& sink) {
    layout::FilesMetadataWriter writer(sink);
    FORGE_TRY(write_file_entries(files, writer));
    FORGE_TRY(write_parts(files, writer));
    return writer.finish();
}

}  // namespace forge::backup
