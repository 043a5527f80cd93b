#include "cli/version.h"

namespace forge::cli {

std::string_view version() { return FORGE_VERSION; }

std::string product() { return "forge_backup " FORGE_VERSION; }

}  // namespace forge::cli
