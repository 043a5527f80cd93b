// Version of the software, from the file VERSION through the build.
#pragma once

#include <string>
#include <string_view>

namespace forge::cli {

std::string_view version();
// "forge_backup VERSION", for what is stored.
std::string product();

}  // namespace forge::cli
