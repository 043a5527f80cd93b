// forge-backup VERB …: finds the verb and hands over. Everything else is the verb's own.
#include <malloc.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "cli/overview.h"
#include "cli/version.h"

namespace {

using forge::cli::CommandLine;
using forge::cli::Verb;

constexpr Verb kVerbs[] = {
    {"restore", "Restore a backup into a new directory and set up recovery to a chosen moment",
     forge::cli::run_restore},
    {"clone", "Make the data directory of a new cluster from another one's backup (Patroni)", forge::cli::run_clone},
    {"replica", "Make the data directory of a replica from the newest backup (Patroni)", forge::cli::run_replica},
    {"plan", "Show what a restore would do, without doing it", forge::cli::run_plan},
    {"backup-list", "List the base backups", forge::cli::run_backup_list},
    {"backup-push", "Make a base backup of a running server", forge::cli::run_backup_push},
    {"backup-fetch", "Fetch the files of a base backup, without recovery settings", forge::cli::run_backup_fetch},
    {"backup-mark", "Keep a base backup from being deleted", forge::cli::run_backup_mark},
    {"delete", "Delete backups and WAL that are no longer wanted", forge::cli::run_delete},
    {"wal-push", "Archive one WAL file (archive_command)", forge::cli::run_wal_push},
    {"wal-fetch", "Bring one WAL file back (restore_command)", forge::cli::run_wal_fetch, false, true},
    {"wal-show", "Show the archived WAL by timeline", forge::cli::run_wal_show},
    {"wal-verify", "Look for gaps in the archived WAL", forge::cli::run_wal_verify},
    {"verify", "Read every object of a backup and its WAL, and check all of it", forge::cli::run_verify},
    {"rekey", "Encrypt anew what is encrypted with an old key", forge::cli::run_rekey},
    {"check", "Check storage, credentials, keys, backups and WAL", forge::cli::run_check},
    {"report", "Write a page with the state of the backups, for a browser", forge::cli::run_report},
    {"adopt-prefix", "Make a cluster the owner of the storage", forge::cli::run_adopt_prefix},
    {"man", "Print the manual page of a command, or of the program", forge::cli::run_man, true},
    {"completion", "Print the script by which a shell completes commands and options", forge::cli::run_completion,
     true},
    {"wal-prefetch", "Fetch WAL files ahead of recovery (internal)", forge::cli::run_wal_prefetch, true},
    {"helper", "Serve the database server over a pipe (internal)", forge::cli::run_helper, true},
};

std::string_view base_of(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// Position of the verb among the words: the first that is neither an option nor the value of one; words.size() = none.
std::size_t find_verb(const std::vector<std::string>& words) {
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i].empty() || words[i][0] != '-') return i;
        if (words[i].find('=') == std::string::npos && CommandLine::global_option_takes_value(words[i]).value_or(false))
            ++i;
    }
    return words.size();
}

bool contains(const std::vector<std::string>& words, std::string_view one, std::string_view other) {
    for (const std::string& word : words)
        if (word == one || word == other) return true;
    return false;
}

int run_without_verb(const std::vector<std::string>& words) {
    if (contains(words, "--version", "-V")) {
        std::printf("forge-backup %.*s\n", static_cast<int>(forge::cli::version().size()),
                    forge::cli::version().data());
        return forge::cli::kExitOk;
    }
    if (contains(words, "--help", "-h")) {
        forge::cli::print_overview();
        return forge::cli::kExitOk;
    }
    std::fputs("forge-backup: error: no command was given\nforge-backup: hint: Try \"forge-backup --help\".\n", stderr);
    return forge::cli::kExitUsage;
}

int dispatch(int argc, char** argv) {
    std::vector<std::string> words(argv + 1, argv + argc);
    const bool as_walg = argc > 0 && base_of(argv[0]) == "wal-g";
    const std::size_t at = find_verb(words);
    if (at == words.size()) return run_without_verb(words);
    const std::string name = words[at];
    if (name == "help") {
        forge::cli::print_overview();
        return forge::cli::kExitOk;
    }
    for (const Verb& verb : kVerbs) {
        if (verb.name != name) continue;
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
        CommandLine line(verb, std::move(words), as_walg);
        return verb.run(line);
    }
    forge::cli::complain_about_verb(name);
    return forge::cli::kExitUsage;
}

}  // namespace

std::span<const Verb> forge::cli::all_verbs() { return kVerbs; }

// What one thread gives back another one takes: by itself glibc keeps a heap for each thread that grows to the most
// it ever needed. Room for a packed file comes from the system, so that what is not used of it costs nothing.
static void share_memory_among_threads() {
    constexpr int kOneHeap = 1, kLarge = 8 << 20, kKept = 32 << 20;
    ::mallopt(M_ARENA_MAX, kOneHeap);
    ::mallopt(M_MMAP_THRESHOLD, kLarge);
    ::mallopt(M_TRIM_THRESHOLD, kKept);
}

int main(int argc, char** argv) {
    share_memory_among_threads();
    try {
        return dispatch(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "forge-backup: error: %s\n", error.what());
    }
    // As restore_command this must not read as "no such file" (exit codes 1 to 125).
    return argc > 1 && std::string_view(argv[1]) == "wal-fetch" ? forge::cli::kExitUnknown : forge::cli::kExitFailure;
}
