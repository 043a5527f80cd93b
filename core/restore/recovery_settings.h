// What makes a restored directory recover to its target when the server starts there: recovery.signal and settings in
// postgresql.auto.conf.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/backup/control_file.h"
#include "core/restore/target.h"

namespace forge::restore {

struct RecoveryOptions {
    std::string restore_command;
    std::string target_action = "pause";  // pause, promote, shutdown
    bool minimal_config = true;           // where there is no postgresql.conf
    bool archive_off = true;  // a restored copy must not archive into its source; its owner turns it on again
};

// Also removes standby.signal and earlier recovery settings. Where there is no postgresql.conf (Debian keeps it
// elsewhere) a minimal one is written with what the control file demands, and a pg_hba.conf for local connections.
// kInvalid for a value that a setting cannot hold.
Status write_recovery_settings(const std::string& directory, const backup::ControlFile& control, const Plan& plan,
                               const RecoveryOptions& options, Logger& logger);
// The same settings as name/value pairs, for restore_config().
std::vector<std::pair<std::string, std::string>> recovery_settings(const Plan& plan, const RecoveryOptions& options);

}  // namespace forge::restore
