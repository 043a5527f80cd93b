// forge-backup check: is everything in order?
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/checks.h"
#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/server_connection.h"
#include "cli/server_identity.h"

namespace forge::cli {

namespace {

Finding::Level level_from_name(const std::string& name) {
    for (const Finding::Level level : {Finding::Level::kOk, Finding::Level::kWarning})
        if (name == level_name(level)) return level;
    return Finding::Level::kError;
}

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
        std::printf("%-17s %-7s  %s\n", finding.check.c_str(), level.c_str(), finding.detail.c_str());
        if (!finding.hint.empty()) std::printf("%-26s %s\n", "", finding.hint.c_str());
    }
}

// What SQL's check() finds in the server itself.
std::vector<Finding> ask_server() {
    const auto failed = [](const Status& status) {
        return std::vector<Finding>{{"server", Finding::Level::kError, status.message(), status.hint()}};
    };
    auto connection = ServerConnection::open();
    if (!connection.ok()) return failed(connection.status());
    const auto there = connection->value("SELECT pg_catalog.to_regnamespace('forge_backup')");
    if (!there.ok()) return failed(there.status());
    if (there->empty())
        return {{"server", Finding::Level::kError, "the database has no extension forge_backup, so the server cannot be asked",
                 "Set PGDATABASE to a database where CREATE EXTENSION forge_backup was run."}};
    const auto rows = connection->query("SELECT \"check\", level, detail, hint FROM forge_backup.\"check\"(true)");
    if (!rows.ok()) return failed(rows.status());
    std::vector<Finding> findings;
    for (const ServerConnection::Row& row : *rows)
        findings.push_back({row[0].value_or(""), level_from_name(row[1].value_or("")), row[2].value_or(""), row[3].value_or("")});
    return findings;
}

// The form of Nagios' plugins: one line with the verdict, figures behind a bar, then what is wrong.
int print_nagios(const Checks& checks, double seconds) {
    const auto count = [&](Finding::Level level) {
        return std::count_if(checks.findings.begin(), checks.findings.end(), [level](const Finding& one) { return one.level == level; });
    };
    const auto errors = count(Finding::Level::kError);
    const auto warnings = count(Finding::Level::kWarning);
    const Finding::Level worst = errors > 0 ? Finding::Level::kError : warnings > 0 ? Finding::Level::kWarning : Finding::Level::kOk;
    // A bar ends the text, and a line its part.
    const auto plain = [](std::string text) {
        std::replace_if(text.begin(), text.end(), [](char c) { return c == '|' || c == '\n'; }, ' ');
        return text;
    };
    const auto first = std::find_if(checks.findings.begin(), checks.findings.end(), [worst](const Finding& one) { return one.level == worst; });
    const bool fine = worst == Finding::Level::kOk;
    const char* const verdict = fine ? "OK" : errors > 0 ? "CRITICAL" : "WARNING";
    const std::string what = fine ? std::to_string(checks.findings.size()) + " checks passed" : plain(first->check + ": " + first->detail);
    const std::string age = checks.newest_age ? " backup_age=" + std::to_string(*checks.newest_age) + "s;;;0" : "";
    std::printf("FORGE_BACKUP %s - %s |%s errors=%td;;;0 warnings=%td;;;0 time=%.3fs;;;0\n", verdict, what.c_str(), age.c_str(), errors, warnings, seconds);
    for (const Finding& finding : checks.findings) {
        if (finding.level == Finding::Level::kOk) continue;
        const std::string hint = finding.hint.empty() ? "" : " - " + finding.hint;
        std::printf("%s: %s: %s\n", std::string(level_name(finding.level)).c_str(), finding.check.c_str(), plain(finding.detail + hint).c_str());
    }
    return fine ? 0 : errors > 0 ? 2 : 1;
}

}  // namespace

int run_check(CommandLine& line) {
    bool json = false;
    bool nagios = false;
    bool server = false;
    int timeout = 120;
    line.flag("--json", json, "as one line of JSON");
    line.flag("--nagios", nagios, "one line with a verdict, and the exit codes of Nagios' plugins");
    line.flag("--server", server, "ask the running server as well (PGHOST, PGPORT, PGUSER, PGDATABASE)");
    line.option("--timeout", timeout, "end after this time (default: 120)", "SECONDS");
    line.more_help("Reads the settings, asks the store, writes, reads and removes a small object, looks at the newest "
                   "backup and whether recovery from it\n"
                   "would reach the end of the archived WAL. With --server also what the server knows: settings that "
                   "weaken backups, archiving, gaps,\n"
                   "the schedule, the disk. One line a finding.\n\n"
                   "Examples:\n"
                   "  forge-backup --env-dir /etc/forge_backup check\n"
                   "  forge-backup --env-dir /etc/forge_backup check --server --nagios\n\n"
                   "Exit codes: 0 all is well, 1 there are warnings, 2 there are errors or wrong usage; with --nagios 3 "
                   "for wrong usage.\n");
    constexpr int kNagiosUnknown = 3;
    if (const auto code = line.parse()) return nagios && *code != kExitOk ? kNagiosUnknown : *code;
    const auto begin = Steady::now();
    Session session(line, seconds(2));
    Result<LoadedSettings> loaded = load_settings(line.global());
    if (loaded.ok()) expect_quick_answers(loaded->settings);
    store::CallContext context = session.context();
    context.deadline = Deadline::after(seconds(timeout));
    context.max_attempts = 2;
    const Result<settings::Settings> settings =
        loaded.ok() ? Result<settings::Settings>(loaded->settings) : Result<settings::Settings>(loaded.status());
    Checks checks = run_checks(settings, identity_of_data_directory(line.global().pgdata), context, session.log());
    if (server) {
        const std::vector<Finding> found = ask_server();
        checks.findings.insert(checks.findings.begin(), found.begin(), found.end());
    }
    if (nagios) return print_nagios(checks, std::chrono::duration<double>(Steady::now() - begin).count());
    if (json)
        print_json(checks.findings);
    else
        print_text(checks.findings);
    Finding::Level worst = Finding::Level::kOk;
    for (const Finding& finding : checks.findings) worst = std::max(worst, finding.level);
    return worst == Finding::Level::kOk ? kExitOk : worst == Finding::Level::kWarning ? kExitFailure : kExitUsage;
}

}  // namespace forge::cli
