// forge-backup replica: a replica method of Patroni. The files of the newest backup on the leader's way; streaming and
// restore_command, which Patroni sets up, bring the rest. It never waits for anything to be archived, and gives up soon
// where the store does not answer, so that the next method has its turn.
#include <filesystem>

#include "cli/exit_codes.h"
#include "cli/fetching.h"
#include "cli/server_connection.h"
#include "core/base/text.h"
#include "core/restore/target.h"

namespace forge::cli {

namespace {

struct ReplicaArguments {
    std::string directory;
    std::string connection_string;
    int budget = 60;  // seconds
};

struct Leader {
    Timeline timeline = 0;
    std::uint64_t system_identifier = 0;
};

Result<Leader> ask_leader(const std::string& connection_string) {
    FORGE_ASSIGN(ServerConnection connection, ServerConnection::open(connection_string));
    FORGE_ASSIGN(const auto rows,
                 connection.query("SELECT CASE WHEN pg_is_in_recovery() THEN to_hex((SELECT timeline_id FROM "
                                  "pg_control_checkpoint())) ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END, "
                                  "system_identifier FROM pg_control_system()"));
    Leader leader;
    if (rows.size() == 1 && rows[0].size() == 2 && rows[0][0] && rows[0][1]) {
        leader.timeline = parse_number<Timeline>(*rows[0][0], 16).value_or(0);
        leader.system_identifier = parse_number<std::uint64_t>(*rows[0][1]).value_or(0);
    }
    if (leader.timeline == 0) return Status(Kind::kInternal, "the leader did not tell its timeline");
    return leader;
}

// Cancels when for so long no byte has come.
class Watchdog {
public:
    Watchdog(CancelToken& token, const restore::FetchProgress& progress, seconds budget)
        : thread_([this, &token, &progress, budget] {
              std::uint64_t seen = 0;
              Deadline end = Deadline::after(budget);
              while (!done_.wait_for(milliseconds(200))) {
                  const std::uint64_t now = progress.bytes_done + progress.parts_done;
                  if (now != seen) end = Deadline::after(budget);
                  seen = now;
                  if (!end.passed()) continue;
                  barked_ = true;
                  token.cancel();
                  return;
              }
          }) {}
    ~Watchdog() {
        done_.cancel();
        thread_.join();
    }
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    bool barked() const { return barked_; }

private:
    CancelToken done_;
    std::atomic<bool> barked_{false};
    std::thread thread_;
};

class Replica {
public:
    Replica(const CommandLine& line, ReplicaArguments arguments)
        : arguments_(std::move(arguments)), session_(line, seconds(10), Session::Patience::kShort),
          budget_(arguments_.budget), deadline_(Deadline::after(budget_)) {}

    int run() {
        if (const Status empty = note_empty(arguments_.directory); !empty.ok()) return session_.fail(empty);
        const auto repository = session_.open();
        if (!repository) return kExitFailure;
        const auto backup = choose(*repository);
        if (!backup.ok()) return session_.fail(backup.status());
        for (const layout::Tablespace& place : backup->sentinel.tablespaces)
            if (const Status empty = note_empty(place.location); !empty.ok()) return session_.fail(empty);
        session_.log().log(LogLevel::kNotice, "fetching backup " + forge::quoted(backup->name));
        if (const Status result = fetch(*repository, *backup); !result.ok()) {
            clean_up();
            return session_.fail(result);
        }
        session_.log().log(LogLevel::kNotice, "backup " + forge::quoted(backup->name) + " is in directory " +
                                                  forge::quoted(arguments_.directory));
        return kExitOk;
    }

private:
    // What is empty now may be emptied again after a failure.
    Status note_empty(const std::string& directory) {
        if (path_exists(directory)) {
            FORGE_ASSIGN(const std::vector<std::string> names, list_directory(directory));
            if (!names.empty())
                return {Kind::kInvalid, "directory " + forge::quoted(directory) + " is not empty",
                        "A replica is made in an empty directory."};
        }
        ours_.emplace_back(directory, path_exists(directory));
        return {};
    }

    Result<repository::BackupEntry> choose(repository::Repository& repository) {
        store::CallContext context = session_.context();
        context.deadline = deadline_;
        Leader leader;
        restore::Target target;
        target.type = restore::Target::Type::kImmediate;
        if (!arguments_.connection_string.empty()) {
            auto asked = ask_leader(arguments_.connection_string);
            if (!asked.ok()) return std::move(asked).status().with_context("the leader cannot be asked");
            leader = *asked;
            target.timeline = std::to_string(leader.timeline);
        }
        FORGE_ASSIGN(const restore::Plan plan, restore::make_plan(repository, target, false, context, session_.log()));
        const std::uint64_t theirs = plan.backup.sentinel.system_identifier;
        if (leader.system_identifier != 0 && theirs != 0 && theirs != leader.system_identifier)
            return Status(Kind::kInvalid,
                          "backup " + forge::quoted(plan.backup.name) + " is of another cluster (system identifier " +
                              std::to_string(theirs) + ") than the leader (" +
                              std::to_string(leader.system_identifier) + ")",
                          "Check the prefix of the storage.");
        return plan.backup;
    }

    Status fetch(repository::Repository& repository, const repository::BackupEntry& backup) {
        restore::FetchOptions options;
        options.target_directory = arguments_.directory;
        options.concurrency = repository.settings().download_concurrency;
        restore::FetchProgress progress;
        const Watchdog watchdog(session_.cancel(), progress, budget_);
        Status result = restore::fetch_backup(repository, backup, options, progress, session_.cancel(), session_.log());
        if (!result.ok() && watchdog.barked())
            return {Kind::kTimeout, "the store did not send anything for " + std::to_string(budget_.count()) + " s",
                    "Another method may make the replica."};
        return result;
    }

    void clean_up() {
        std::error_code ignored;
        for (const auto& [directory, existed] : ours_) {
            if (!existed) {
                std::filesystem::remove_all(directory, ignored);
                continue;
            }
            for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
                std::filesystem::remove_all(entry.path(), ignored);
        }
    }

    const ReplicaArguments arguments_;
    Session session_;
    const seconds budget_;
    const Deadline deadline_;
    std::vector<std::pair<std::string, bool>> ours_;  // directory, and whether it was there
};

}  // namespace

int run_replica(CommandLine& line) {
    ReplicaArguments arguments;
    std::string scope;
    std::string role;
    line.option("--datadir", arguments.directory, "new data directory: absent or empty (required)", "DIR");
    line.option("--connstring", arguments.connection_string,
                "how to connect to the leader; empty: there is none, the newest timeline is taken", "TEXT");
    line.option("--scope", scope, "name of the cluster", "NAME");
    line.option("--role", role, "\"replica\"", "WORD");
    line.option("--budget", arguments.budget, "give up when the store does not answer for so long (default: 60)",
                "SECONDS");
    line.ignore_unknown();
    line.more_help(
        "For Patroni's create_replica_methods. Fetches the newest backup on the way to the leader's timeline, and "
        "refuses "
        "when there is none.\n"
        "Nothing is left behind by a failure, so that the next method can begin.\n\n"
        "Example:\n"
        "  forge-backup replica --env-dir /run/etc/wal-e.d/env --scope=shop --role=replica --datadir=/srv/pg/data \\\n"
        "      --connstring='host=10.0.0.1 port=5432 user=standby dbname=postgres'\n\n"
        "Exit codes: 0 the directory is complete, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (arguments.directory.empty()) return line.bad_usage("--datadir is required");
    if (arguments.budget < 1) return line.bad_usage("--budget must be 1 or more");
    arguments.directory = absolute_path(arguments.directory);
    while (arguments.directory.size() > 1 && arguments.directory.ends_with('/')) arguments.directory.pop_back();
    return Replica(line, std::move(arguments)).run();
}

}  // namespace forge::cli
