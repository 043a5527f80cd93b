// A restore plan as rows of name and value: what `forge-backup plan` prints and restore_config() returns.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/restore/estimate.h"
#include "core/restore/fetch.h"
#include "core/restore/target.h"
#include "core/settings/settings.h"

namespace forge::cli {

using NameValue = std::pair<std::string, std::string>;

// Target from its text forms, as they stand on the command line and in frames. `type`: latest, immediate, time, lsn,
// xid, name. kInvalid says what is wrong with the value.
Result<restore::Target> parse_target(const std::string& type, const std::string& value, const std::string& timeline,
                                     const std::string& backup, bool inclusive);
// "2026-11-22 09:17:34+00", "0/3000028", "the end of the archived WAL", …
std::string describe_target(const restore::Target& target);

// What a ready command has to name so that it finds the same storage.
struct CommandParts {
    std::string executable;          // absolute path
    std::vector<std::string> words;  // options with the settings, no secrets
    std::string target_directory = "/path/of/new/directory";
    bool allow_nearest = false;
    std::string target_action = "promote";
};
// restore_command for postgresql.conf: shell quoting, "%" doubled where it is not a placeholder.
std::string restore_command_text(const CommandParts& parts);
std::string ready_command(const restore::Plan& plan, const CommandParts& parts);

std::vector<NameValue> plan_rows(const restore::Plan& plan, const restore::Estimate& estimate,
                                 const settings::Settings& settings, const CommandParts& parts);
// As the columns of the view recovery_window; what is not known is empty.
std::vector<NameValue> window_rows(const restore::Window& window);

}  // namespace forge::cli
