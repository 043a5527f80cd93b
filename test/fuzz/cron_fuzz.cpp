// Cron expressions: what is accepted has values in range, and the next run is one that matches, with none before it.
#include "core/schedule/cron.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

using schedule::CronExpression;

void check_ranges(const CronExpression& cron) {
    require(cron.minutes != 0 && (cron.minutes >> 60) == 0, "minutes are 0 to 59");
    require(cron.hours != 0 && (cron.hours >> 24) == 0, "hours are 0 to 23");
    require(cron.days != 0 && (cron.days & 1U) == 0, "days are 1 to 31");
    require(cron.months != 0 && (cron.months & 1U) == 0 && (cron.months >> 13) == 0, "months are 1 to 12");
    require(cron.weekdays != 0 && (cron.weekdays >> 7) == 0, "weekdays are 0 to 6");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const auto from = input.ConsumeIntegralInRange<std::int64_t>(-50'000'000, 120'000'000);
    const auto zone = input.ConsumeIntegralInRange<std::int64_t>(-15 * 60, 15 * 60);
    const auto jump = input.ConsumeIntegralInRange<std::int64_t>(-1000, 1000);
    const auto cron = schedule::parse_cron(input.ConsumeRemainingBytesAsString());
    if (!cron.ok()) return require(cron.status().is(Kind::kInvalid), "what is no schedule is bad input");
    check_ranges(*cron);
    const schedule::ToLocal to_local = [zone](std::int64_t minute) { return schedule::utc_to_local(minute + zone); };
    if (const auto next = next_run(*cron, from, to_local)) {
        require(*next > from && matches(*cron, to_local(*next)), "the next run matches");
        for (std::int64_t before = from + 1; before < std::min(*next, from + 3000); ++before)
            require(!matches(*cron, to_local(before)), "nothing matches before the next run");
    }
    schedule::CronClock clock;
    require(!clock.due(*cron, from, to_local), "the first look only starts the clock");
    static_cast<void>(clock.due(*cron, from + jump, to_local));
    require(!clock.due(*cron, from + jump, to_local), "the same minute is due once");
}

}  // namespace forge::fuzz
