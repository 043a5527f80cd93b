// A data directory made from a backup, with everything that recovery needs: restore and clone share it.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/target_options.h"

namespace forge::cli {

struct RestoreOrder {
    TargetOptions target;
    std::string directory;
    std::string action = "promote";
    std::string bin_directory;
    std::vector<std::string> mapping_words;
    bool allow_unlisted = false;
    // For Patroni: the source is looked for below the prefix too, archiving stays as it is set, and nobody is told how
    // to start the server.
    bool is_clone = false;
    // Into the data directory of a stopped server. Without `confirm` it only tells what it would do.
    bool in_place = false;
    bool confirm = false;
    bool discard_wal = false;  // WAL that was never archived may go
};

// Returns the exit code. Nothing is touched before the plan stands.
int restore_into(const CommandLine& line, const RestoreOrder& order);

}  // namespace forge::cli
