// forge-backup backup-push [PGDATA]: a base backup now. Where the server runs the extension's scheduler it is asked to
// make it, so that two never run at once; otherwise this process does it over an ordinary session, with the same
// engine.
#include <cstdlib>

#include <nlohmann/json.hpp>

#include "cli/background.h"
#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/progress_line.h"
#include "cli/server_connection.h"
#include "cli/server_identity.h"
#include "cli/server_settings.h"
#include "core/backup/control_file.h"
#include "core/backup/engine.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

struct PushArguments {
    std::string data_directory;
    bool permanent = false;
    bool direct = false;
    bool full = false;  // no delta
    std::string delta_from_name, delta_from_user_data;
    std::string user_data;
    int wal_timeout = 600;  // seconds
};

std::string real_path(const std::string& path) {
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return path;
    std::string result(resolved);
    std::free(resolved);
    return result;
}

// Watches for cancellation while a statement runs, and has the server cancel it.
class CancelGuard {
public:
    CancelGuard(ServerConnection& connection, const CancelToken& token)
        : thread_([this, &connection, &token] {
              while (!done_.wait_for(milliseconds(100))) {
                  if (!token.cancelled()) continue;
                  connection.cancel();
                  return;
              }
          }) {}
    ~CancelGuard() {
        done_.cancel();
        thread_.join();
    }
    CancelGuard(const CancelGuard&) = delete;
    CancelGuard& operator=(const CancelGuard&) = delete;

private:
    CancelToken done_;
    std::thread thread_;
};

class Push {
public:
    Push(const CommandLine& line, PushArguments arguments)
        : line_(line), arguments_(std::move(arguments)), session_(line, seconds(30)) {}

    int run() {
        Result<std::string> name = backup();
        if (!name.ok()) return session_.fail(name.status());
        session_.log().log(LogLevel::kNotice, "backup " + forge::quoted(*name) + " is complete");
        return kExitOk;
    }

private:
    Result<std::string> backup() {
        FORGE_ASSIGN(ServerConnection connection, ServerConnection::open());
        FORGE_TRY(prepare(connection));
        FORGE_ASSIGN(const bool has_worker, scheduler_runs(connection));
        if (has_worker && !arguments_.direct) return ask_worker(connection);
        return make_backup(connection);
    }

    Status prepare(ServerConnection& connection) {
        FORGE_TRY(connection.query("SET synchronous_commit = off").status());
        FORGE_ASSIGN(const std::string directory, connection.value("SHOW data_directory"));
        if (!arguments_.data_directory.empty() && real_path(arguments_.data_directory) != real_path(directory))
            return {Kind::kInvalid,
                    "the server's data directory is " + forge::quoted(directory) + ", not " +
                        forge::quoted(arguments_.data_directory),
                    "Connect to the right server with PGHOST and PGPORT."};
        arguments_.data_directory = directory;
        return {};
    }

    Result<bool> scheduler_runs(ServerConnection& connection) {
        FORGE_ASSIGN(
            const std::string answer,
            connection.value(
                "SELECT to_regprocedure('forge_backup.trigger_basebackup(boolean,boolean,jsonb,boolean)') IS NOT NULL "
                "AND EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'forge_backup scheduler')"));
        return answer == "t";
    }

    Result<std::string> ask_worker(ServerConnection& connection) {
        session_.log().log(LogLevel::kNotice, "the server makes the backup");
        const CancelGuard guard(connection, session_.cancel());
        return connection.value(
            "SELECT forge_backup.trigger_basebackup(wait => true, permanent => $1::boolean, user_data => $2::jsonb, "
            "\"full\" => $3::boolean)",
            {arguments_.permanent ? "true" : "false",
             arguments_.user_data.empty() ? std::optional<std::string>() : arguments_.user_data,
             arguments_.full ? "true" : "false"});
    }

    Result<std::string> make_backup(ServerConnection& connection) {
        if (!path_exists(join_path(arguments_.data_directory, "global/pg_control")))
            return Status(Kind::kInvalid,
                          "directory " + forge::quoted(arguments_.data_directory) + " cannot be read here",
                          "Run this command on the server's machine, as the user the server runs as.");
        const std::shared_ptr<repository::Repository> repository =
            session_.open_beside_server(arguments_.data_directory);
        if (!repository) return Status(Kind::kInvalid, "the backup was not started");
        lower_priority();
        FORGE_TRY(refuse_unwanted_clone(session_.loaded().settings, arguments_.data_directory,
                                        read_cluster_name(arguments_.data_directory)));
        FORGE_ASSIGN(backup::BackupStart start, start_backup(connection));
        backup::Progress progress;
        Result<backup::BackupReport> report = Status(Kind::kInternal, "not run");
        {
            ProgressLine shown(line_.global(), session_.log(), [&progress] {
                return ProgressSample{"backing up", progress.bytes_done.load(), progress.bytes_total.load()};
            });
            report = run_engine(connection, repository, std::move(start), progress);
        }
        if (!report.ok()) return report.status();
        session_.log().log(LogLevel::kNotice, std::to_string(report->files) + " files, " +
                                                  format_size(report->uncompressed) + ", stored as " +
                                                  format_size(report->compressed) + " in " +
                                                  std::to_string(report->parts) + " parts");
        for (const std::string& file : report->corrupt_files) session_.log().warning("wrong page checksum: " + file);
        return report->name;
    }

    Result<backup::BackupStart> start_backup(ServerConnection& connection) {
        backup::BackupStart start;
        start.data_directory = real_path(arguments_.data_directory);
        FORGE_ASSIGN(const std::string version, connection.value("SHOW server_version_num"));
        start.pg_version = parse_number<int>(version).value_or(0);
        if (start.pg_version < 150000)
            return Status(Kind::kInvalid,
                          "server version " + std::to_string(start.pg_version / 10000) + " is not supported",
                          "Use PostgreSQL 15 or later.");
        FORGE_ASSIGN(const std::string in_recovery, connection.value("SELECT pg_is_in_recovery()"));
        start.from_standby = in_recovery == "t";
        FORGE_ASSIGN(const std::vector<ServerConnection::Row> places,
                     connection.query("SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE "
                                      "pg_tablespace_location(oid) LIKE '/%'"));
        for (const ServerConnection::Row& row : places)
            if (row.size() == 2 && row[0] && row[1]) start.tablespaces.push_back({*row[0], *row[1]});
        FORGE_TRY(warn_about_archiving(connection, start.from_standby));
        start.start_time = SystemClock().now();
        start.permanent = arguments_.permanent;
        start.user_data = arguments_.user_data;
        start.full = arguments_.full;
        start.delta_from_name = arguments_.delta_from_name;
        start.delta_from_user_data = arguments_.delta_from_user_data;
        session_.log().log(LogLevel::kNotice, "waiting for a checkpoint");
        {
            const CancelGuard guard(connection, session_.cancel());
            FORGE_ASSIGN(const std::string lsn, connection.value("SELECT pg_backup_start($1, true)",
                                                                 {"forge_backup " + format_human(start.start_time)}));
            start.start_lsn = parse_lsn(lsn).value_or(0);
        }
        // Written by the checkpoint that the backup starts from.
        FORGE_ASSIGN(const backup::ControlFile control, backup::read_control_file(start.data_directory));
        start.timeline = control.timeline;
        start.segment_size = control.segment_size;
        segment_size_ = control.segment_size;
        return start;
    }

    Status warn_about_archiving(ServerConnection& connection, bool on_standby) {
        FORGE_ASSIGN(const std::string mode, connection.value("SHOW archive_mode"));
        archives_ = mode != "off" || on_standby;
        if (!archives_)
            session_.log().warning(
                "archive_mode is off: the backup cannot be recovered without the WAL written while it runs");
        return {};
    }

    Result<backup::BackupReport> run_engine(ServerConnection& connection,
                                            const std::shared_ptr<repository::Repository>& repository,
                                            backup::BackupStart start, backup::Progress& progress) {
        const bool from_standby = start.from_standby;
        const std::string data_directory = start.data_directory;
        const Timeline begun_on = start.timeline;
        FORGE_TRY(check_owner(connection, repository, start));
        FORGE_ASSIGN(const auto engine,
                     backup::begin_backup(repository, std::move(start), progress, session_.cancel(), session_.log()));
        FORGE_TRY(engine->copy_files());
        FORGE_ASSIGN(backup::BackupStop stop, stop_backup(connection, from_standby));
        stop.timeline = begun_on;
        if (from_standby) {
            // It may have followed its primary to another one.
            FORGE_ASSIGN(const backup::ControlFile control, backup::read_control_file(data_directory));
            stop.timeline = control.min_recovery_timeline;
        }
        if (archives_)
            FORGE_TRY(
                wait_for_wal(*repository, layout::segment_name({stop.timeline, (stop.finish_lsn - 1) / segment_size_},
                                                               segment_size_)));
        return engine->finish(stop);
    }

    Status check_owner(ServerConnection& connection, const std::shared_ptr<repository::Repository>& repository,
                       const backup::BackupStart& start) {
        repository::Identity identity = identity_of_data_directory(start.data_directory);
        FORGE_ASSIGN(identity.cluster_name, connection.value("SHOW cluster_name"));
        wal::WriteGuard guard(repository, guard_options(identity, start.data_directory));
        return guard.may_write(start.timeline, session_.context());
    }

    Result<backup::BackupStop> stop_backup(ServerConnection& connection, bool from_standby) {
        FORGE_ASSIGN(const std::string in_recovery, connection.value("SELECT pg_is_in_recovery()"));
        if ((in_recovery == "t") != from_standby)
            return Status(Kind::kUnavailable, "the standby was promoted while the backup ran",
                          "Make the backup again.");
        const CancelGuard guard(connection, session_.cancel());
        FORGE_ASSIGN(
            const std::vector<ServerConnection::Row> rows,
            connection.query("SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)"));
        if (rows.size() != 1 || rows[0].size() != 3 || !rows[0][0] || !rows[0][1])
            return Status(Kind::kInternal, "the server returned no end of the backup");
        return backup::BackupStop{parse_lsn(*rows[0][0]).value_or(0), 0, *rows[0][1], rows[0][2].value_or("")};
    }

    // A backup without its WAL is none: it is listed only when the last segment it needs is in the archive.
    Status wait_for_wal(repository::Repository& repository, const std::string& segment) {
        const Deadline limit = Deadline::after(seconds(arguments_.wal_timeout));
        constexpr milliseconds kShortest{10}, kLongest{500};  // mostly the archiver is done in a moment
        bool said = false;
        for (milliseconds pause = kShortest;; pause = std::min(2 * pause, kLongest)) {
            bool found = false;
            FORGE_TRY(repository.store().list(
                std::string(layout::kWalFolder) + segment,
                [&](const store::ObjectInfo& object) {
                    const auto parsed = layout::parse_wal_key(object.key);
                    found = parsed && parsed->name == segment;
                    return !found;
                },
                session_.context()));
            if (found) return {};
            if (limit.passed())
                return {Kind::kTimeout,
                        "WAL segment " + forge::quoted(segment) + ", which the backup needs, was not archived within " +
                            format_duration(arguments_.wal_timeout),
                        "Check that the server archives to the same storage, then make the backup again."};
            if (!std::exchange(said, true))
                session_.log().log(LogLevel::kNotice, "waiting for WAL segment " + segment + " to be archived");
            if (session_.cancel().wait_for(pause)) return session_.cancel().check();
        }
    }

    const CommandLine& line_;
    PushArguments arguments_;
    Session session_;
    std::uint64_t segment_size_ = layout::kDefaultSegmentSize;
    bool archives_ = true;
};

}  // namespace

int run_backup_push(CommandLine& line) {
    PushArguments arguments;
    line.positional("PGDATA", arguments.data_directory,
                    "data directory of the server, to make sure it is the right one", false);
    line.flag("--permanent,-p", arguments.permanent, "never removed by retention");
    line.flag("--full,-f", arguments.full, "a full backup, even where deltas are made");
    line.option("--delta-from-name", arguments.delta_from_name, "build on this backup instead of the newest one",
                "NAME");
    line.option("--delta-from-user-data", arguments.delta_from_user_data,
                "build on the one backup with these user data", "JSON");
    line.option("--user-data,--add-user-data", arguments.user_data, "JSON to keep with the backup", "JSON");
    line.flag("--direct", arguments.direct, "make the backup in this process even where the server could do it");
    line.option("--wal-timeout", arguments.wal_timeout,
                "how long to wait for the WAL of the backup to be archived (default: 600)", "SECONDS");
    line.more_help("Connects as psql does (PGHOST, PGPORT, PGUSER). Where the server runs the forge_backup scheduler, "
                   "that makes the backup; otherwise this\n"
                   "process does, on the server's machine, as the user the server runs as. Works on a primary and on a "
                   "standby.\n\n"
                   "With delta_max_steps (WALG_DELTA_MAX_STEPS) above 0 a backup stores only what changed since the "
                   "newest one, where it can build on that.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup backup-push /var/lib/postgresql/15/main\n\n"
                   "Exit codes: 0 the backup is listed, 1 failed and nothing is left, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (!arguments.user_data.empty() && !nlohmann::json::accept(arguments.user_data))
        return line.bad_usage("--user-data is not valid JSON");
    const bool names_parent = !arguments.delta_from_name.empty() || !arguments.delta_from_user_data.empty();
    if (!arguments.delta_from_name.empty() && !arguments.delta_from_user_data.empty())
        return line.bad_usage("--delta-from-name and --delta-from-user-data cannot both be given");
    if (names_parent && arguments.full) return line.bad_usage("a full backup builds on no other");
    // A storage named here may be another one than the server's, and a parent cannot be named to the server.
    if (line.global().settings.contains("storage") || names_parent) arguments.direct = true;
    return Push(line, std::move(arguments)).run();
}

}  // namespace forge::cli
