// A minute as clocks show it in a time zone of the server, for cron expressions.
#pragma once

#include "core/schedule/cron.h"
#include "extension/compat.h"

namespace forge::server {

// `minute` counts from 1970 in UTC. Without a zone UTC.
inline schedule::LocalMinute local_minute(const pg_tz* zone, std::int64_t minute) {
    if (zone == nullptr) return schedule::utc_to_local(minute);
    const pg_time_t at = minute * SECS_PER_MINUTE;
    const pg_tm* const parts = pg_localtime(&at, zone);
    return {parts->tm_min, parts->tm_hour, parts->tm_mday, parts->tm_mon + 1, parts->tm_wday};
}

}  // namespace forge::server
