// Cron expressions: five fields (minute hour day-of-month month day-of-week), lists, ranges, steps, names (jan, mon),
// @hourly @daily @midnight @weekly @monthly @yearly @annually. Day-of-month and day-of-week are OR'ed when both are
// restricted, as Vixie cron does; a field that begins with "*" (even "*/2") is not restricted in that sense. 7 is
// Sunday too.
//
// Plain data, no allocation after parsing, no time-zone library: usable in the server library. Minutes are counted from
// 1970-01-01 00:00; what they mean in the schedule's zone is told by a function the caller hands in.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "core/base/status.h"

namespace forge::schedule {

struct CronExpression {
    std::uint64_t minutes = 0;  // bit per value
    std::uint32_t hours = 0;
    std::uint32_t days = 0;                     // 1..31
    std::uint16_t months = 0;                   // 1..12
    std::uint8_t weekdays = 0;                  // 0 = Sunday .. 6
    bool any_day = false, any_weekday = false;  // field begins with "*"
    bool operator==(const CronExpression&) const = default;
};
// kInvalid names the field and what is wrong with it. An expression that never matches (February 30) is refused.
Result<CronExpression> parse_cron(std::string_view text);

// A wall-clock minute in the schedule's time zone.
struct LocalMinute {
    int minute, hour, day, month /* 1..12 */, weekday /* 0 = Sunday */;
    bool operator==(const LocalMinute&) const = default;
};
bool matches(const CronExpression& cron, const LocalMinute& at);

// Says which wall-clock minute a minute in UTC is in the schedule's time zone.
using ToLocal = std::function<LocalMinute(std::int64_t utc_minute)>;
// For a schedule in UTC, and for the minutes of any zone once they are counted in its own wall-clock time.
LocalMinute utc_to_local(std::int64_t minute);

// What the wall clock did since the last look, the four cases of Vixie cron and pg_cron.
enum class ClockProgress {
    kSameMinute,   // nothing to do
    kProgressed,   // 1 to 5 minutes: every minute counts
    kJumpedAhead,  // up to 3 hours (daylight saving begins, a late start): fixed times that were skipped are run once
    kJumpedBack,   // up to 3 hours (daylight saving ends): fixed times are not run twice
    kChanged,      // more than that: start over at the current minute
};
ClockProgress clock_progress(std::int64_t last_minute, std::int64_t now_minute);

// Remembers the last minute that was looked at, in wall-clock time of the schedule's zone.
class CronClock {
public:
    // Forgets everything: after a change of the schedule's zone.
    void reset() { last_.reset(); }
    // Whether `cron` is due at `now`, to be asked about once a minute (more often does no harm).
    // True at most once a call, however many matching minutes have passed. The first call after construction or reset()
    // only starts the clock, so that a restart does not repeat what ran in the same minute.
    //
    // An expression that matches in every hour ("*/5 * * * *") is not at fixed times: what a jump skips is not made up
    // for, and after a jump back it goes on at once, since its next time is near anyway.
    bool due(const CronExpression& cron, std::int64_t now_utc_minute, const ToLocal& to_local);

private:
    std::optional<std::int64_t> last_;
};

// The first minute in UTC after `from_utc_minute` that matches; nothing within four years. For display: a time that
// daylight saving skips is shown for the next day on which it exists.
std::optional<std::int64_t> next_run(const CronExpression& cron, std::int64_t from_utc_minute, const ToLocal& to_local);

}  // namespace forge::schedule
