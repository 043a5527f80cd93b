// forge-backup check: is everything in order?
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/checks.h"
#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/server_identity.h"

namespace forge::cli {

namespace {

void print_json(const std::vector<Finding>& findings) {
    nlohmann::ordered_json array = nlohmann::ordered_json::array();
    for (const Finding& finding : findings)
        array.push_back({{"check", finding.check},
                         {"level", level_name(finding.level)},
                         {"detail", finding.detail},
                         {"hint", finding.hint}});
    std::printf("%s\n", array.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

void print_text(const std::vector<Finding>& findings) {
    for (const Finding& finding : findings) {
        const std::string level(level_name(finding.level));
        std::printf("%-9s %-7s  %s\n", finding.check.c_str(), level.c_str(), finding.detail.c_str());
        if (!finding.hint.empty()) std::printf("%-18s %s\n", "", finding.hint.c_str());
    }
}

}  // namespace

int run_check(CommandLine& line) {
    bool json = false;
    int timeout = 120;
    line.flag("--json", json, "as one line of JSON");
    line.option("--timeout", timeout, "end after this time (default: 120)", "SECONDS");
    line.more_help("Reads the settings, asks the store, writes, reads and removes a small object, looks at the newest "
                   "backup and whether recovery from it\n"
                   "would reach the end of the archived WAL. One line a finding.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup check\n\n"
                   "Exit codes: 0 all is well, 1 there are warnings, 2 there are errors or wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(2));
    Result<LoadedSettings> loaded = load_settings(line.global());
    if (loaded.ok()) expect_quick_answers(loaded->settings);
    store::CallContext context = session.context();
    context.deadline = Deadline::after(seconds(timeout));
    context.max_attempts = 2;
    const Result<settings::Settings> settings =
        loaded.ok() ? Result<settings::Settings>(loaded->settings) : Result<settings::Settings>(loaded.status());
    const std::vector<Finding> findings =
        run_checks(settings, identity_of_data_directory(line.global().pgdata), context, session.log());
    if (json)
        print_json(findings);
    else
        print_text(findings);
    Finding::Level worst = Finding::Level::kOk;
    for (const Finding& finding : findings) worst = std::max(worst, finding.level);
    return worst == Finding::Level::kOk ? kExitOk : worst == Finding::Level::kWarning ? kExitFailure : kExitUsage;
}

}  // namespace forge::cli
