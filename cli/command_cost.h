// What a restore_command costs on this machine now: the server starts one for each segment, and on small or fast ones
// that is most of a recovery.
#pragma once

#include <optional>
#include <string>

#include "cli/plan_rows.h"

namespace forge::cli {

// Seconds from the start of the shell to its end, with the fetch of `segment`: the mean of a few runs, for at most some
// seconds, into a temporary directory. Nothing where it does not work.
std::optional<double> time_restore_command(const CommandParts& parts, const std::string& segment);

}  // namespace forge::cli
