#include "extension/server_check.h"

#include "core/base/text.h"
#include "extension/backlog.h"
#include "extension/boundary.h"
#include "extension/restored.h"
#include "extension/settings.h"
#include "extension/shared_state.h"
#include "extension/wall_clock.h"

namespace forge::server {

namespace {

constexpr double kDiskFullSoon = 24 * SECS_PER_HOUR;
constexpr double kDiskFullVerySoon = SECS_PER_HOUR;

std::string setting(const char* name) {
    const char* const value = call_server([name] { return GetConfigOption(name, true, false); });
    return value == nullptr ? std::string() : std::string(value);
}

// The one value of a query in the current database; empty where there is none.
std::string value_of(const char* query) {
    const char* const value = call_server([query] {
        const MemoryContext outside = CurrentMemoryContext;
        const char* found = nullptr;
        SPI_connect();
        if (SPI_execute(query, true, 1) == SPI_OK_SELECT && SPI_processed == 1)
            found = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
        const char* const copy = found == nullptr ? nullptr : MemoryContextStrdup(outside, found);
        SPI_finish();
        return copy;
    });
    return value == nullptr ? std::string() : std::string(value);
}

std::string text_of(TimestampTz at) {
    return call_server([at] { return timestamptz_to_str(at); });
}

std::string version_without_patch(std::string_view version) {
    return std::string(version.substr(0, version.find('.', version.find('.') + 1)));
}

class ServerCheck {
public:
    std::vector<ServerFinding> run() {
        check_archiving();
        check_durability();
        check_unlogged_tables();
        check_versions();
        state_ = copy_state();
        if (state_ == nullptr) {
            warning("preload", "the library is not preloaded: no base backups are made by themselves",
                    "Add forge_backup to shared_preload_libraries and restart the server.");
            return std::move(findings_);
        }
        check_configuration();
        check_restored();
        check_archiver();
        check_disk();
        check_gaps();
        check_scheduler();
        check_newest_backup();
        return std::move(findings_);
    }

private:
    void ok(std::string check, std::string detail) { findings_.push_back({std::move(check), "ok", std::move(detail), {}}); }
    void warning(std::string check, std::string detail, std::string hint) {
        findings_.push_back({std::move(check), "warning", std::move(detail), std::move(hint)});
    }
    void error(std::string check, std::string detail, std::string hint) {
        findings_.push_back({std::move(check), "error", std::move(detail), std::move(hint)});
    }
    void problem(std::string check, const Problem& found) {
        error(std::move(check), std::string(found.message.view()), std::string(found.hint.view()));
    }

    void check_archiving() {
        const std::string mode = setting("archive_mode");
        const std::string library = setting("archive_library");
        const std::string command = setting("archive_command");
        if (setting("wal_level") == "minimal")
            return error("archiving", "wal_level is \"minimal\": there is no WAL that could be archived",
                         "Set wal_level to \"replica\" and restart the server.");
        if (mode == "off")
            return error("archiving", "archive_mode is \"off\": WAL is not archived, and no base backups are made",
                         "Set archive_mode to \"on\" and restart the server.");
        if (library.find("forge_backup") != std::string::npos) return ok("archiving", "WAL is archived by forge_backup");
        const bool by_command = command.find("forge-backup") != std::string::npos || command.find("wal-g") != std::string::npos;
        if (library.empty() && by_command)
            return warning("archiving", "WAL is archived by archive_command, one file at a time",
                           "Set archive_library to \"forge_backup\" and reload; it is faster, and tells more.");
        error("archiving", "WAL is archived by something else: archive_library is " + quoted(library) + ", archive_command " + quoted(command),
              "Set archive_library to \"forge_backup\" and reload.");
    }

    void check_durability() {
        if (setting("fsync") == "off")
            error("fsync", "fsync is off: after a crash the database may be damaged, and base backups of it as well",
                  "Set fsync to \"on\" and reload.");
        else
            ok("fsync", "data is made durable");
        if (setting("full_page_writes") == "off")
            warning("full_page_writes", "full_page_writes is off: pages that are torn by a crash stay damaged",
                    "Set it to \"on\" and reload, unless the file system writes pages of the server as a whole.");
        else
            ok("full_page_writes", "torn pages are repaired from WAL");
        if (setting("data_checksums") == "off")
            warning("checksums", "page checksums are off: damage of the disk gets into base backups unnoticed",
                    "Run pg_checksums --enable while the server is stopped.");
        else
            ok("checksums", "pages have checksums, and each base backup looks at all of them");
    }

    // They are in no WAL, and empty after every restore.
    void check_unlogged_tables() {
        const auto count = parse_number<std::uint64_t>(value_of(
            "SELECT pg_catalog.count(*) FROM pg_catalog.pg_class "
            "WHERE relpersistence OPERATOR(pg_catalog.=) 'u' AND relkind OPERATOR(pg_catalog.=) 'r'"));
        if (count.value_or(0) == 0) return ok("unlogged", "this database has no unlogged tables");
        warning("unlogged", std::to_string(*count) + (*count == 1 ? " unlogged table" : " unlogged tables") + " of this database will be empty after a restore",
                "ALTER TABLE … SET LOGGED makes a table part of backups.");
    }

    void check_versions() {
        const std::string installed = value_of("SELECT extversion FROM pg_catalog.pg_extension "
                                               "WHERE extname OPERATOR(pg_catalog.=) 'forge_backup'");
        const std::string library = version_without_patch(FORGE_VERSION);
        if (installed.empty() || installed == library)
            return ok("version", std::string("library and SQL objects are of version ") + FORGE_VERSION);
        warning("version", "the SQL objects are of version " + installed + ", the library is of version " + library,
                "Run ALTER EXTENSION forge_backup UPDATE; where the library is the older one, restart the server first.");
    }

    void check_configuration() {
        if (state_->store.state == StoreState::kError) problem("configuration", state_->store.problem);
        if (state_->store.state == StoreState::kOff && !state_->store.problem.empty())
            warning("configuration", std::string(state_->store.problem.message.view()),
                    std::string(state_->store.problem.hint.view()));
        else if (state_->store.state == StoreState::kOff)
            warning("configuration", "no storage is configured: WAL is accepted and dropped",
                    "Set forge_backup.storage, or the variables in forge_backup.env_dir.");
    }

    // Whoever has said "on" knows, and is not told again.
    void check_restored() {
        const RestoredInfo& restored = state_->store.restored;
        if (state_->store.state != StoreState::kOn || restore_is_accepted()) return;
        if (restored.is_clone) {
            const std::string stored = stored_text(*state_);
            warning("clone",
                    "this server is a copy of cluster " + quoted(std::string(restored.source.view())) +
                        ", restored at " + text_of(restored.at) + ", and stores WAL and base backups of its own" +
                        (stored.empty() ? "" : "; " + stored),
                    "Set forge_backup.clone_policy to \"on\" if they are wanted, to \"off\" if not.");
        } else if (restore_is_over(restored, state_->scheduler)) {
            warning("restored",
                    "this cluster was restored at " + text_of(restored.at) + ", and has base backups from after that",
                    "If its manifest still has the section \"clone\", remove it; then set forge_backup.clone_policy to "
                    "\"on\", or remove the file forge_backup.restored from the data directory.");
        }
    }

    void check_archiver() {
        const ArchiverInfo& archiver = state_->archiver;
        if (!archiver.owner_problem.empty()) problem("owner", archiver.owner_problem);
        const Backlog backlog = count_backlog();
        const std::string waiting = std::to_string(backlog.files) + (backlog.files == 1 ? " file waits" : " files wait");
        if (!archiver.problem.empty())
            return error("archiver", std::string(archiver.problem.message.view()) + "; " + waiting, std::string(archiver.problem.hint.view()));
        if (archiver.last_archived_at == 0) return ok("archiver", "nothing was archived since the server started; " + waiting);
        ok("archiver", "last archived: " + std::string(archiver.last_archived.view()) + ", at " + text_of(archiver.last_archived_at) + "; " + waiting);
    }

    void check_disk() {
        const Backlog backlog = count_backlog();
        const auto left = seconds_to_full_disk(*state_, backlog);
        const std::string hint = "Look at archive_status; forge_backup.backlog_limit can give up WAL before the disk is full.";
        if (left && *left < kDiskFullSoon) {
            const std::string detail = "WAL that waits for the store fills the disk in " + std::to_string(static_cast<std::int64_t>(*left / SECS_PER_MINUTE)) + " minutes";
            return *left < kDiskFullVerySoon ? error("disk", detail, hint) : warning("disk", detail, hint);
        }
        const auto free = backlog.disk_free;
        if (!free) return;
        // The server may write this much between two checkpoints without anything being wrong.
        const auto megabytes = [](std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MB"; };
        const std::uint64_t wanted = static_cast<std::uint64_t>(max_wal_size_mb) << 20;
        if (*free < wanted)
            return warning("disk", megabytes(*free) + " are free where pg_wal is, less than max_wal_size (" + megabytes(wanted) + ")",
                           "Make room, or set max_wal_size lower.");
        ok("disk", megabytes(*free) + " are free where pg_wal is");
    }

    void check_gaps() {
        std::uint64_t files = 0;
        std::string first;
        for_each_gap(state_->gaps, [&](const GapRow& row) {
            if (row.state != GapState::kOpen) return;
            files += row.files;
            if (first.empty()) first = row.first.view();
        });
        if (files == 0) return ok("gaps", "no WAL is missing since the newest base backup");
        error("gaps", std::to_string(files) + " WAL files are lost, from " + first + " on: no restore leads through",
              "A base backup is made by itself as soon as the store answers; see forge_backup.gaps.");
    }

    void check_scheduler() {
        const SchedulerInfo& scheduler = state_->scheduler;
        const BackupInfo& backup = state_->backup;
        if (scheduler.pid == 0)
            return error("scheduler", "the scheduler is not running", "It is started again within 10 seconds; the server's log may say why it ended.");
        if (!scheduler.problem.empty()) problem("scheduler", scheduler.problem);
        if (!backup.last_problem.empty())
            error("last_backup", "the last base backup failed: " + std::string(backup.last_problem.message.view()), std::string(backup.last_problem.hint.view()));
        if (backup.last_corrupt_pages > 0)
            error("pages", std::to_string(backup.last_corrupt_pages) + " pages of the data directory have wrong checksums",
                  "The server's log names them. Look for errors of the disk, and restore from a backup that is older than they are.");
        if (!state_->retention.problem.empty()) problem("retention", state_->retention.problem);
        if (scheduler.problem.empty()) ok("scheduler", "the scheduler runs");
    }

    void check_newest_backup() {
        const SchedulerInfo& scheduler = state_->scheduler;
        if (state_->store.state != StoreState::kOn || scheduler.looked_at == 0) return;
        if (scheduler.newest_finished_at == 0)
            return error("newest_backup", scheduler.backups.view() == "none" ? "there is no base backup" : "no base backup leads to where this server is",
                         "One is made by itself as soon as the store answers; see backup_problem in status().");
        if (scheduler.holes > 0)
            error("recovery", std::to_string(scheduler.holes) + " WAL files are missing since the newest base backup: it does not lead to now",
                  "A new base backup is made by itself; see backup_problem in status().");
        const std::string detail = "the newest base backup, " + std::string(scheduler.newest.view()) + ", ended at " + text_of(scheduler.newest_finished_at);
        if (missed_runs(scheduler.newest_finished_at))
            return warning("newest_backup", detail + ", and two runs of the schedule have passed since", "See backup_problem and next_attempt in status().");
        ok("newest_backup", detail);
    }

    // Two, because the backup that the last run began may still be in the making.
    static bool missed_runs(TimestampTz since) {
        const auto cron = schedule::parse_cron(settings.schedule);
        if (!cron.ok()) return false;  // empty, or wrong, which the scheduler says
        const char* const name = settings.schedule_timezone;
        const pg_tz* const zone = call_server([name] { return pg_tzset(name); });
        const auto local = [zone](std::int64_t at) { return local_minute(zone, at); };
        const auto minute = [](TimestampTz at) { return static_cast<std::int64_t>(timestamptz_to_time_t(at)) / SECS_PER_MINUTE; };
        const auto first = schedule::next_run(*cron, minute(since), local);
        const auto second = first ? schedule::next_run(*cron, *first, local) : std::nullopt;
        return second && *second < minute(GetCurrentTimestamp());
    }

    std::unique_ptr<SharedState> state_;
    std::vector<ServerFinding> findings_;
};

}  // namespace

std::vector<ServerFinding> check_server() { return ServerCheck().run(); }

}  // namespace forge::server
