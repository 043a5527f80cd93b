#include "core/restore/fetch_contents.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/repository/chain.h"

namespace forge::restore {
namespace {

constexpr std::size_t kSentinelLimit = std::size_t{1} << 30;  // of very old versions: they hold the list of files
constexpr std::string_view kMissingHint = "The backup cannot be restored; use another one.";

std::string backup_folder(const std::string& backup) { return std::string(layout::kBackupsFolder) + backup + "/"; }

Status corrupt_object(const std::string& key, const std::string& what) {
    return Status(Kind::kCorrupt, "object " + quoted(key) + " " + what, std::string(kMissingHint));
}

// The sentinel as it is now, with its digest: what binds it to the manifest and to the children of the backup.
Result<std::string> read_sentinel(repository::Repository& repository, const std::string& name,
                                  const store::CallContext& context) {
    FORGE_ASSIGN(auto source, repository.store().get(layout::sentinel_key(name), std::nullopt, context));
    return read_all_text(*source, kSentinelLimit);
}

// Key of the manifest object; empty for a backup of another program.
Result<std::string> find_manifest(repository::Repository& repository, const BackupContents& contents,
                                  const store::CallContext& context) {
    FORGE_ASSIGN(const auto folder, repository.store().list_folder(backup_folder(contents.name), context));
    for (const store::ObjectInfo& object : folder.objects) {
        const std::string name = base_name(object.key);
        if (contents.sentinel.manifest.empty() ? backup::manifest_method(name).has_value()
                                               : name == contents.sentinel.manifest)
            return object.key;
    }
    if (contents.sentinel.manifest.empty()) return std::string();
    return corrupt_object(backup_folder(contents.name) + contents.sentinel.manifest, "is missing");
}

Status sort_files(BackupContents& contents, const std::string& list_key) {
    const std::string* const twice = contents.files.sort();
    return twice == nullptr ? Status() : corrupt_object(list_key, "lists file " + quoted(*twice) + " twice");
}

Status read_manifest(repository::Repository& repository, BackupContents& contents, const store::CallContext& context) {
    FORGE_ASSIGN(const std::string key, find_manifest(repository, contents, context));
    if (key.empty()) return {};
    const auto method = backup::manifest_method(base_name(key));
    if (!method) return corrupt_object(layout::sentinel_key(contents.name), "names a manifest that cannot be one");
    FORGE_ASSIGN(auto source, repository.open_object(key, *method, context));
    auto manifest = backup::read_manifest(*source, [&](backup::ManifestFile file) -> Status {
        FORGE_ASSIGN(std::string name, relative_name(file.path));
        contents.files.add(
            {std::move(name), FileKind::kWhole, file.size, file.checksum, Instant::from_seconds(file.mtime_seconds)});
        return {};
    });
    if (!manifest.ok()) return manifest.status().with_context("object " + quoted(key));
    if (manifest->backup != contents.name) return corrupt_object(key, "belongs to backup " + quoted(manifest->backup));
    if (manifest->sentinel_sha256 != contents.sentinel_sha256)
        return corrupt_object(layout::sentinel_key(contents.name),
                              "is not the one that manifest " + quoted(key) + " was written with");
    if (manifest->parent != contents.sentinel.delta_from)
        return corrupt_object(key, "names another parent than the sentinel does");
    contents.manifest = std::move(manifest).value();
    return sort_files(contents, key);
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

// By the name in a list of parts. WAL-RUS lists "part_001.tar" where the object is "part_001.tar.br".
PartMap::iterator find_listed_part(PartMap& parts, const std::string& name) {
    const auto exact = parts.find(name);
    if (exact != parts.end() || !name.ends_with(".tar")) return exact;
    const auto compressed = parts.lower_bound(name + ".");
    return compressed != parts.end() && compressed->first.starts_with(name + ".") ? compressed : parts.end();
}

// Another program's backup: its list of parts, where it has one, is complete but for pg_control and for parts that were
// copied from an earlier backup as a whole.
Status match_file_sets(const BackupContents& contents, PartMap& parts) {
    if (contents.file_sets.empty()) return {};
    for (const auto& [name, members] : contents.file_sets) {
        const auto part = find_listed_part(parts, name);
        if (part == parts.end()) return missing_part(contents.name, name);
        part->second.members = &members;
    }
    for (const auto& [name, part] : parts)
        if (part.members == nullptr && !layout::is_pg_control_part(name) && !name.starts_with("copy_"))
            return corrupt_object(part.key, "is not part of the backup");
    return {};
}

Status mark(BackupContents& contents, const std::vector<std::string>& paths, FileKind kind) {
    for (const std::string& path : paths) {
        FORGE_ASSIGN(const std::string name, relative_name(path));
        ListedFile* const file = contents.files.find(name);
        if (file == nullptr || file->kind != FileKind::kWhole)
            return Status(Kind::kCorrupt, "the manifest of backup " + quoted(contents.name) +
                                              " contradicts itself about file " + quoted(name));
        file->kind = kind;
    }
    return {};
}

// Where the content of its files is; the lists of names have served then.
Status mark_manifest_files(BackupContents& contents) {
    const auto incremented = std::exchange(contents.manifest->incremented, {});
    const auto skipped = std::exchange(contents.manifest->skipped, {});
    FORGE_TRY(mark(contents, incremented, FileKind::kIncrement));
    return mark(contents, skipped, FileKind::kSkipped);
}

Status expect_listed_files(BackupContents& contents, const layout::FilesMetadata& metadata) {
    for (const auto& [member, entry] : metadata.files) {
        ListedFile file;
        FORGE_ASSIGN(file.name, relative_name(member));
        if (entry.is_skipped) file.kind = FileKind::kSkipped;
        if (entry.is_incremented) file.kind = FileKind::kIncrement;
        contents.files.add(std::move(file));
    }
    return sort_files(contents, layout::files_metadata_key(contents.name));
}

// Of a full backup one can do without the list, at the price that nobody notices what is missing. Of a delta the list
// says what is an increment: without it restoring gives garbage (walg-format 12, W2).
Status accept_unlisted(BackupContents& contents, bool allowed, Logger& logger) {
    const std::string key = layout::files_metadata_key(contents.name);
    if (contents.sentinel.is_delta())
        return corrupt_object(key, "is missing, and a delta backup is useless without it");
    if (!allowed)
        return Status(Kind::kCorrupt, "object " + quoted(key) + " is missing",
                      "With --allow-unlisted the backup is restored without its list of files, and files that are "
                      "missing in it go unnoticed.");
    logger.warning("backup " + quoted(contents.name) +
                   " has no list of files: what is missing in it cannot be noticed");
    contents.listed = false;
    return {};
}

// files_metadata.json, or what very old versions kept in the sentinel (walg-format 2.2).
Status read_foreign_list(repository::Repository& repository, BackupContents& contents, const std::string& sentinel_text,
                         const ExamineOptions& options, const store::CallContext& context, Logger& logger) {
    if (contents.sentinel.files_metadata_disabled) return accept_unlisted(contents, true, logger);
    auto metadata = repository.files_metadata(contents.name, context);
    if (metadata.status().is(Kind::kNotFound)) metadata = layout::parse_files_metadata(sentinel_text);
    if (!metadata.ok()) return metadata.status();
    contents.file_sets = std::move(metadata->tar_file_sets);
    if (metadata->files.empty()) return accept_unlisted(contents, options.allow_unlisted, logger);
    return expect_listed_files(contents, *metadata);
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

Status check_sentinel(const BackupContents& contents) {
    const layout::Sentinel& sentinel = contents.sentinel;
    const std::string key = layout::sentinel_key(contents.name);
    if (!sentinel.is_delta() && contents.name.find("_D_") != std::string::npos)
        return corrupt_object(key, "does not say what the parent of the delta backup is");
    if (sentinel.is_delta() && (!sentinel.start_lsn || !sentinel.delta_lsn))
        return corrupt_object(key, "does not say where in the WAL the delta backup begins and what it is based on");
    return {};
}

// A child was made from this very parent.
Status check_link(const BackupContents& child, const BackupContents& parent) {
    const std::string names = "backup " + quoted(child.name) + " is a delta of another " + quoted(parent.name);
    if (child.manifest && child.manifest->parent_sentinel_sha256 != parent.sentinel_sha256)
        return Status(Kind::kCorrupt, names + " than the one that is there: sentinel " +
                                          quoted(layout::sentinel_key(parent.name)) + " was replaced");
    if (parent.sentinel.start_lsn && child.sentinel.delta_lsn &&
        *parent.sentinel.start_lsn != *child.sentinel.delta_lsn)
        return Status(Kind::kCorrupt, names + ": it is based on " + format_lsn(*child.sentinel.delta_lsn) +
                                          ", and that one begins at " + format_lsn(*parent.sentinel.start_lsn));
    const std::uint64_t system = child.sentinel.system_identifier;
    if (system != 0 && parent.sentinel.system_identifier != 0 && system != parent.sentinel.system_identifier)
        return Status(Kind::kCorrupt, names + ": their system identifiers differ");
    return {};
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
                                                       const ExamineOptions& options, const store::CallContext& context,
                                                       Logger& logger) {
    auto contents = std::make_unique<BackupContents>();
    contents->name = backup.name;
    FORGE_ASSIGN(const std::string text, read_sentinel(repository, backup.name, context));
    contents->sentinel_sha256 = backup::sha256(as_bytes(text));
    auto sentinel = layout::parse_sentinel(text);
    if (!sentinel.ok()) return sentinel.status().with_context("object " + quoted(layout::sentinel_key(backup.name)));
    contents->sentinel = std::move(sentinel).value();
    FORGE_TRY(check_sentinel(*contents));
    FORGE_TRY(read_manifest(repository, *contents, context));
    FORGE_ASSIGN(PartMap parts, list_parts(repository, backup.name, context));
    if (contents->manifest) {
        FORGE_TRY(match_manifest(*contents->manifest, parts));
        FORGE_TRY(mark_manifest_files(*contents));
    } else {
        logger.log(LogLevel::kNotice, "backup " + quoted(backup.name) +
                                          " has no manifest: its files are counted, but not compared with digests");
        FORGE_TRY(read_foreign_list(repository, *contents, text, options, context, logger));
        FORGE_TRY(match_file_sets(*contents, parts));
    }
    sort_parts(std::move(parts), *contents);
    if (!contents->control_part)
        return Status(Kind::kCorrupt, "backup " + quoted(backup.name) + " has no pg_control part",
                      std::string(kMissingHint));
    return contents;
}

Result<std::vector<std::unique_ptr<BackupContents>>> examine_chain(repository::Repository& repository,
                                                                   const repository::BackupEntry& backup,
                                                                   const ExamineOptions& options,
                                                                   const store::CallContext& context, Logger& logger) {
    std::vector<std::unique_ptr<BackupContents>> chain;
    FORGE_ASSIGN(auto first, examine_backup(repository, backup, options, context, logger));
    chain.push_back(std::move(first));
    if (!chain.back()->sentinel.is_delta()) return chain;
    FORGE_ASSIGN(const auto backups, repository.list_backups(context));
    FORGE_ASSIGN(const auto entries, repository::chain_of(backups, backup));
    for (std::size_t i = 1; i < entries.size(); ++i) {
        FORGE_ASSIGN(auto parent, examine_backup(repository, *entries[i], options, context, logger));
        FORGE_TRY(check_link(*chain.back(), *parent));
        chain.push_back(std::move(parent));
    }
    if (chain.back()->sentinel.is_delta())
        return Status(Kind::kCorrupt, "the parents of backup " + quoted(backup.name) + " changed while they were read");
    return chain;
}

}  // namespace forge::restore
