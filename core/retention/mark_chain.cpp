#include "core/retention/mark_chain.h"

#include "core/base/text.h"
#include "core/repository/chain.h"
#include "core/repository/mark.h"

namespace forge::retention {

using repository::BackupEntry;

namespace {

Result<const BackupEntry*> find(const std::vector<BackupEntry>& backups, const std::string& name) {
    std::string names;
    for (const BackupEntry& backup : backups) {
        if (backup.name == name) return &backup;
        names += (names.empty() ? "" : ", ") + backup.name;
    }
    return Status(Kind::kInvalid, "backup " + quoted(name) + " does not exist",
                  names.empty() ? "There is no backup at all." : "The backups are " + names + ".");
}

Status check_children(const std::vector<BackupEntry>& backups, const std::string& name) {
    for (const BackupEntry& backup : backups)
        if (backup.sentinel.is_permanent && backup.sentinel.delta_from == name)
            return Status(Kind::kInvalid,
                          "backup " + quoted(name) + " must stay permanent, since backup " + quoted(backup.name) +
                              " is and builds on it",
                          "Take the mark of that backup away first.");
    return {};
}

}  // namespace

Result<std::vector<std::string>> mark_backup(repository::Repository& repository, const std::string& name,
                                             bool permanent, const store::CallContext& context) {
    FORGE_ASSIGN(const std::vector<BackupEntry> backups, repository.list_backups(context));
    FORGE_ASSIGN(const BackupEntry* backup, find(backups, name));
    std::vector<const BackupEntry*> chain{backup};
    if (permanent) {
        FORGE_ASSIGN(chain, repository::chain_of(backups, *backup));
    } else {
        FORGE_TRY(check_children(backups, name));
    }
    std::vector<std::string> changed;
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
        FORGE_TRY(repository::mark_permanent(repository, (*at)->name, permanent, context));
        if ((*at)->sentinel.is_permanent != permanent) changed.push_back((*at)->name);
    }
    return changed;
}

}  // namespace forge::retention
