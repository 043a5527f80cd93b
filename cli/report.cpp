// forge-backup report: one page for a browser, or its data.
#include <unistd.h>

#include <cstdio>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/report_facts.h"
#include "cli/server_connection.h"
#include "cli/server_identity.h"
#include "core/base/file.h"
#include "core/report/facts_json.h"
#include "core/report/page.h"

namespace forge::cli {

namespace {

// What the server knows. Nobody has to run one for a page about a bucket: whether it was asked is what the options say.
void ask_server(report::Facts& facts, const std::string& connection) {
    auto server = connection.empty() ? ServerConnection::open() : ServerConnection::open(connection);
    auto told =
        server.ok() ? server->value("SELECT forge_backup.report_facts()") : Result<std::string>(server.status());
    if (told.ok())
        add_server_facts(facts, *told);
    else
        facts.server_problem = told.status().message();
}

report::Facts gather(const CommandLine& line, Session& session) {
    // Where nothing else says where the backups are, --pgdata does.
    const Result<LoadedSettings> loaded = load_settings(line.global());
    const auto settings =
        loaded.ok() ? Result<settings::Settings>(loaded->settings) : Result<settings::Settings>(loaded.status());
    report::Facts facts = facts_without_store(settings);
    if (facts.state != report::Facts::State::kOn) return facts;
    settings::Settings patient = *settings;
    expect_quick_answers(patient);
    auto repository = repository::Repository::open(patient, session.log());
    if (!repository.ok()) {
        facts.state = report::Facts::State::kError;
        facts.problem = repository.status().message();
        facts.hint = repository.status().hint();
        return facts;
    }
    retention::Policy policy;
    policy.system_identifier = identity_of_data_directory(line.global().pgdata).system_identifier;
    add_store_facts(facts, **repository, std::move(policy), session.context(), session.log());
    return facts;
}

}  // namespace

int run_report(CommandLine& line) {
    std::string html;
    std::string connection;
    bool json = false;
    bool with_server = false;
    line.option("--html", html, "write the page there; - is the standard output", "FILE");
    line.flag("--json", json, "print what the page shows as one line of JSON");
    line.flag("--server", with_server, "ask the running server as well (PGHOST, PGPORT, … say which)");
    line.option("--connection", connection, "the same, by a connection string", "TEXT");
    line.more_help("One self-contained page: is my backup good, how far back can I go, what would be lost now; backups "
                   "and WAL over time, holes,\n"
                   "sizes, retention, settings, and with a server its events. It is written as well where the storage "
                   "cannot be read, and says so.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup report --html /var/www/backups.html\n\n"
                   "Exit codes: 0 the page was written, whatever it says; 1 it could not be written, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (html.empty() == !json) return line.bad_usage("give either --html FILE or --json");
    Session session(line, seconds(1));
    report::Facts facts = gather(line, session);
    if (with_server || !connection.empty()) ask_server(facts, connection);
    if (session.signal() != 0) return session.fail(Status(Kind::kCancelled, "the report was cancelled"));
    const std::string text = json ? report::facts_json(facts) + "\n" : report::page(facts);
    const Status written = json || html == "-" ? write_fd(STDOUT_FILENO, as_bytes(text), "standard output")
                                               : write_file_durably(html, as_bytes(text), 0644);
    return written.ok() ? kExitOk : session.fail(written);
}

}  // namespace forge::cli
