#pragma once

#include <string_view>

#include "core/settings/settings.h"

namespace forge::settings {

// The value in effect of a setting, wherever it comes from, as settings.origins has it; empty = it has none.
std::string_view effective_value(const Settings& settings, std::string_view name);

}  // namespace forge::settings
