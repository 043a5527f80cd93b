// forge-backup adopt-prefix [PGDATA]: makes a cluster the owner of its storage.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/server_identity.h"
#include "cli/version.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

nlohmann::ordered_json to_json(const repository::OwnerRecord& record) {
    return {{"system_identifier", record.cluster.system_identifier},
            {"cluster_name", record.cluster.cluster_name},
            {"namespace", record.cluster.name_space},
            {"id", record.id},
            {"created_by", record.created_by},
            {"created_at", format_rfc3339(record.created_at)}};
}

void print(const repository::Adoption& adoption, bool json) {
    if (!json) {
        if (adoption.before) std::printf("before: %s\n", describe(adoption.before->cluster).c_str());
        std::printf("after: %s\n", describe(adoption.after.cluster).c_str());
        return;
    }
    nlohmann::ordered_json both;
    both["before"] = adoption.before ? to_json(*adoption.before) : nlohmann::ordered_json();
    both["after"] = to_json(adoption.after);
    std::printf("%s\n", both.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace

int run_adopt_prefix(CommandLine& line) {
    std::string data_directory;
    bool json = false;
    line.positional("PGDATA", data_directory, "data directory of the cluster that is to own the storage", true);
    line.flag("--json", json, "as one line of JSON");
    line.more_help("Only one cluster writes into a prefix. This command makes the cluster of a data directory the one, "
                   "whoever it was before, and prints both.\n"
                   "The SQL function forge_backup.adopt_prefix() does the same. Run it where the server runs, so that "
                   "POD_NAMESPACE is the server's.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup adopt-prefix /var/lib/postgresql/15/main\n\n"
                   "Exit codes: 0 the storage belongs to the cluster, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    const std::string directory = absolute_path(data_directory);
    const repository::Identity identity = identity_of_data_directory(directory);
    if (identity.system_identifier == 0)
        return session.fail(Status(Kind::kInvalid,
                                   "directory " + forge::quoted(data_directory) + " is not a data directory",
                                   "Give the directory that holds the file \"PG_VERSION\"."));
    const auto repository = session.open(directory);
    if (!repository) return kExitFailure;
    const auto adoption = repository::adopt(repository->store(), identity, product(), session.context());
    if (!adoption.ok()) return session.fail(adoption.status());
    print(*adoption, json);
    return kExitOk;
}

}  // namespace forge::cli
