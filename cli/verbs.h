// The verbs of the executable. One file a verb; each registers nothing and does nothing before it is called.
#pragma once

#include <span>
#include <string_view>

namespace forge::cli {

class CommandLine;

struct Verb {
    std::string_view name;
    std::string_view purpose;  // one sentence for the overview
    int (*run)(CommandLine&);  // returns the exit code
    bool hidden = false;       // not in the overview: internal, or for packagers
    // Exit codes 1 to 125 mean "no such file" to the caller, so that bad usage must not end with one of them.
    bool is_restore_command = false;
};
std::span<const Verb> all_verbs();

int run_wal_push(CommandLine& line);
int run_wal_fetch(CommandLine& line);
int run_wal_prefetch(CommandLine& line);
int run_backup_list(CommandLine& line);
int run_backup_push(CommandLine& line);
int run_backup_fetch(CommandLine& line);
int run_backup_mark(CommandLine& line);
int run_delete(CommandLine& line);
int run_wal_show(CommandLine& line);
int run_wal_verify(CommandLine& line);
int run_restore(CommandLine& line);
int run_clone(CommandLine& line);
int run_replica(CommandLine& line);
int run_plan(CommandLine& line);
int run_check(CommandLine& line);
int run_report(CommandLine& line);
int run_verify(CommandLine& line);
int run_rekey(CommandLine& line);
int run_adopt_prefix(CommandLine& line);
int run_helper(CommandLine& line);
int run_man(CommandLine& line);
int run_completion(CommandLine& line);

}  // namespace forge::cli
