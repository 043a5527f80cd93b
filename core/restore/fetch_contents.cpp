#include "core/restore/fetch_contents.h"

#include <algorithm>
#include <map>

#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kManifestLimit = std::size_t{2} << 30;
constexpr std::string_view kMissingHint = "The backup cannot be restored; use another one.";

std::string backup_folder(const std::string& backup) { return std::string(layout::kBackupsFolder) + backup + "/"; }

Status corrupt_object(const std::string& key, const std::string& what) {
    return Status(Kind::kCorrupt, "object " + quoted(key) + " " + what, std::string(kMissingHint));
}

Result<std::optional<backup::Manifest>> read_manifest(repository::Repository& repository, const std::string& name,
                                                      const store::CallContext& context) {
    FORGE_ASSIGN(const auto folder, repository.store().list_folder(backup_folder(name), context));
    for (const store::ObjectInfo& object : folder.objects) {
        const auto method = backup::manifest_method(base_name(object.key));
        if (!method) continue;
        FORGE_ASSIGN(auto source, repository.open_object(object.key, *method, context));
        auto text = read_all_text(*source, kManifestLimit);
        if (!text.ok()) return text.status().with_context(object.key);
        auto manifest = backup::parse_manifest(*text);
        if (!manifest.ok()) return manifest.status().with_context(object.key);
        if (manifest->backup != name)
            return corrupt_object(object.key, "belongs to backup " + quoted(manifest->backup));
        return std::optional<backup::Manifest>(std::move(manifest).value());
    }
    return std::optional<backup::Manifest>();
}

using PartMap = std::map<std::string, Part>;

Result<PartMap> list_parts(repository::Repository& repository, const std::string& name,
                           const store::CallContext& context) {
    const std::string folder = layout::parts_folder(name);
    FORGE_ASSIGN(const auto objects, store::list_all(repository.store(), folder, context));
    PartMap parts;
    for (const store::ObjectInfo& object : objects) {
        if (object.key == folder) continue;  // a placeholder that a web console left
        Part part;
        part.key = object.key;
        part.name = object.key.substr(folder.size());
        part.stored_size = object.size;
        const auto method = layout::part_method(part.name);
        if (!method || part.name.find('/') != std::string::npos)
            return corrupt_object(object.key, "is no part of a backup");
        part.method = *method;
        parts.emplace(part.name, std::move(part));
    }
    return parts;
}

Status missing_part(const std::string& backup, const std::string& part) {
    return corrupt_object(layout::parts_folder(backup) + part, "is missing");
}

// Exactly the parts of the manifest, in their sizes.
Status match_manifest(const backup::Manifest& manifest, PartMap& parts) {
    for (const backup::ManifestPart& record : manifest.parts) {
        const auto part = parts.find(record.name);
        if (part == parts.end()) return missing_part(manifest.backup, record.name);
        if (part->second.stored_size != record.stored_size)
            return corrupt_object(part->second.key, "has " + std::to_string(part->second.stored_size) +
                                                        " bytes instead of " + std::to_string(record.stored_size));
        part->second.record = &record;
    }
    for (const auto& [name, part] : parts)
        if (part.record == nullptr) return corrupt_object(part.key, "is not part of the backup");
    return {};
}

// Another program's backup: its list of parts, where it has one, is complete but for pg_control.
Status match_file_sets(const std::string& backup, const layout::FilesMetadata& metadata, const PartMap& parts) {
    if (metadata.tar_file_sets.empty()) return {};
    std::map<std::string_view, bool> listed;
    for (const auto& [name, members] : metadata.tar_file_sets) {
        if (!parts.contains(name)) return missing_part(backup, name);
        listed[name] = true;
    }
    for (const auto& [name, part] : parts)
        if (!listed.contains(name) && !layout::is_pg_control_part(name))
            return corrupt_object(part.key, "is not part of the backup");
    return {};
}

Status expect_manifest_files(BackupContents& contents) {
    for (const backup::ManifestFile& file : contents.manifest->files.files) {
        FORGE_ASSIGN(const std::string name, relative_name(file.path));
        ExpectedFile& expected = contents.files[name];
        expected.size = file.size;
        expected.sha256 = file.sha256;
    }
    return {};
}

Status expect_listed_files(const layout::FilesMetadata& metadata, BackupContents& contents) {
    for (const auto& [member, entry] : metadata.files) {
        if (entry.is_incremented || entry.is_skipped)
            return Status(Kind::kCorrupt,
                          "file " + quoted(member) + " of a full backup is said to be in another backup",
                          std::string(kMissingHint));
        FORGE_ASSIGN(const std::string name, relative_name(member));
        contents.files.try_emplace(name);
    }
    return {};
}

void sort_parts(PartMap parts, BackupContents& contents) {
    for (auto& [name, part] : parts) {
        if (layout::is_pg_control_part(name))
            contents.control_part = std::move(part);
        else if (layout::is_label_part(name))
            contents.label_part = std::move(part);
        else
            contents.data_parts.push_back(std::move(part));
    }
    std::stable_sort(contents.data_parts.begin(), contents.data_parts.end(),
                     [](const Part& a, const Part& b) { return a.stored_size > b.stored_size; });
}

Status examine_foreign(repository::Repository& repository, const repository::BackupEntry& backup, PartMap& parts,
                       BackupContents& contents, const store::CallContext& context) {
    if (backup.sentinel.files_metadata_disabled) return {};
    auto metadata = repository.files_metadata(backup.name, context);
    if (metadata.status().is(Kind::kNotFound))
        return corrupt_object(layout::files_metadata_key(backup.name), "is missing");
    if (!metadata.ok()) return metadata.status();
    FORGE_TRY(match_file_sets(backup.name, *metadata, parts));
    return expect_listed_files(*metadata, contents);
}

}  // namespace

Result<std::string> relative_name(const std::string& name) {
    std::string result;
    for (const std::string& component : split(name, '/')) {
        if (component.empty() || component == ".") continue;
        if (component == "..")
            return Status(Kind::kCorrupt, "name " + quoted(name) + " leads out of the data directory");
        if (!result.empty()) result += '/';
        result += component;
    }
    return result;
}

Result<std::unique_ptr<BackupContents>> examine_backup(repository::Repository& repository,
                                                       const repository::BackupEntry& backup,
                                                       const store::CallContext& context, Logger& logger) {
    auto contents = std::make_unique<BackupContents>();
    FORGE_ASSIGN(contents->manifest, read_manifest(repository, backup.name, context));
    FORGE_ASSIGN(PartMap parts, list_parts(repository, backup.name, context));
    if (contents->manifest) {
        FORGE_TRY(match_manifest(*contents->manifest, parts));
        FORGE_TRY(expect_manifest_files(*contents));
    } else {
        logger.log(LogLevel::kNotice, "backup " + quoted(backup.name) +
                                          " has no manifest: its files are counted, but not compared with digests");
        FORGE_TRY(examine_foreign(repository, backup, parts, *contents, context));
    }
    sort_parts(std::move(parts), *contents);
    if (!contents->control_part)
        return Status(Kind::kCorrupt, "backup " + quoted(backup.name) + " has no pg_control part",
                      std::string(kMissingHint));
    return contents;
}

}  // namespace forge::restore
