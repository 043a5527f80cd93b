// When base backups are due: the cron expression of the settings in its time zone, moved by the jitter of the cluster.
// Minutes count from 1970 in UTC.
#pragma once

#include "extension/compat.h"

namespace forge::server {

class Schedule {
public:
    // Reads the settings again. A wrong expression means no scheduled backups, a wrong zone means UTC; both are
    // reported.
    Status read();
    // Whether a run has become due; asked at least once a minute, true once for each.
    bool due(std::int64_t minute);
    // A run was due after `minute`, and `grace` minutes have passed since then: whoever makes the backup needs a moment
    // to begin.
    bool missed_since(std::int64_t minute, std::int64_t now, std::int64_t grace) const;
    // With the jitter, as a timestamp; 0 = never. Searched once a minute at most.
    TimestampTz next(std::int64_t minute);
    // How much later than the expression says this cluster begins: all its members alike, other clusters otherwise, so
    // that many clusters do not burden a store in the same second.
    static std::chrono::milliseconds jitter();

private:
    schedule::LocalMinute local(std::int64_t minute) const;

    bool known_ = false;
    std::string text_;
    std::string zone_text_;
    pg_tz* zone_ = nullptr;
    std::optional<schedule::CronExpression> cron_;
    schedule::CronClock clock_;
    Status problem_;
    std::optional<std::int64_t> next_for_minute_;
    TimestampTz next_at_ = 0;
};

}  // namespace forge::server
