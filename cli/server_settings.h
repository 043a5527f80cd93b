// The forge_backup.* settings of a server, read from its configuration files without the server: postgresql.conf with
// its includes, then postgresql.auto.conf; the last value of a name wins. What the server was given on its command line
// or by SET is not seen.
#pragma once

#include <map>
#include <string>

#include "core/base/status.h"

namespace forge::cli {

// Names without the prefix. A data directory without postgresql.conf (Debian keeps it elsewhere) is looked up in
// postmaster.opts. kInvalid names file and line.
Result<std::map<std::string, std::string>> read_server_settings(const std::string& data_directory);

// The setting cluster_name: of the command line of the last start (Patroni gives it there), else of the files. Empty =
// not set, or not readable.
std::string read_cluster_name(const std::string& data_directory);

}  // namespace forge::cli
