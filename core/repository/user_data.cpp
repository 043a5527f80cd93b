#include "core/repository/user_data.h"

#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::repository {

bool same_user_data(std::string_view one, std::string_view other) {
    const auto left = nlohmann::json::parse(one, nullptr, false);
    const auto right = nlohmann::json::parse(other, nullptr, false);
    return !left.is_discarded() && !right.is_discarded() && left == right;
}

Result<BackupEntry> find_by_user_data(Repository& repository, const std::string& json,
                                      const store::CallContext& context) {
    if (!layout::is_json(json))
        return Status(Kind::kInvalid, "the user data to look for are not valid JSON",
                      "Put texts into double quotes inside the shell's single quotes: '\"nightly\"'.");
    FORGE_ASSIGN(std::vector<BackupEntry> backups, repository.list_backups(context));
    std::vector<BackupEntry*> found;
    std::string names;
    for (BackupEntry& backup : backups) {
        if (backup.sentinel.user_data.empty() || !same_user_data(backup.sentinel.user_data, json)) continue;
        names += (found.empty() ? "" : ", ") + backup.name;
        found.push_back(&backup);
    }
    if (found.empty())
        return Status(Kind::kInvalid, "no backup has the user data " + json,
                      "Look at the user data with \"backup-list --detail --json\".");
    if (found.size() > 1)
        return Status(Kind::kInvalid,
                      std::to_string(found.size()) + " backups have the user data " + json + ": " + names,
                      "Name one of them instead.");
    return std::move(*found.front());
}

}  // namespace forge::repository
