#include "cli/server_identity.h"

#include <cstdlib>

#include "cli/server_settings.h"
#include "cli/version.h"
#include "core/backup/control_file.h"
#include "core/base/file.h"
#include "core/restore/marker.h"
#include "core/settings/effective.h"

namespace forge::cli {

std::string name_space_of_process() {
    const char* const variable = std::getenv("POD_NAMESPACE");
    return variable != nullptr ? variable : "";
}

repository::Identity identity_of_data_directory(const std::string& data_directory) {
    if (!path_exists(join_path(data_directory, "global/pg_control"))) return {};
    const auto control = backup::read_control_file(data_directory);
    if (!control.ok()) return {};
    return {control->system_identifier, read_cluster_name(data_directory), name_space_of_process()};
}

Status refuse_unwanted_clone(const settings::Settings& settings, const std::string& data_directory,
                             const std::string& cluster_name) {
    if (settings::effective_value(settings, "clone_policy") != "off") return {};
    const auto marker = restore::read_marker(data_directory);
    if (!marker || !restore::is_clone(*marker, cluster_name, settings.storage)) return {};
    return restore::unwanted_clone(*marker);
}

wal::GuardOptions guard_options(const repository::Identity& identity, const std::string& data_directory) {
    wal::GuardOptions options;
    options.identity = identity;
    options.created_by = product();
    options.data_directory = data_directory;
    return options;
}

}  // namespace forge::cli
