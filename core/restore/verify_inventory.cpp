#include "core/restore/verify_inventory.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kLargestJson = std::size_t{1} << 30;
constexpr std::size_t kListedNames = 10;

std::string folder_of(const std::string& backup) { return std::string(layout::kBackupsFolder) + backup + "/"; }

Result<std::string> read_plain(VerifyContext& context, const std::string& key) {
    FORGE_ASSIGN(const auto source, context.repository.store().get(key, std::nullopt, context.call));
    return read_all_text(*source, kLargestJson);
}

// Names for a message: the first ones, sorted, and how many more.
std::string some_names(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kListedNames); ++i)
        text += (i > 0 ? ", " : "") + quoted(names[i]);
    if (names.size() > kListedNames) text += " and " + std::to_string(names.size() - kListedNames) + " more";
    return text;
}

// Takes the inventory of one backup.
class Inspector {
public:
    Inspector(VerifyContext& context, const repository::BackupEntry& entry)
        : context_(context), folder_(folder_of(entry.name)), backup_(std::make_unique<Inventory>()) {
        backup_->entry = entry;
    }

    Result<std::unique_ptr<Inventory>> run() {
        FORGE_TRY(list_objects());
        FORGE_TRY(read_sentinel());
        FORGE_TRY(read_metadata());
        backup_->ours = !manifest_file().empty();
        if (backup_->ours) FORGE_TRY(read_manifest());
        FORGE_TRY(read_file_list());
        report_unknown_objects();
        match_parts();
        return std::move(backup_);
    }

private:
    const layout::Sentinel& sentinel() const { return backup_->entry.sentinel; }

    Status list_objects() {
        FORGE_ASSIGN(const auto objects, store::list_all(context_.repository.store(), folder_, context_.call));
        const std::string parts = layout::parts_folder(backup_->name());
        for (const store::ObjectInfo& object : objects) {
            if (object.key.ends_with('/')) continue;  // a placeholder that a web console left
            ++context_.objects;
            context_.bytes += object.size;
            if (object.key.starts_with(parts))
                add_part(object, object.key.substr(parts.size()));
            else
                sizes_[object.key.substr(folder_.size())] = object.size;
        }
        return {};
    }

    void add_part(const store::ObjectInfo& object, const std::string& name) {
        InventoryPart part;
        part.key = object.key;
        part.name = name;
        part.stored_size = object.size;
        const auto method = layout::part_method(name);
        if (method && name.find('/') == std::string::npos) {
            part.method = *method;
            parts_.push_back(std::move(part));
            return;
        }
        part.problems.error("is no part of a backup, and stands in the way of a restore");
        context_.report.object(part.key, part.stored_size, part.problems);
    }

    Status read_sentinel() {
        const std::string key = layout::sentinel_key(backup_->name());
        ++context_.objects;
        auto text = read_plain(context_, key);
        ObjectProblems problems;
        if (!text.ok()) {
            if (!concerns_object(text.status())) return text.status();
            problems.error(text.status(), key);
            context_.report.object(key, 0, problems);
            return {};
        }
        context_.bytes += text->size();
        backup_->sentinel_sha256 = backup::sha256(as_bytes(*text));
        auto parsed = layout::parse_sentinel(*text);
        if (!parsed.ok()) problems.error(parsed.status(), key);
        if (parsed.ok() && !parsed->start_lsn) problems.error("does not say where the backup starts");
        if (parsed.ok() && !parsed->finish_lsn) problems.warning("does not say where the backup ends");
        context_.report.object(key, text->size(), problems);
        // What was listed may be older than what was read now.
        if (parsed.ok()) backup_->entry.sentinel = std::move(parsed).value();
        backup_->entry.readable = parsed.ok();
        return {};
    }

    Status read_metadata() {
        const std::string key = layout::metadata_key(backup_->name());
        const auto size = take(base_name(key));
        if (!size) {
            context_.report.missing(key, VerifyFinding::Level::kWarning);
            return {};
        }
        const auto text = read_plain(context_, key);
        if (!text.ok() && !concerns_object(text.status())) return text.status();
        const auto parsed = text.ok() ? layout::parse_metadata(*text) : Result<layout::Sentinel>(text.status());
        ObjectProblems problems;
        if (!parsed.ok())
            problems.warning("cannot be read: " + parsed.status().message());
        else if (parsed->start_lsn && sentinel().start_lsn && parsed->start_lsn != sentinel().start_lsn)
            problems.warning("says that the backup starts at " + format_lsn(*parsed->start_lsn) + ", its sentinel at " +
                             format_lsn(*sentinel().start_lsn));
        context_.report.object(key, *size, problems);
        return {};
    }

    // Where the sentinel cannot be read, a manifest still says what the backup consists of.
    std::string manifest_file() const {
        if (backup_->entry.readable) return sentinel().manifest;
        for (const auto& [name, size] : sizes_)
            if (backup::manifest_method(name)) return name;
        return {};
    }

    Status read_manifest() {
        const std::string file = manifest_file();
        const std::string key = folder_ + file;
        const auto method = backup::manifest_method(file);
        const auto size = take(file);
        if (!size || !method) {
            context_.report.missing(key, VerifyFinding::Level::kError);
            return {};
        }
        ObjectProblems problems;
        const auto read = [&]() -> Result<backup::Manifest> {
            FORGE_ASSIGN(const auto source, context_.repository.open_object(key, *method, context_.call));
            return backup::read_manifest(*source, [&](const backup::ManifestFile& listed) {
                take_file(listed, problems);
                return Status();
            });
        };
        auto manifest = read();
        if (!manifest.ok() && !concerns_object(manifest.status())) return manifest.status();
        if (!manifest.ok()) backup_->files.clear();
        if (manifest.ok())
            take_manifest(std::move(manifest).value(), problems);
        else
            problems.error(manifest.status(), key);
        context_.report.object(key, *size, problems);
        return {};
    }

    void take_file(const backup::ManifestFile& file, ObjectProblems& problems) {
        const auto name = relative_name(file.path);
        if (!name.ok()) {
            problems.error(name.status().message());
            return;
        }
        const auto [listed, is_new] = backup_->files.try_emplace(*name);
        if (!is_new) problems.error("lists file " + quoted(*name) + " twice");
        listed->second.size = file.size;
        listed->second.checksum = file.checksum;
    }

    void take_manifest(backup::Manifest manifest, ObjectProblems& problems) {
        if (manifest.backup != backup_->name()) {
            problems.error("belongs to backup " + quoted(manifest.backup));
            backup_->files.clear();
            return;
        }
        if (backup_->sentinel_sha256 && manifest.sentinel_sha256 != *backup_->sentinel_sha256)
            problems.error("belongs to another sentinel than the one that is there");
        if (manifest.parent != sentinel().delta_from && backup_->entry.readable)
            problems.error("says that the parent is " + quoted(manifest.parent) + ", the sentinel " +
                           quoted(sentinel().delta_from));
        backup_->manifest = std::move(manifest);
        backup_->listed = true;
        mark(backup_->manifest->incremented, FileKind::kIncrement, problems);
        mark(backup_->manifest->skipped, FileKind::kSkipped, problems);
    }

    void mark(const std::vector<std::string>& names, FileKind kind, ObjectProblems& problems) {
        for (const std::string& path : names) {
            const auto name = relative_name(path);
            const auto file = name.ok() ? backup_->files.find(*name) : backup_->files.end();
            if (file == backup_->files.end())
                problems.error("has no size for file " + quoted(path));
            else
                file->second.kind = kind;
        }
    }

    // files_metadata.json: the list of another program's backup. For ours it is needed by other programs only, and by
    // the next delta.
    Status read_file_list() {
        const std::string key = layout::files_metadata_key(backup_->name());
        const auto size = take(base_name(key));
        if (!size) {
            report_missing_list(key);
            return {};
        }
        const auto text = read_plain(context_, key);
        if (!text.ok() && !concerns_object(text.status())) return text.status();
        auto parsed = text.ok() ? layout::parse_files_metadata(*text) : Result<layout::FilesMetadata>(text.status());
        ObjectProblems problems;
        if (!parsed.ok())
            problems.error(parsed.status(), key);
        else if (!backup_->ours)
            take_file_list(*parsed, problems);
        else if (backup_->manifest)
            compare_file_list(*parsed, problems);
        context_.report.object(key, *size, problems);
        return {};
    }

    void report_missing_list(const std::string& key) {
        if (backup_->ours) {
            context_.report.missing(key, VerifyFinding::Level::kWarning, "is missing: other programs need it");
        } else if (sentinel().files_metadata_disabled && !sentinel().is_delta()) {
            context_.report.other(backup_->name(), VerifyFinding::Level::kWarning,
                                  "was made without a list of its files: what is missing in it goes unnoticed");
        } else {
            context_.report.missing(key, VerifyFinding::Level::kError);
        }
    }

    void take_file_list(const layout::FilesMetadata& metadata, ObjectProblems& problems) {
        backup_->listed = !metadata.files.empty();
        for (const auto& [member, entry] : metadata.files) {
            const auto name = relative_name(member);
            if (!name.ok()) {
                problems.error(name.status().message());
                continue;
            }
            InventoryFile& file = backup_->files[*name];
            file.kind = entry.is_incremented ? FileKind::kIncrement
                        : entry.is_skipped   ? FileKind::kSkipped
                                             : FileKind::kWhole;
            if (file.kind != FileKind::kWhole && !sentinel().is_delta() && backup_->entry.readable)
                problems.error("says that file " + quoted(*name) + " of a full backup is in another backup");
        }
        for (const auto& [part, members] : metadata.tar_file_sets) {
            std::unordered_set<std::string>& names = file_sets_[part];
            for (const std::string& member : members)
                if (const auto name = relative_name(member); name.ok()) names.insert(*name);
        }
    }

    void compare_file_list(const layout::FilesMetadata& metadata, ObjectProblems& problems) {
        std::vector<std::string> names;
        for (const auto& [path, file] : backup_->files)
            if (!metadata.files.contains("/" + path) && path != "global/pg_control" && path != "backup_label" &&
                path != "tablespace_map")
                names.push_back(path);
        if (!names.empty()) problems.error("does not list " + some_names(std::move(names)));
    }

    std::optional<std::uint64_t> take(const std::string& file) {
        const auto found = sizes_.find(file);
        if (found == sizes_.end()) return std::nullopt;
        const std::uint64_t size = found->second;
        sizes_.erase(found);
        return size;
    }

    void report_unknown_objects() {
        ObjectProblems problems;
        problems.warning("is not part of the backup");
        for (const auto& [name, size] : sizes_) context_.report.object(folder_ + name, size, problems);
    }

    void match_parts() {
        const bool known = backup_->manifest || !file_sets_.empty();
        for (InventoryPart& part : parts_) {
            if (known && !find_record(part)) {
                part.problems.error("is not part of the backup, though in the place of its parts");
                context_.report.object(part.key, part.stored_size, part.problems);
            } else if (layout::is_pg_control_part(part.name)) {
                put(backup_->control_part, std::move(part));
            } else if (layout::is_label_part(part.name)) {
                put(backup_->label_part, std::move(part));
            } else {
                backup_->data_parts.push_back(std::move(part));
            }
        }
        report_missing_parts();
    }

    // The same part in two methods.
    void put(std::optional<InventoryPart>& place, InventoryPart part) {
        if (!place) {
            place = std::move(part);
            return;
        }
        part.problems.error("is there beside " + quoted(place->name) + ", of which a backup has one");
        context_.report.object(part.key, part.stored_size, part.problems);
    }

    // WAL-RUS lists "part_001.tar" where the object is "part_001.tar.br".
    std::unordered_map<std::string, std::unordered_set<std::string>>::const_iterator
    find_file_set(const std::string& part) const {
        const auto exact = file_sets_.find(part);
        if (exact != file_sets_.end()) return exact;
        const std::size_t extension = part.rfind(".tar.");
        return extension == std::string::npos ? exact : file_sets_.find(part.substr(0, extension + 4));
    }

    bool find_record(InventoryPart& part) {
        found_.insert(part.name);
        if (!backup_->manifest) {
            const auto set = find_file_set(part.name);
            if (set != file_sets_.end()) {
                part.members = set->second;
                found_.insert(set->first);
            }
            return set != file_sets_.end() || layout::is_pg_control_part(part.name);
        }
        for (const backup::ManifestPart& record : backup_->manifest->parts) {
            if (record.name != part.name) continue;
            part.record = &record;
            if (record.stored_size != part.stored_size)
                part.problems.error("has " + std::to_string(part.stored_size) + " bytes instead of " +
                                    std::to_string(record.stored_size));
            return true;
        }
        return false;
    }

    void report_missing_parts() {
        std::vector<std::string> names;
        if (backup_->manifest)
            for (const backup::ManifestPart& record : backup_->manifest->parts) names.push_back(record.name);
        for (const auto& [name, members] : file_sets_) names.push_back(name);
        bool control_missing = !backup_->control_part;
        for (const std::string& name : names) {
            if (found_.contains(name)) continue;
            control_missing = control_missing && !layout::is_pg_control_part(name);
            report_missing_part(name);
        }
        if (control_missing) report_missing_part(layout::pg_control_part_name(likely_method()));
    }
    void report_missing_part(const std::string& name) {
        ++backup_->unread_parts;
        context_.report.missing(layout::parts_folder(backup_->name()) + name, VerifyFinding::Level::kError);
    }
    codec::Method likely_method() const {
        return backup_->data_parts.empty() ? codec::Method::kNone : backup_->data_parts.front().method;
    }

    VerifyContext& context_;
    std::string folder_;
    std::unique_ptr<Inventory> backup_;
    std::vector<InventoryPart> parts_;
    std::unordered_set<std::string> found_;                 // names of parts that are there
    std::unordered_map<std::string, std::uint64_t> sizes_;  // objects directly in the folder
    std::unordered_map<std::string, std::unordered_set<std::string>> file_sets_;
};

// Every skipped or incremented file of the delta must come from somewhere.
void check_inherited_files(Inventory& delta) {
    const Inventory& parent = *delta.parent;
    std::vector<std::string> lost, other;
    for (const auto& [name, file] : delta.files) {
        if (file.kind == FileKind::kWhole) continue;
        const auto before = parent.files.find(name);
        if (before == parent.files.end()) {
            lost.push_back(name);
            continue;
        }
        const bool sizes_differ = file.size && before->second.size && file.size != before->second.size;
        const bool checksums_differ =
            file.checksum && before->second.checksum && file.checksum != before->second.checksum;
        if (file.kind == FileKind::kSkipped && (sizes_differ || checksums_differ)) other.push_back(name);
    }
    if (!lost.empty())
        delta.problems.error("builds on files that its parent " + quoted(parent.name()) +
                             " does not have: " + some_names(std::move(lost)));
    if (!other.empty())
        delta.problems.error("takes files from its parent " + quoted(parent.name()) +
                             " that are others there: " + some_names(std::move(other)));
}

void check_position(Inventory& backup, std::uint64_t segment_size) {
    const auto start = backup.entry.sentinel.start_lsn;
    const auto named = layout::parse_segment(backup.entry.start_segment, segment_size);
    if (!start || !named || named->number == *start / segment_size) return;
    // On a standby the start point can be the very end of a segment.
    if (*start > 0 && named->number == (*start - 1) / segment_size) return;
    backup.problems.error("does not start in the segment it is named after: its sentinel says " + format_lsn(*start));
}

}  // namespace

std::uint64_t Inventory::system_identifier() const {
    if (entry.sentinel.system_identifier != 0) return entry.sentinel.system_identifier;
    return control ? control->system_identifier : 0;
}

Result<std::unique_ptr<Inventory>> take_inventory(VerifyContext& context, const repository::BackupEntry& entry) {
    return Inspector(context, entry).run();
}

void check_link(Inventory& delta, const std::string& parent_name) {
    if (delta.parent == nullptr) {
        delta.problems.error("builds on backup " + quoted(parent_name) + ", which does not exist");
        return;
    }
    const Inventory& parent = *delta.parent;
    const layout::Sentinel& own = delta.entry.sentinel;
    const layout::Sentinel& other = parent.entry.sentinel;
    if (delta.manifest && parent.sentinel_sha256 && delta.manifest->parent_sentinel_sha256 != *parent.sentinel_sha256)
        delta.problems.error("was not made from the backup that is called " + quoted(parent_name) + " now");
    if (parent.entry.readable && own.delta_lsn && other.start_lsn && *own.delta_lsn != *other.start_lsn)
        delta.problems.error("was made from a backup that starts at " + format_lsn(*own.delta_lsn) + ", but " +
                             quoted(parent_name) + " starts at " + format_lsn(*other.start_lsn));
    if (own.system_identifier != 0 && other.system_identifier != 0 && own.system_identifier != other.system_identifier)
        delta.problems.error("and its parent " + quoted(parent_name) + " are of different clusters");
    if (!parent.listed)
        delta.problems.error("builds on backup " + quoted(parent_name) + ", whose list of files is not there");
    else
        check_inherited_files(delta);
}

void check_completeness(Inventory& backup, std::uint64_t segment_size) {
    if (!backup.label_part && !backup.label_seen && backup.unread_parts == 0)
        backup.problems.error("has no backup_label");
    check_position(backup, segment_size);
    std::vector<std::string> lost;
    for (const auto& [name, file] : backup.files)
        if (file.kind != FileKind::kSkipped && !file.seen) lost.push_back(name);
    if (lost.empty()) return;
    const std::string count = std::to_string(lost.size());
    backup.problems.error(backup.unread_parts > 0
                              ? "lacks " + count + " of its files, with the parts that are missing or damaged"
                              : "lacks files that it lists: " + some_names(std::move(lost)));
}

}  // namespace forge::restore
