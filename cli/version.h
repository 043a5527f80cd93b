// Version of the software, from the file VERSION through the build.
#pragma once

#include <string_view>

namespace forge::cli {

std::string_view version();

}  // namespace forge::cli
