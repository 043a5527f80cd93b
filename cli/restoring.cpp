#include "cli/restoring.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "cli/exit_codes.h"
#include "cli/fetching.h"
#include "cli/plan_rows.h"
#include "cli/source_prefix.h"
#include "core/base/text.h"
#include "core/repository/owner.h"
#include "core/restore/marker.h"
#include "core/restore/recovery_settings.h"

namespace forge::cli {

namespace {

constexpr int kOldestMajorVersion = 15;

// Major version of the server programs in a directory, by what `postgres --version` prints; 0 = there are none.
int major_version_in(const std::string& bin_directory) {
    const std::string program = join_path(bin_directory, "postgres");
    if (!path_exists(program)) return 0;
    const std::string command = shell_quoted(program) + " --version 2>/dev/null";
    FILE* pipe = ::popen(command.c_str(), "re");
    if (pipe == nullptr) return 0;
    std::array<char, 256> text{};
    const std::size_t length = std::fread(text.data(), 1, text.size() - 1, pipe);
    ::pclose(pipe);
    const std::string answer(text.data(), length);
    const std::size_t digit = answer.find_first_of("0123456789");
    return digit == std::string::npos ? 0 : std::atoi(answer.c_str() + digit);
}

class Restore {
public:
    Restore(const CommandLine& line, const RestoreOrder& arguments)
        : line_(line), arguments_(arguments), session_(line) {}

    int run() {
        auto target = arguments_.target.parse();
        if (!target.ok()) return usage(target.status());
        auto mapping = parse_tablespace_mapping(arguments_.mapping_words);
        if (!mapping.ok()) return usage(mapping.status());
        directory_ = absolute_path(arguments_.directory);
        while (directory_.size() > 1 && directory_.ends_with('/')) directory_.pop_back();
        const Status fit = arguments_.in_place ? look_in_place() : check_directory();
        if (!fit.ok()) return session_.fail(fit);
        const auto repository = arguments_.is_clone ? open_source(session_) : session_.open();
        if (!repository) return kExitFailure;
        storage_ = repository->settings().storage;
        if (const Status known = learn_source(*repository); !known.ok()) return session_.fail(known);
        // A newer backup may have been made since the restore that is taken up began.
        if (const auto unfinished = restore::unfinished_backup(directory_); unfinished && target->backup.empty())
            target->backup = *unfinished;
        auto plan =
            restore::make_plan(*repository, *target, arguments_.target.nearest, session_.context(), session_.log());
        if (!plan.ok()) {
            if (arguments_.is_clone) list_what_exists(session_, *repository);
            return session_.fail(plan.status());
        }
        if (const Status version = check_version(*plan); !version.ok()) return session_.fail(version);
        if (const Status same = check_cluster(*plan); !same.ok()) return session_.fail(same);
        describe(*plan);
        if (taken_up_ && !arguments_.confirm) return only_told();
        restore::FetchOptions options;
        options.target_directory = directory_;
        options.tablespace_mapping = std::move(mapping).value();
        for (const auto& [from, to] : options.tablespace_mapping) tablespaces_.push_back(to);
        options.concurrency = repository->settings().download_concurrency;
        options.allow_unlisted = arguments_.allow_unlisted;
        options.before_startable = [&](const std::string&, const backup::ControlFile& control) {
            return write_settings(*plan, control);
        };
        options.in_place = occupied_;
        bool told = false;
        options.before_replacing = [&](const std::vector<std::string>& set_aside) -> Status {
            tell_replaced(set_aside);
            told = !arguments_.confirm;
            return told ? Status(Kind::kCancelled, "not confirmed") : Status();
        };
        const Status result = fetch_with_progress(line_, session_, *repository, plan->backup, options);
        if (told) return only_told();
        if (!result.ok()) return session_.fail(result);
        lock_.reset();
        advise(*plan);
        return kExitOk;
    }

private:
    int usage(const Status& status) {
        session_.log().error(status);
        return kExitUsage;
    }

    // By the record of the prefix's owner, else by the prefix.
    Status learn_source(repository::Repository& repository) {
        FORGE_ASSIGN(const auto owner, repository::owner_for_reading(repository.store(), session_.context()));
        source_cluster_ = owner ? owner->cluster.cluster_name : std::string();
        if (source_cluster_.empty()) source_cluster_ = cluster_of_prefix(storage_);
        return {};
    }

    // Before anything is asked of the store, since this is the most frequent mistake.
    Status check_directory() const {
        if (!path_exists(directory_)) return {};
        if (!is_directory(directory_))
            return {Kind::kInvalid, quoted(directory_) + " is not a directory", "Choose another directory."};
        FORGE_ASSIGN(const std::vector<std::string> names, list_directory(directory_));
        if (names.empty() || restore::unfinished_backup(directory_)) return {};
        const bool running = path_exists(join_path(directory_, "postmaster.pid"));
        return {Kind::kInvalid,
                "directory " + quoted(directory_) + " is not empty" +
                    (running ? ", and a server may be running in it" : ""),
                "Choose another directory, or move the contents away."};
    }

    // Nothing in it is changed yet, but no server can be started there from now on.
    Status look_in_place() {
        if (!is_directory(directory_))
            return {Kind::kInvalid, "directory " + quoted(directory_) + " does not exist",
                    "Leave out --in-place to make a new one."};
        FORGE_ASSIGN(restore::ServerLock lock, restore::ServerLock::take(directory_));
        lock_.emplace(std::move(lock));
        taken_up_ = restore::unfinished_backup(directory_).has_value();
        if (!taken_up_) {
            FORGE_ASSIGN(occupied_, restore::look_at_occupied(directory_));
        }
        if (!occupied_ || occupied_->waiting_wal.empty() || arguments_.discard_wal) return {};
        const std::vector<std::string>& waiting = occupied_->waiting_wal;
        return {Kind::kInvalid,
                std::to_string(waiting.size()) + (waiting.size() == 1 ? " WAL file" : " WAL files") + " in " +
                    quoted(directory_) + " were never archived: " + waiting.front() +
                    (waiting.size() == 1 ? "" : " to " + waiting.back()),
                "Archive them with \"forge-backup wal-push\", or give them up with --discard-wal."};
    }

    Status check_cluster(const restore::Plan& plan) const {
        const std::uint64_t theirs = plan.backup.sentinel.system_identifier;
        if (!occupied_ || theirs == 0 || theirs == occupied_->system_identifier) return {};
        return {Kind::kInvalid,
                "backup " + quoted(plan.backup.name) + " is of the cluster with system identifier " +
                    std::to_string(theirs) + ", directory " + quoted(directory_) + " is that of " +
                    std::to_string(occupied_->system_identifier),
                "Check the storage and the directory; another cluster can be restored into a new directory."};
    }

    void tell_replaced(const std::vector<std::string>& set_aside) {
        const auto list = [](const std::vector<std::string>& names) {
            std::string text;
            for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
            return text;
        };
        std::uint64_t bytes = 0;
        for (const auto& [place, size] : occupied_->bytes) bytes += size;
        say("deleted from " + quoted(directory_) + ": " + list(occupied_->removed) + ", in all " + format_size(bytes));
        for (const std::string& place : occupied_->tablespaces) say("deleted: tablespace directory " + quoted(place));
        if (!occupied_->waiting_wal.empty())
            say("deleted though it was never archived: WAL file " + list(occupied_->waiting_wal));
        std::vector<std::string> kept = occupied_->others;
        std::erase_if(kept, [&](const std::string& name) {
            return std::find(set_aside.begin(), set_aside.end(), name) != set_aside.end();
        });
        if (!set_aside.empty())
            say("taken from the backup, the present ones are renamed to NAME" + std::string(restore::kSetAside) +
                "TIME: " + list(set_aside));
        if (!kept.empty()) say("kept: " + list(kept));
    }

    int only_told() {
        say("nothing was changed; add --confirm to do it");
        return kExitOk;
    }

    Status check_version(const restore::Plan& plan) {
        major_ = plan.backup.sentinel.pg_version / 10000;
        if (major_ == 0) return {};
        const std::string what = "backup " + quoted(plan.backup.name) + " is of PostgreSQL " + std::to_string(major_);
        if (!arguments_.bin_directory.empty()) FORGE_TRY(check_programs(what));
        if (major_ < kOldestMajorVersion)
            return {Kind::kInvalid, what + ", which is too old",
                    "Backups of PostgreSQL " + std::to_string(kOldestMajorVersion) + " and later can be restored."};
        const std::string standard = "/usr/lib/postgresql/" + std::to_string(major_) + "/bin";
        if (!bin_directory_.empty()) return {};
        if (path_exists(join_path(standard, "postgres")))
            bin_directory_ = standard;
        else
            find_in_path();
        if (bin_directory_.empty())
            session_.log().warning("PostgreSQL " + std::to_string(major_) +
                                   ", which the backup is of, was not found on this machine");
        return {};
    }

    Status check_programs(const std::string& what) {
        const int there = major_version_in(arguments_.bin_directory);
        if (there == 0)
            return {Kind::kInvalid, "directory " + quoted(arguments_.bin_directory) + " has no program \"postgres\"",
                    "Give the directory with the server's programs."};
        if (there != major_)
            return {Kind::kInvalid,
                    what + ", the programs in " + quoted(arguments_.bin_directory) + " are of " + std::to_string(there),
                    "Use the programs of PostgreSQL " + std::to_string(major_) + "."};
        bin_directory_ = arguments_.bin_directory;
        return {};
    }

    void find_in_path() {
        const char* path = std::getenv("PATH");
        for (const std::string& directory : split(path != nullptr ? path : "", ':'))
            if (!directory.empty() && major_version_in(directory) == major_) {
                bin_directory_ = directory;
                return;
            }
    }

    void say(const std::string& text) { session_.log().log(LogLevel::kNotice, text); }

    void describe(const restore::Plan& plan) {
        const layout::Sentinel& sentinel = plan.backup.sentinel;
        say("target: " + describe_target(plan.target) + (plan.target.inclusive ? "" : " (exclusive)"));
        say("backup: " + plan.backup.name + ", finished " + format_human(sentinel.finish_time) + ", " +
            format_size(sentinel.uncompressed_size));
        say("WAL: " + std::to_string(plan.segments) + (plan.segments == 1 ? " segment, " : " segments, ") +
            plan.first_segment + " to " + plan.last_segment);
        if (!plan.exact) session_.log().warning("the target cannot be reached: " + plan.inexact_reason);
        if (plan.reached_time) say("last transaction that will be there: " + format_human(*plan.reached_time));
    }

    Status write_settings(const restore::Plan& plan, const backup::ControlFile& control) {
        const SettingWords words = words_for_same_settings(line_.global(), session_.loaded());
        CommandParts parts;
        parts.executable = own_path();
        parts.words = words.words;
        restore::RecoveryOptions options;
        options.restore_command = restore_command_text(parts);
        options.target_action = arguments_.action;
        // Whoever makes a clone decides by its own settings where that archives; in place it is the same cluster.
        options.archive_off = !arguments_.is_clone && !arguments_.in_place;
        options.minimal_config = !arguments_.in_place;
        FORGE_TRY(restore::write_recovery_settings(directory_, control, plan, options, session_.log()));
        FORGE_TRY(restore::write_marker(directory_, marker_of(plan, control)));
        if (!words.needs_environment.empty()) {
            std::string names;
            for (const std::string& name : words.needs_environment) names += (names.empty() ? "" : ", ") + name;
            say("the server needs these variables in its environment while it recovers: " + names);
            session_.log().hint("Or put them into files and use --env-dir, which restore_command then names.");
        }
        return {};
    }

    restore::Marker marker_of(const restore::Plan& plan, const backup::ControlFile& control) const {
        restore::Marker marker;
        marker.source = storage_;
        marker.source_cluster = source_cluster_;
        marker.system_identifier = control.system_identifier;
        marker.backup = plan.backup.name;
        marker.target = describe_target(plan.target);
        marker.reached = plan.reached_time  ? format_postgres(*plan.reached_time)
                         : plan.reached_lsn ? format_lsn(*plan.reached_lsn)
                                            : marker.target;
        marker.restored_at = SystemClock().now();
        return marker;
    }

    void advise(const restore::Plan& plan) {
        say("directory " + quoted(directory_) + " is ready to recover to " + describe_target(plan.target));
        if (arguments_.is_clone) return;  // whoever called starts the server
        if (::geteuid() == 0) {
            say("the files belong to root, and the server does not run as root: change their owner first");
            std::string places = shell_quoted(directory_);
            for (const std::string& place : tablespaces_) places += " " + shell_quoted(place);
            std::printf("chown -R postgres: %s\n", places.c_str());
        }
        const std::string program =
            bin_directory_.empty() ? "pg_ctl" : shell_quoted(join_path(bin_directory_, "pg_ctl"));
        say("start the server with the next command; to let it run beside another one add: -o '-p PORT'");
        std::printf("%s -D %s -l %s start\n", program.c_str(), shell_quoted(directory_).c_str(),
                    shell_quoted(directory_ + ".log").c_str());
    }

    const CommandLine& line_;
    const RestoreOrder& arguments_;
    Session session_;
    std::string directory_;
    std::string storage_;
    std::string source_cluster_;  // empty: not known
    std::vector<std::string> tablespaces_;  // their new places
    // In place: what is there; nothing where a restore is taken up whose files have begun to come.
    std::optional<restore::Occupied> occupied_;
    std::optional<restore::ServerLock> lock_;
    bool taken_up_ = false;
    int major_ = 0;
    std::string bin_directory_;
};

}  // namespace

int restore_into(const CommandLine& line, const RestoreOrder& order) { return Restore(line, order).run(); }

}  // namespace forge::cli
