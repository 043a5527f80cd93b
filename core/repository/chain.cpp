#include "core/repository/chain.h"

#include <algorithm>

#include "core/base/text.h"

namespace forge::repository {

bool has_lost_its_parent(const BackupEntry& backup) {
    return !backup.sentinel.is_delta() && backup.name.find("_D_") != std::string::npos;
}

Result<std::vector<const BackupEntry*>> chain_of(const std::vector<BackupEntry>& backups, const BackupEntry& backup) {
    std::vector<const BackupEntry*> chain{&backup};
    while (chain.back()->sentinel.is_delta()) {
        const BackupEntry& child = *chain.back();
        const std::string& parent = child.sentinel.delta_from;
        const auto found = std::find_if(backups.begin(), backups.end(),
                                        [&](const BackupEntry& entry) { return entry.name == parent; });
        if (found == backups.end())
            return Status(Kind::kCorrupt, "backup " + quoted(child.name) + " needs its parent " + quoted(parent) +
                                              ", which is missing");
        if (!found->readable)
            return Status(Kind::kCorrupt, "backup " + quoted(child.name) + " needs its parent " + quoted(parent) +
                                              ", which cannot be read: " + found->problem);
        if (std::find(chain.begin(), chain.end(), &*found) != chain.end() || found->name == backup.name)
            return Status(Kind::kCorrupt, "the sentinel of backup " + quoted(child.name) + " says that its parent is " +
                                              quoted(parent) + ", which builds on it");
        chain.push_back(&*found);
    }
    if (has_lost_its_parent(*chain.back()))
        return Status(Kind::kCorrupt, "the sentinel of delta backup " + quoted(chain.back()->name) +
                                          " does not say what its parent is");
    return chain;
}

}  // namespace forge::repository
