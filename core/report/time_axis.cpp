#include "core/report/time_axis.h"

#include <array>
#include <ctime>

namespace forge::report {

namespace {

constexpr std::int64_t kMinute = 60;
constexpr std::int64_t kHour = 60 * kMinute;
constexpr std::int64_t kDay = 24 * kHour;
constexpr std::array<std::int64_t, 18> kSteps{kMinute,   2 * kMinute, 5 * kMinute,    10 * kMinute, 30 * kMinute,
                                              kHour,     2 * kHour,   3 * kHour,      6 * kHour,    12 * kHour,
                                              kDay,      2 * kDay,    7 * kDay,       14 * kDay,    30 * kDay,
                                              91 * kDay, 365 * kDay,  10 * 365 * kDay};
constexpr std::int64_t kMostTicks = 10;

std::string label_of(std::int64_t seconds, std::int64_t step) {
    const std::time_t at = seconds;
    std::tm parts{};
    gmtime_r(&at, &parts);
    std::array<char, 32> text{};
    const bool midnight = seconds % kDay == 0;
    std::strftime(text.data(), text.size(), step >= 30 * kDay ? "%b %Y" : midnight ? "%-d %b" : "%H:%M", &parts);
    return text.data();
}

}  // namespace

TimeAxis::TimeAxis(Instant from, Instant to) : from_(from), to_(to) {
    // Never empty: there is a now.
    if (to_.nanos - from_.nanos < kMinute * 1'000'000'000) from_.nanos = to_.nanos - kMinute * 1'000'000'000;
}

double TimeAxis::place(Instant at) const {
    const double part = static_cast<double>(at.nanos - from_.nanos) / static_cast<double>(to_.nanos - from_.nanos);
    return 0.5 + 99 * std::clamp(part, 0.0, 1.0);
}

std::vector<TimeAxis::Tick> TimeAxis::ticks() const {
    const std::int64_t span = to_.seconds() - from_.seconds();
    std::int64_t step = kSteps.back();
    for (const std::int64_t candidate : kSteps)
        if (span / candidate < kMostTicks) {
            step = candidate;
            break;
        }
    std::vector<Tick> ticks;
    std::int64_t at = (from_.seconds() / step + 1) * step;
    for (bool minor = false; at <= to_.seconds() && ticks.size() < static_cast<std::size_t>(kMostTicks);
         at += step, minor = !minor)
        ticks.push_back({place(Instant::from_seconds(at)), label_of(at, step), minor});
    return ticks;
}

}  // namespace forge::report
