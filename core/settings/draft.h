// Settings in the making: what the pieces of load() share.
#pragma once

#include <optional>
#include <string>

#include "core/settings/settings.h"
#include "core/settings/sources.h"

namespace forge::settings {

struct Draft {
    const Inputs& inputs;
    const Sources& sources;
    Settings& settings;

    // Records where a value came from; nothing found = default.
    void note(const std::string& name, const std::string& value, const std::optional<Found>& found);
};

// ", changed 2026-11-22 09:17:34 UTC" for a value from a file, else empty.
std::string change_of_file(const std::string& path);

Status load_s3(Draft& draft);
Status load_keys(Draft& draft);
Status load_limits(Draft& draft);
Status load_delta(Draft& draft);

}  // namespace forge::settings
