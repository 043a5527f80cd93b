// Wall-clock instants as nanoseconds since 1970-01-01 UTC (range 1678-2261), and their texts. Never used to measure
// spans: see Deadline for that.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace forge {

struct Instant {
    std::int64_t nanos = 0;
    auto operator<=>(const Instant&) const = default;
    // What lies beyond the range becomes its first or last second: a file may claim to be of the year 2400.
    static Instant from_seconds(std::int64_t count) { return {std::clamp(count, -kLast, kLast) * 1'000'000'000}; }
    static Instant from_micros(std::int64_t micros) {
        return {std::clamp(micros, -kLast * 1'000'000, INT64_MAX / 1000) * 1000};
    }
    std::int64_t seconds() const;  // rounded down
    std::int64_t micros() const;   // rounded down

private:
    static constexpr std::int64_t kLast = 9'223'372'036;
};

// Where time comes from; handed in so that tests can set it.
class Clock {
public:
    virtual ~Clock() = default;
    virtual Instant now() const = 0;
};
class SystemClock final : public Clock {
public:
    Instant now() const override;
};

// RFC 3339 in UTC ("2026-11-22T09:17:34.365927Z"), fraction of up to `digits` (0, 6 or 9), trailing zeros dropped as
// WAL-G does.
std::string format_rfc3339(Instant at, int digits = 6);
// "2026-11-22 09:17:34.365927+00", what PostgreSQL prints and reads; microseconds, trailing zeros dropped.
std::string format_postgres(Instant at);
// "2026-11-22 09:17:34 UTC" for people.
std::string format_human(Instant at);
// RFC 3339 with any offset and 0-9 fractional digits, the same with a space for the T, offsets as +HH, +HHMM or +HH:MM,
// " UTC" or "Z"; a text without zone is refused with a hint, since guessing one restores to the wrong moment.
Result<Instant> parse_time(std::string_view text);
// "Sun, 22 Nov 2026 09:17:34 GMT" (RFC 9110 section 5.6.7), as HTTP's Date and Last-Modified.
std::optional<Instant> parse_http_date(std::string_view text);

// "1.2 GB", "340 kB": powers of 1024 as pg_size_pretty prints them.
std::string format_size(std::uint64_t bytes);
// "3 min 12 s", "0.4 s".
std::string format_duration(double seconds);

}  // namespace forge
