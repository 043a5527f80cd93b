// The findings of `forge-backup check` and of the SQL function check().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/log.h"
#include "core/repository/owner.h"
#include "core/repository/repository.h"

namespace forge::cli {

struct Finding {
    enum class Level { kOk, kWarning, kError };
    std::string check;
    Level level = Level::kOk;
    std::string detail;
    std::string hint;
};
std::string_view level_name(Finding::Level level);  // "ok", "warning", "error"

struct Checks {
    std::vector<Finding> findings;
    std::optional<std::int64_t> newest_age;  // seconds since the newest backup that can be read ended
};

// `loaded`: settings or why they cannot be read. Ends within the deadline of `context`; a check that cannot run because
// of an earlier finding is left out. `us`: who asks, as far as that is known.
Checks run_checks(const Result<settings::Settings>& loaded, const repository::Identity& us,
                                const store::CallContext& context, Logger& logger);

}  // namespace forge::cli
