// The options that say what a restore should reach; restore and plan share them.
#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "core/restore/target.h"

namespace forge::cli {

struct TargetOptions {
    std::string backup, time, lsn, xid, name, target, timeline = "latest";
    bool exclusive = false;
    bool nearest = false;

    void add_to(CommandLine& line);
    // kInvalid when two targets are given or a value makes no sense.
    Result<restore::Target> parse() const;
};

}  // namespace forge::cli
