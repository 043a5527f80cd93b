// forge-backup wal-fetch NAME PATH: the restore_command. What it returns decides whether a server goes on recovering,
// waits, or opens its database too early, so the rule of exit codes is kept in one place: Fetch::exit_code().
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/recovery_place.h"
#include "cli/restore_statistics.h"
#include "cli/server_identity.h"
#include "core/backup/control_file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/fetcher.h"
#include "core/wal/prefetcher.h"
#include "core/wal/spool.h"
#include "core/wal/standby_way.h"

namespace forge::cli {

namespace {

constexpr seconds kOutageMemory{5};
// A standby would never catch up with a store that is slower than this, and has better sources.
constexpr std::uint64_t kLeastRate = 32 << 10;
// For a segment that is being fetched ahead, by a store that may be as slow; it must leave time to ask the store
// itself.
constexpr milliseconds kStandbyWaits{3000};
constexpr milliseconds kFirstPause{500};
constexpr milliseconds kLongestPause{15000};
// A prefetcher whose recovery is at work with one segment for longer is started again for the next.
constexpr seconds kPrefetcherStays{5};

struct FetchArguments {
    std::string name;
    std::string destination;
    std::string prefetch_dir;
    int prefetch = -1;        // nothing = as the prefetcher likes
    int retry_timeout = 300;  // seconds
};

class Fetch {
public:
    Fetch(const CommandLine& line, FetchArguments arguments)
        : line_(line), arguments_(std::move(arguments)), session_(line, milliseconds(300)),
          place_(find_recovery_place(arguments_.name, arguments_.destination)), outage_(place_) {}

    int run() {
        const MeasuredScope measured(measurement_);
        const int code = serve();
        keep_restore_statistics(place_.data_directory);
        return code;
    }

private:
    int serve() {
        if (is_known_history()) return kExitNotFound;
        if (!place_.fast_file.empty() && take_fast_file()) return kExitOk;
        options_ = fetch_options();
        if (const auto code = serve_from_spool()) return *code;
        if (place_.is_standby && outage_.is_recent(kOutageMemory)) {
            session_.log().info("the store did not answer a moment ago: " + quoted(arguments_.name) +
                                " is not asked for now");
            return kExitFailure;
        }
        const Status result = place_.is_standby ? attempt() : attempt_until_known();
        if (result.ok()) measurement_.commit();
        return exit_code(result);
    }

    // Needs no settings and no store. What is not there, or is wrong, comes from the store.
    std::optional<int> serve_from_spool() {
        store::CallContext context = session_.context();
        if (place_.is_standby) context.deadline = Deadline::after(kStandbyWaits);
        if (!wal::take_fetched_ahead(arguments_.name, options_, context).ok()) return std::nullopt;
        const Status result = finish_segment();
        if (result.ok()) measurement_.commit();
        return exit_code(result);
    }

    // A promotion must not wait for a store. It asks for the history of the timeline that ends (writeTimeLineHistory()
    // of xlog.c), when the signal files are removed already, and takes the one in pg_wal where the archive has none.
    // The first timeline has no history.
    bool is_known_history() const {
        const std::string& name = arguments_.name;
        if (layout::classify_wal_name(name) != layout::WalKind::kHistory) return false;
        if (name.starts_with("00000001.")) return true;
        return place_.is_promoting && path_exists(join_path(join_path(place_.data_directory, "pg_wal"), name));
    }

    // In standby mode the server has other sources and asks again: every failure but a missing file is 1, quickly.
    // Everywhere else only a file that the store denies having is "not there"; whatever else goes wrong ends above 125.
    int exit_code(const Status& result) {
        if (result.ok()) {
            if (place_.is_standby) outage_.forget();
            return kExitOk;
        }
        if (session_.signal() != 0) return kExitSignalBase + session_.signal();
        if (result.is(Kind::kNotFound)) {
            if (place_.is_standby) outage_.forget();
            session_.log().info("the archive has no file " + quoted(arguments_.name));
            return kExitNotFound;
        }
        session_.log().error(result);
        if (!place_.is_standby) return kExitUnknown;
        if (result.retryable()) outage_.remember();
        return kExitFailure;
    }

    Status attempt_until_known() {
        const Deadline limit = Deadline::after(seconds(arguments_.retry_timeout));
        milliseconds pause = kFirstPause;
        std::string said;
        bool was_corrupt = false;
        while (true) {
            const Status result = attempt();
            const bool read_again = result.is(Kind::kCorrupt) && !std::exchange(was_corrupt, true);
            const bool may_change = result.retryable() || result.is(Kind::kDenied) || result.is(Kind::kExhausted);
            if (!read_again && (!may_change || limit.passed())) return result;
            if (said != result.message()) session_.log().warning(result.message() + "; trying again");
            said = result.message();
            note_retry(result.kind());
            if (session_.cancel().wait_for(std::min(pause, std::max(limit.left(), milliseconds(1)))))
                return session_.cancel().check();
            pause = std::min(pause * 2, kLongestPause);
        }
    }

    // Settings are read each time: what was repaired meanwhile counts.
    Status attempt() {
        FORGE_ASSIGN(LoadedSettings loaded, load_settings(line_.global(), place_.data_directory));
        if (loaded.settings.kind == settings::StorageKind::kOff) return no_storage();
        store::CallContext context = session_.context();
        context.max_attempts = 1;  // attempt_until_known() repeats the whole
        if (place_.is_standby) {
            // An unreachable store must not hold up the start of a standby; one that sends well may.
            loaded.settings.s3.connect_timeout = milliseconds(2500);
            loaded.settings.s3.first_byte_timeout = seconds(5);
            loaded.settings.s3.stall_timeout = seconds(6);
            loaded.settings.s3.least_rate = kLeastRate;
        }
        FORGE_ASSIGN(const auto repository, repository::Repository::open(loaded.settings, session_.log()));
        FORGE_TRY(wal::fetch_wal(*repository, arguments_.name, options_, context));
        if (layout::classify_wal_name(arguments_.name) == layout::WalKind::kHistory)
            FORGE_TRY(check_history(*repository, context));
        return finish_segment();
    }

    // Of a segment that is at its destination; nothing for other files.
    Status finish_segment() const {
        if (is_for_standby())
            FORGE_TRY(
                wal::keep_to_way(arguments_.destination, arguments_.name, join_path(place_.data_directory, "pg_wal")));
        if (!options_.spool_directory.empty()) lead_prefetcher();
        return {};
    }

    // Not for pg_rewind, which looks for what is behind the point where timelines part.
    bool is_for_standby() const {
        return place_.is_standby && base_name(arguments_.destination) == "RECOVERYXLOG" &&
               layout::classify_wal_name(arguments_.name) == layout::WalKind::kSegment;
    }

    // A history decides which timeline a server follows, and nothing in it says whose it is. That of a prefix of
    // another cluster is not handed out; a copy under another name reads its source's, as it must.
    Status check_history(repository::Repository& repository, const store::CallContext& context) const {
        const repository::Identity us = identity_of_data_directory(place_.data_directory);
        if (us.system_identifier == 0) return {};
        auto owner = repository::owner_for_reading(repository.store(), context);
        Status refused = owner.status();
        if (owner.ok() && *owner && (*owner)->cluster.system_identifier != us.system_identifier)
            refused = Status(Kind::kForeign,
                             "timeline history " + quoted(arguments_.name) + " is of another cluster: storage " +
                                 quoted(repository.store().url()) + " belongs to " + describe((*owner)->cluster) +
                                 ", this one is " + describe(us),
                             "Correct the storage that restore_command names.");
        if (!refused.ok()) ::unlink(arguments_.destination.c_str());
        return refused;
    }

    // Somebody who fetches a file by hand, not for a server in recovery, wants only that one.
    wal::FetchOptions fetch_options() const {
        wal::FetchOptions options;
        options.destination = arguments_.destination;
        const bool is_segment = layout::classify_wal_name(arguments_.name) == layout::WalKind::kSegment;
        const bool is_recovery = !spool_wish().empty() || path_exists(join_path(place_.data_directory, "PG_VERSION"));
        if (is_segment && is_recovery && arguments_.prefetch != 0)
            options.spool_directory = make_spool_directory(place_, spool_wish());
        // An earlier restore into the same place, of another cluster, may have left something there.
        const auto control = backup::read_control_file(place_.data_directory);
        if (control.ok()) options.system_identifier = control->system_identifier;
        return options;
    }

    std::string spool_wish() const {
        if (!arguments_.prefetch_dir.empty()) return arguments_.prefetch_dir;
        const char* variable = std::getenv("WALG_PREFETCH_DIR");
        return variable != nullptr ? variable : "";
    }

    // A directory beside the data directory from which recovery is to take files first, as Spilo's own script does.
    bool take_fast_file() {
        if (::rename(place_.fast_file.c_str(), arguments_.destination.c_str()) == 0) return true;
        const auto content = read_file(place_.fast_file, 1U << 30);
        if (!content.ok() || !write_file_durably(arguments_.destination, as_bytes(*content)).ok()) return false;
        ::unlink(place_.fast_file.c_str());
        return true;
    }

    // Tells how far recovery has come, and sees to it that somebody follows.
    void lead_prefetcher() const {
        const auto info = stat_path(arguments_.destination);
        if (!info.ok()) return;
        const wal::Spool spool(options_.spool_directory);
        const Status noted = spool.note({arguments_.name, static_cast<std::uint64_t>(info->st_size)});
        if (noted.ok() && !spool.is_locked()) start_prefetcher();
    }

    // A process of its own, so that this one can answer now. It belongs to nobody: the server neither waits for it nor
    // sees it end.
    void start_prefetcher() const {
        std::vector<std::string> words{own_path(), "wal-prefetch", "--prefetch-dir=" + options_.spool_directory};
        if (arguments_.prefetch > 0) words.push_back("--prefetch=" + std::to_string(arguments_.prefetch));
        for (std::string& word : words_for_options(line_.global())) words.push_back(std::move(word));
        if (line_.global().pgdata.empty()) words.push_back("--data-directory=" + place_.data_directory);
        std::vector<char*> pointers;
        for (std::string& word : words) pointers.push_back(word.data());
        pointers.push_back(nullptr);
        const pid_t child = ::fork();
        if (child > 0) ::waitpid(child, nullptr, 0);
        if (child != 0) return;
        if (::fork() != 0) ::_exit(0);
        ::setsid();
        const int null = ::open("/dev/null", O_RDWR);
        for (int fd = 0; fd <= 2; ++fd) ::dup2(null, fd);
        ::syscall(SYS_close_range, 3U, ~0U, 0U);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        [[maybe_unused]] const int niceness = ::nice(10);
        ::execv(pointers[0], pointers.data());
        ::_exit(0);
    }

    const CommandLine& line_;
    const FetchArguments arguments_;
    Session session_;
    const RecoveryPlace place_;
    const OutageMemory outage_;
    Measurement measurement_;
    wal::FetchOptions options_;
};

}  // namespace

int run_wal_fetch(CommandLine& line) {
    FetchArguments arguments;
    line.positional("NAME", arguments.name, "file wanted, as %f gives it", true);
    line.positional("PATH", arguments.destination, "where to put it, as %p gives it", true);
    line.option("--prefetch", arguments.prefetch,
                "segments to fetch ahead in the background; 0 = none (default: two more than --download-concurrency)",
                "N");
    line.option("--prefetch-dir", arguments.prefetch_dir,
                "where they wait (default: a hidden directory beside the data directory)", "DIR");
    line.option("--retry-timeout", arguments.retry_timeout,
                "how long a restore waits for a store that does not answer (default: 300)", "SECONDS");
    line.more_help(
        "Example (postgresql.conf):\n"
        "  restore_command = 'forge-backup --env-dir /etc/forge_backup wal-fetch %f %p'\n\n"
        "Exit codes: 0 the file is there; 74 the archive has no such file; 143 stopped by SIGTERM. When the store "
        "cannot be asked or the\n"
        "file cannot be read: 1 within 10 s in standby mode (standby.signal), where the server asks again; 200 "
        "otherwise, after\n"
        "--retry-timeout, so that recovery stops instead of opening the database without the rest of the WAL.\n");
    if (const auto code = line.parse()) return *code;
    if (!layout::classify_wal_name(arguments.name))
        return line.bad_usage("file " + quoted(arguments.name) + " is not a WAL file");
    return Fetch(line, std::move(arguments)).run();
}

int run_wal_prefetch(CommandLine& line) {
    std::string data_directory;
    wal::PrefetchOptions options;
    line.option("--prefetch", options.ahead, "segments to fetch ahead (default: two more than --download-concurrency)",
                "N");
    line.option("--prefetch-dir", options.spool_directory, "where they wait", "DIR");
    line.option("--data-directory", data_directory, "data directory in recovery", "DIR");
    line.more_help("wal-fetch starts this by itself.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    const auto repository = session.open(data_directory);
    if (!repository) return kExitFailure;
    if (options.ahead <= 0) options.ahead = wal::prefetch_depth(*repository);
    options.stay = kPrefetcherStays;
    options.fetched = [&] { keep_restore_statistics(data_directory.empty() ? line.global().pgdata : data_directory); };
    const Status result = wal::prefetch_wal(*repository, options, session.context());
    options.fetched();  // what was tried again and failed counts, too
    return result.ok() || result.is(Kind::kAlreadyExists) ? kExitOk : session.fail(result);
}

}  // namespace forge::cli
