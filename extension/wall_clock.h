// The server's times and others': minutes as clocks show them in a time zone of the server, for cron expressions, and
// microseconds since 1970, as helpers and files have them.
#pragma once

#include "core/schedule/cron.h"
#include "extension/compat.h"

namespace forge::server {

inline constexpr std::int64_t kMicrosTo2000 =
    static_cast<std::int64_t>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
inline std::int64_t unix_micros(TimestampTz at) { return at + kMicrosTo2000; }
inline TimestampTz from_unix_micros(std::int64_t micros) { return micros - kMicrosTo2000; }

// `minute` counts from 1970 in UTC. Without a zone UTC.
inline schedule::LocalMinute local_minute(const pg_tz* zone, std::int64_t minute) {
    if (zone == nullptr) return schedule::utc_to_local(minute);
    const pg_time_t at = minute * SECS_PER_MINUTE;
    const pg_tm* const parts = pg_localtime(&at, zone);
    return {parts->tm_min, parts->tm_hour, parts->tm_mday, parts->tm_mon + 1, parts->tm_wday};
}

}  // namespace forge::server
