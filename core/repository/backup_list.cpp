// What backups there are: a backup exists when its sentinel does.
#include <algorithm>

#include "core/base/text.h"
#include "core/repository/repository.h"

namespace forge::repository {

namespace {

// Sentinels of very old versions hold the list of files.
constexpr std::size_t kLargestJson = 1 << 30;
constexpr std::size_t kMostNamesInHint = 10;

Result<std::string> read_plain(store::ObjectStore& store, const std::string& key, const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source, store.get(key, std::nullopt, context));
    return read_all_text(*source, kLargestJson);
}

// The object is what is wrong, not the store: the next backup may be fine.
bool concerns_object(const Status& status) {
    return status.is(Kind::kNotFound) || status.is(Kind::kCorrupt) || status.is(Kind::kDenied) ||
           status.is(Kind::kExhausted) || status.is(Kind::kInvalid);
}

std::string hint_of_names(const std::vector<store::ObjectInfo>& sentinels) {
    std::string names;
    const std::size_t skipped = sentinels.size() - std::min(sentinels.size(), kMostNamesInHint);
    for (std::size_t i = skipped; i < sentinels.size(); ++i) {
        names += (names.empty() ? "" : ", ") + layout::backup_of_sentinel(sentinels[i].key).value_or("");
    }
    if (names.empty()) return "There is no backup at all; make one first.";
    return (skipped > 0 ? "The newest backups are " : "Available backups are ") + names + ".";
}

// The sentinels of all backups, oldest first.
Result<std::vector<store::ObjectInfo>> list_sentinels(store::ObjectStore& store, const store::CallContext& context) {
    FORGE_ASSIGN(auto folder, store.list_folder(std::string(layout::kBackupsFolder), context));
    std::vector<store::ObjectInfo> sentinels;
    for (store::ObjectInfo& object : folder.objects) {
        if (layout::backup_of_sentinel(object.key)) sentinels.push_back(std::move(object));
    }
    std::stable_sort(sentinels.begin(), sentinels.end(),
                     [](const auto& a, const auto& b) { return a.modified < b.modified; });
    return sentinels;
}

// Nothing if the backup was deleted since it was listed.
Result<std::optional<BackupEntry>> load_entry(store::ObjectStore& store, const store::ObjectInfo& object,
                                              const store::CallContext& context) {
    BackupEntry entry;
    entry.name = layout::backup_of_sentinel(object.key).value_or("");
    entry.modified = object.modified;
    entry.start_segment = layout::backup_start_segment(entry.name);

    const auto sentinel = read_plain(store, object.key, context);
    if (!sentinel.ok() && sentinel.status().is(Kind::kNotFound)) return std::optional<BackupEntry>();
    if (!sentinel.ok() && !concerns_object(sentinel.status())) return sentinel.status();
    auto parsed = sentinel.ok() ? layout::parse_sentinel(*sentinel) : Result<layout::Sentinel>(sentinel.status());
    if (parsed.ok()) {
        entry.sentinel = std::move(parsed).value();
    } else {
        entry.readable = false;
        entry.problem = "sentinel: " + parsed.status().message();
    }

    const auto metadata = read_plain(store, layout::metadata_key(entry.name), context);
    if (!metadata.ok() && !concerns_object(metadata.status())) return metadata.status();
    const Status applied = metadata.ok() ? layout::apply_metadata(*metadata, entry.sentinel) : metadata.status();
    if (!applied.ok() && entry.problem.empty()) {
        entry.problem =
            applied.is(Kind::kNotFound) ? "metadata.json: not found" : "metadata.json: " + applied.message();
    }
    return std::optional(std::move(entry));
}

// When the backup began: what is said, else what the store knows.
Instant begin_of(const BackupEntry& entry) {
    return entry.sentinel.start_time == Instant{} ? entry.modified : entry.sentinel.start_time;
}

Status no_such_backup(const std::string& name, const std::vector<store::ObjectInfo>& sentinels) {
    return Status(Kind::kInvalid, "backup " + quoted(name) + " does not exist", hint_of_names(sentinels));
}

}  // namespace

Timeline BackupEntry::timeline() const {
    return parse_number<Timeline>(std::string_view(start_segment).substr(0, 8), 16).value_or(0);
}

Timeline BackupEntry::finish_timeline() const {
    return sentinel.finish_timeline != 0 ? sentinel.finish_timeline : timeline();
}

Result<std::vector<BackupEntry>> Repository::list_backups(const store::CallContext& context) {
    FORGE_ASSIGN(const auto sentinels, list_sentinels(*store_, context));
    std::vector<BackupEntry> entries;
    for (const store::ObjectInfo& object : sentinels) {
        FORGE_ASSIGN(auto entry, load_entry(*store_, object, context));
        if (entry) entries.push_back(std::move(*entry));
    }
    return entries;
}

Result<BackupEntry> Repository::find_backup(const std::string& name, const store::CallContext& context) {
    if (name == kLatest) return latest_backup(context);
    FORGE_ASSIGN(const auto sentinels, list_sentinels(*store_, context));
    for (const store::ObjectInfo& object : sentinels) {
        if (layout::backup_of_sentinel(object.key) != name) continue;
        FORGE_ASSIGN(auto entry, load_entry(*store_, object, context));
        if (entry) return std::move(*entry);
    }
    return no_such_backup(name, sentinels);
}

Result<BackupEntry> Repository::latest_backup(const store::CallContext& context) {
    FORGE_ASSIGN(std::vector<BackupEntry> entries, list_backups(context));
    BackupEntry* latest = nullptr;
    for (BackupEntry& entry : entries) {
        if (entry.readable && (latest == nullptr || begin_of(entry) >= begin_of(*latest))) latest = &entry;
    }
    if (latest != nullptr) return std::move(*latest);
    if (entries.empty()) return no_such_backup(std::string(kLatest), {});
    return Status(Kind::kCorrupt, "none of the " + std::to_string(entries.size()) +
                                      " backups has a readable sentinel: " + entries.back().name + ": " +
                                      entries.back().problem);
}

Result<layout::FilesMetadata> Repository::files_metadata(const std::string& backup_name,
                                                         const store::CallContext& context) {
    const std::string key = layout::files_metadata_key(backup_name);
    FORGE_ASSIGN(const std::string json, read_plain(*store_, key, context));
    auto metadata = layout::parse_files_metadata(json);
    if (!metadata.ok()) return metadata.status().with_context(key);
    return metadata;
}

}  // namespace forge::repository
