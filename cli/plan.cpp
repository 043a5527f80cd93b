// forge-backup plan: what a restore would do.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/plan_rows.h"
#include "cli/table.h"
#include "cli/target_options.h"

namespace forge::cli {

int run_plan(CommandLine& line) {
    TargetOptions options;
    bool json = false;
    options.add_to(line);
    line.flag("--json", json, "as one JSON object");
    line.more_help("Rows of name and value: the backup and the WAL a restore would use, what it would reach, the "
                   "settings for recovery, the command\n"
                   "that does it, and, for S3, the \"clone:\" section for the operator.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup plan --target-time '2026-11-22 09:30:00+01'\n\n"
                   "Exit codes: 0 done, 1 the target cannot be reached or the store not be read, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    const auto target = options.parse();
    if (!target.ok()) {
        session.log().error(target.status());
        return kExitUsage;
    }
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const auto plan = restore::make_plan(*repository, *target, options.nearest, session.context(), session.log());
    if (!plan.ok()) return session.fail(plan.status());
    CommandParts parts;
    parts.executable = own_path();
    parts.words = words_for_same_settings(line.global(), session.loaded()).words;
    const std::vector<NameValue> rows = plan_rows(*plan, repository->settings(), parts);
    if (json) {
        nlohmann::ordered_json object;
        for (const auto& [name, value] : rows) object[name] = value;
        std::printf("%s\n", object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
    } else {
        std::fputs(name_value_list(rows).c_str(), stdout);
    }
    return kExitOk;
}

}  // namespace forge::cli
