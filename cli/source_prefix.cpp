#include "cli/source_prefix.h"

#include <algorithm>

#include "core/base/text.h"

namespace forge::cli {

namespace {

constexpr std::string_view kFolder = "/spilo/";
constexpr std::size_t kMostSiblings = 20;

Result<bool> has_backups(store::ObjectStore& store, const std::string& below, const store::CallContext& context) {
    bool found = false;
    FORGE_TRY(store.list(
        below + std::string(layout::kBackupsFolder),
        [&](const store::ObjectInfo& object) {
            found = layout::backup_of_sentinel(object.key.substr(below.size())).has_value();
            return !found;
        },
        context));
    return found;
}

// "wal/15/" with the highest version that has backups; empty = none has.
Result<std::string> version_below(store::ObjectStore& store, const std::string& storage,
                                  const store::CallContext& context) {
    const std::string wal = storage.ends_with("/wal") ? "" : "wal/";
    FORGE_ASSIGN(const store::ObjectStore::Folder folder, store.list_folder(wal, context));
    std::vector<int> versions;
    for (const std::string& name : folder.folders)
        if (const auto version =
                parse_number<int>(std::string_view(name).substr(wal.size(), name.size() - wal.size() - 1)))
            versions.push_back(*version);
    std::sort(versions.rbegin(), versions.rend());
    for (const int version : versions) {
        const std::string below = wal + std::to_string(version) + "/";
        FORGE_ASSIGN(const bool found, has_backups(store, below, context));
        if (found) return below;
    }
    return std::string();
}

// Prefixes beside the given one whose names contain the cluster's. Who may not list them learns nothing.
std::vector<std::string> siblings_of(const Session& session, const std::string& storage, Logger& logger) {
    const std::string cluster = cluster_of_prefix(storage);
    const std::size_t at = storage.find(kFolder);
    if (cluster.empty() || at == std::string::npos) return {};
    settings::Inputs inputs = session.loaded().inputs;
    const std::string parent = storage.substr(0, at + kFolder.size() - 1);
    inputs.explicit_values["storage"] = parent;
    const auto loaded = settings::load(inputs);
    if (!loaded.ok()) return {};
    const auto opened = repository::Repository::open(*loaded, logger);
    if (!opened.ok()) return {};
    const auto folder = (*opened)->store().list_folder("", session.context());
    if (!folder.ok()) return {};
    std::vector<std::string> found;
    for (const std::string& name : folder->folders) {
        const std::string_view bare = std::string_view(name).substr(0, name.size() - 1);
        if (bare != cluster && bare.find(cluster) != std::string_view::npos && found.size() < kMostSiblings)
            found.push_back(parent + "/" + std::string(bare));
    }
    return found;
}

std::string without_slashes(std::string storage) {
    while (storage.ends_with('/')) storage.pop_back();
    return storage;
}

}  // namespace

std::string cluster_of_prefix(const std::string& storage) {
    const std::size_t at = storage.find(kFolder);
    if (at == std::string::npos) return {};
    const std::string rest = storage.substr(at + kFolder.size());
    return rest.substr(0, rest.find('/'));
}

std::shared_ptr<repository::Repository> open_source(Session& session) {
    auto repository = session.open();
    if (!repository) return nullptr;
    const std::string storage = without_slashes(repository->settings().storage);
    const auto report = [&session](const Status& status) -> std::shared_ptr<repository::Repository> {
        session.log().error(status);
        return nullptr;
    };
    const auto found = has_backups(repository->store(), "", session.context());
    if (!found.ok()) return report(found.status());
    if (*found) return repository;
    const auto below = version_below(repository->store(), storage, session.context());
    if (!below.ok()) return report(below.status());
    if (!below->empty()) {
        const std::string better = storage + "/" + without_slashes(*below);
        session.log().log(LogLevel::kNotice, "there is no backup in " + storage + ", those in " + better + " are used");
        return session.open_at(better);
    }
    const auto siblings = siblings_of(session, storage, session.log());
    for (const std::string& sibling : siblings) session.log().warning("beside it there is " + sibling);
    return report(Status(Kind::kInvalid, "there is no backup in " + storage + " nor in /wal/VERSION below it",
                         siblings.empty() ? "Check the prefix of the source."
                                          : "The prefix of the source may lack its site: give the whole prefix of the "
                                            "source, one of those named above."));
}

void list_what_exists(Session& session, repository::Repository& repository) {
    const auto backups = repository.list_backups(session.context());
    if (!backups.ok()) return;
    for (const repository::BackupEntry& backup : *backups)
        session.log().warning("there is backup " + backup.name + " on timeline " + std::to_string(backup.timeline()) +
                              ", finished " + format_human(backup.sentinel.finish_time) +
                              (backup.problem.empty() ? "" : ": " + backup.problem));
}

}  // namespace forge::cli
