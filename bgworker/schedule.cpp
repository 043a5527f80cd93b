#include "bgworker/schedule.h"

#include "extension/boundary.h"
#include "extension/settings.h"
#include "extension/wall_clock.h"

namespace forge::server {

Status Schedule::read() {
    const bool zone_changed = zone_text_ != settings.schedule_timezone;
    if (text_ == settings.schedule && !zone_changed && known_) return problem_;
    known_ = true;
    text_ = settings.schedule;
    zone_text_ = settings.schedule_timezone;
    if (zone_changed) clock_.reset();
    cron_.reset();
    problem_ = Status();
    next_for_minute_.reset();
    const char* const zone_name = zone_text_.c_str();
    zone_ = call_server([zone_name] { return pg_tzset(zone_name); });
    if (zone_ == nullptr)
        problem_ = Status(Kind::kInvalid, "setting \"schedule_timezone\": unknown time zone " + quoted(zone_text_),
                          "Use a name from pg_timezone_names; UTC is used until then.");
    if (trim(text_).empty()) return problem_;
    auto cron = schedule::parse_cron(text_);
    if (cron.ok())
        cron_ = *cron;
    else
        problem_ = cron.status().with_context("setting \"schedule\"");
    return problem_;
}

bool Schedule::due(std::int64_t minute) {
    return cron_ && clock_.due(*cron_, minute, [this](std::int64_t at) { return local(at); });
}

bool Schedule::missed_since(std::int64_t minute, std::int64_t now, std::int64_t grace) const {
    if (!cron_) return false;
    const auto next = schedule::next_run(*cron_, minute, [this](std::int64_t at) { return local(at); });
    return next && *next + grace <= now;
}

TimestampTz Schedule::next(std::int64_t minute) {
    if (!cron_) return 0;
    if (next_for_minute_ != minute) {
        next_for_minute_ = minute;
        const auto next = schedule::next_run(*cron_, minute, [this](std::int64_t at) { return local(at); });
        next_at_ = next ? time_t_to_timestamptz(*next * SECS_PER_MINUTE) : 0;
    }
    return next_at_ == 0 ? 0 : next_at_ + jitter().count() * 1000;
}

// Any fixed function of the system identifier that spreads evenly will do; its low bits are a process id and count up.
std::chrono::milliseconds Schedule::jitter() {
    if (settings.schedule_jitter == 0) return std::chrono::milliseconds(0);
    const std::uint64_t spread = (GetSystemIdentifier() * 0x9E3779B97F4A7C15ULL) >> 32;
    return std::chrono::milliseconds(spread % static_cast<std::uint64_t>(settings.schedule_jitter));
}

schedule::LocalMinute Schedule::local(std::int64_t minute) const { return local_minute(zone_, minute); }

}  // namespace forge::server
