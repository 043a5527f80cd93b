// Who a server is, found out without asking it: from its data directory, its settings and this process's environment.
#pragma once

#include <string>

#include "core/repository/owner.h"
#include "core/settings/settings.h"
#include "core/wal/write_guard.h"

namespace forge::cli {

// Of the pod that this process runs in (POD_NAMESPACE); empty = none.
std::string name_space_of_process();

// The identity of the cluster whose data directory this is; without system identifier where it is none, or one that
// this program does not know. The cluster's name is that of its last start, else that of its settings.
repository::Identity identity_of_data_directory(const std::string& data_directory);

// Fails where a server with this data directory and name is to store nothing, since it is a copy of another cluster and
// clone_policy is "off".
Status refuse_unwanted_clone(const settings::Settings& settings, const std::string& data_directory,
                             const std::string& cluster_name);

// For commands that write as this cluster would.
wal::GuardOptions guard_options(const repository::Identity& identity, const std::string& data_directory);

}  // namespace forge::cli
