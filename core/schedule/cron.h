// Cron expressions: five fields (minute hour day-of-month month day-of-week), lists, ranges, steps, names (jan, mon), @hourly @daily @midnight @weekly
// @monthly @yearly @annually. Day-of-month and day-of-week are OR'ed when both are restricted, as Vixie cron does. 7 is Sunday too.
// Plain data, no allocation after parsing: usable in the server library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace forge::schedule {

struct CronExpression {
    std::uint64_t minutes = 0;       // bit per value
    std::uint32_t hours = 0;
    std::uint32_t days = 0;          // 1..31
    std::uint16_t months = 0;        // 1..12
    std::uint8_t weekdays = 0;       // 0 = Sunday .. 6
    bool any_day = false, any_weekday = false;  // field was "*"
};
// kInvalid names the field and what is wrong with it.
Result<CronExpression> parse_cron(std::string_view text);

// A wall-clock minute in the schedule's time zone.
struct LocalMinute { int minute, hour, day, month /* 1..12 */, weekday /* 0 = Sunday */; };
bool matches(const CronExpression& cron, const LocalMinute& at);

}  // namespace forge::schedule
