#include "core/schedule/cron.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <string>

namespace forge::schedule {
namespace {

CronExpression cron(std::string_view text) {
    auto parsed = parse_cron(text);
    EXPECT_TRUE(parsed.ok()) << text << ": " << parsed.status().to_string();
    return parsed.ok() ? *parsed : CronExpression{};
}

std::string error_of(std::string_view text) {
    const auto parsed = parse_cron(text);
    if (parsed.ok()) return "accepted";
    EXPECT_EQ(parsed.status().kind(), Kind::kInvalid);
    EXPECT_FALSE(parsed.status().hint().empty());
    return parsed.status().message();
}

template <typename Bits>
std::set<int> values(Bits bits) {
    std::set<int> result;
    for (int i = 0; i < 64; ++i) {
        if (((static_cast<std::uint64_t>(bits) >> i) & 1) != 0) result.insert(i);
    }
    return result;
}

// Minutes since 1970 of a date and time.
std::int64_t at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0) {
    const std::chrono::sys_days date{std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)};
    return date.time_since_epoch().count() * 1440 + hour * 60 + minute;
}

TEST(ParseCron, ReadsNumbersListsRangesAndSteps) {
    EXPECT_EQ(values(cron("5 * * * *").minutes), (std::set<int>{5}));
    EXPECT_EQ(values(cron("0,30,59 * * * *").minutes), (std::set<int>{0, 30, 59}));
    EXPECT_EQ(values(cron("10-13 * * * *").minutes), (std::set<int>{10, 11, 12, 13}));
    EXPECT_EQ(values(cron("*/20 * * * *").minutes), (std::set<int>{0, 20, 40}));
    EXPECT_EQ(values(cron("10-30/10 * * * *").minutes), (std::set<int>{10, 20, 30}));
    EXPECT_EQ(values(cron("1,5-7,50-59/4 * * * *").minutes), (std::set<int>{1, 5, 6, 7, 50, 54, 58}));
    EXPECT_EQ(values(cron("0 */12 * * *").hours), (std::set<int>{0, 12}));
    EXPECT_EQ(values(cron("* * * * *").minutes).size(), 60U);
    EXPECT_EQ(values(cron("* * * * *").hours).size(), 24U);
    EXPECT_EQ(values(cron("0 0 1-31 1-12 *").days).size(), 31U);
    EXPECT_EQ(values(cron("0 0 1-31 1-12 *").months), (std::set<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}));
}

TEST(ParseCron, ReadsNamesInAnyCase) {
    EXPECT_EQ(cron("0 0 * JAN,mar-May *").months, cron("0 0 * 1,3-5 *").months);
    EXPECT_EQ(values(cron("0 0 * dec *").months), (std::set<int>{12}));
    EXPECT_EQ(values(cron("0 0 * * Mon-FRI").weekdays), (std::set<int>{1, 2, 3, 4, 5}));
    EXPECT_EQ(values(cron("0 0 * * sat,sun").weekdays), (std::set<int>{0, 6}));
}

TEST(ParseCron, SevenIsSundayToo) {
    EXPECT_EQ(values(cron("0 0 * * 7").weekdays), (std::set<int>{0}));
    EXPECT_EQ(values(cron("0 0 * * 5-7").weekdays), (std::set<int>{0, 5, 6}));
    EXPECT_EQ(values(cron("0 0 * * fri-sun").weekdays), (std::set<int>{0, 5, 6}));
    EXPECT_EQ(values(cron("0 0 * * 0-7").weekdays).size(), 7U);
    EXPECT_EQ(values(cron("0 0 * * *").weekdays).size(), 7U);
}

TEST(ParseCron, MacrosStandForTheirExpressions) {
    EXPECT_EQ(cron("@hourly"), cron("0 * * * *"));
    EXPECT_EQ(cron("@daily"), cron("0 0 * * *"));
    EXPECT_EQ(cron("@midnight"), cron("0 0 * * *"));
    EXPECT_EQ(cron("@weekly"), cron("0 0 * * 0"));
    EXPECT_EQ(cron("@monthly"), cron("0 0 1 * *"));
    EXPECT_EQ(cron("@yearly"), cron("0 0 1 1 *"));
    EXPECT_EQ(cron(" @Annually "), cron("0 0 1 1 *"));
    EXPECT_EQ(error_of("@reboot"), "unrecognized schedule \"@reboot\"");
}

TEST(ParseCron, SpacesDoNotMatter) { EXPECT_EQ(cron("  0\t*/12  * * *  "), cron("0 */12 * * *")); }

TEST(ParseCron, ErrorsNameTheField) {
    EXPECT_EQ(error_of("61 * * * *"), "minute field: value 61 is out of range 0 to 59");
    EXPECT_EQ(error_of("60 * * * *"), "minute field: value 60 is out of range 0 to 59");
    EXPECT_EQ(error_of("0 24 * * *"), "hour field: value 24 is out of range 0 to 23");
    EXPECT_EQ(error_of("0 0 0 * *"), "day-of-month field: value 0 is out of range 1 to 31");
    EXPECT_EQ(error_of("0 0 32 * *"), "day-of-month field: value 32 is out of range 1 to 31");
    EXPECT_EQ(error_of("0 0 * 13 *"), "month field: value 13 is out of range 1 to 12");
    EXPECT_EQ(error_of("0 0 * 0 *"), "month field: value 0 is out of range 1 to 12");
    EXPECT_EQ(error_of("0 0 * * 8"), "day-of-week field: value 8 is out of range 0 to 7");
    EXPECT_EQ(error_of("99999999999 * * * *"), "minute field: value 99999999999 is out of range 0 to 59");
    EXPECT_EQ(error_of("x * * * *"), "minute field: invalid value \"x\"");
    EXPECT_EQ(error_of("0 0 * foo *"), "month field: invalid value \"foo\"");
    EXPECT_EQ(error_of("mon * * * *"), "minute field: invalid value \"mon\"");
    EXPECT_EQ(error_of("1.5 * * * *"), "minute field: invalid value \"1.5\"");
    EXPECT_EQ(error_of("0 22-2 * * *"), "hour field: range \"22-2\" runs backwards");
    EXPECT_EQ(error_of("*/0 * * * *"), "minute field: step \"0\" is out of range 1 to 59");
    EXPECT_EQ(error_of("*/ * * * *"), "minute field: step \"\" is out of range 1 to 59");
    EXPECT_EQ(error_of("*/60 * * * *"), "minute field: step \"60\" is out of range 1 to 59");
    EXPECT_EQ(error_of("5/10 * * * *"), "minute field: a step needs a range or \"*\" before it in \"5/10\"");
    EXPECT_EQ(error_of("1,,2 * * * *"), "minute field: a value is missing");
    EXPECT_EQ(error_of("1, * * * *"), "minute field: a value is missing");
    EXPECT_EQ(error_of("-5 * * * *"), "minute field: a value is missing");
    EXPECT_EQ(error_of("5- * * * *"), "minute field: a value is missing");
    EXPECT_EQ(error_of("** * * * *"), "minute field: invalid value \"**\"");
}

TEST(ParseCron, WantsFiveFields) {
    EXPECT_EQ(error_of(""), "schedule \"\" has 0 fields instead of 5");
    EXPECT_EQ(error_of("0 0 * *"), "schedule \"0 0 * *\" has 4 fields instead of 5");
    EXPECT_EQ(error_of("0 0 * * * *"), "schedule \"0 0 * * * *\" has 6 fields instead of 5");
}

TEST(ParseCron, RefusesDaysThatNeverCome) {
    EXPECT_EQ(error_of("0 0 30 2 *"), "day-of-month field: no chosen month has such a day");
    EXPECT_EQ(error_of("0 0 31 2,4,6,9,11 *"), "day-of-month field: no chosen month has such a day");
    EXPECT_EQ(error_of("0 0 31 2,3 *"), "accepted");
    EXPECT_EQ(error_of("0 0 29 2 *"), "accepted");
    EXPECT_EQ(error_of("0 0 30 2 mon"), "accepted");  // on the Mondays
}

TEST(UtcToLocal, KnowsTheCalendar) {
    EXPECT_EQ(utc_to_local(0), (LocalMinute{0, 0, 1, 1, 4}));  // a Thursday
    EXPECT_EQ(utc_to_local(-1), (LocalMinute{59, 23, 31, 12, 3}));
    EXPECT_EQ(utc_to_local(at(2024, 2, 29, 12, 34)), (LocalMinute{34, 12, 29, 2, 4}));
    EXPECT_EQ(utc_to_local(at(2026, 11, 22, 9, 17)), (LocalMinute{17, 9, 22, 11, 0}));
}

TEST(Matches, DaysAreOredWhenBothAreRestricted) {
    const auto on = [](std::string_view text, unsigned day) {
        return matches(cron(text), utc_to_local(at(2026, 11, day)));
    };
    // November 22, 2026 is a Sunday, the 23rd a Monday.
    EXPECT_TRUE(on("0 0 22 * mon", 22));
    EXPECT_TRUE(on("0 0 22 * mon", 23));
    EXPECT_FALSE(on("0 0 22 * mon", 24));
    EXPECT_TRUE(on("0 0 22 * *", 22));
    EXPECT_FALSE(on("0 0 22 * *", 23));
    EXPECT_FALSE(on("0 0 * * mon", 22));
    EXPECT_TRUE(on("0 0 * * mon", 23));
    // A field that begins with "*" narrows down instead.
    EXPECT_TRUE(on("0 0 */2 * mon", 23));
    EXPECT_FALSE(on("0 0 */2 * mon", 16));
    EXPECT_FALSE(on("0 0 */2 * mon", 21));
}

TEST(Matches, EveryFieldCounts) {
    const CronExpression expression = cron("17 9 22 11 *");
    EXPECT_TRUE(matches(expression, utc_to_local(at(2026, 11, 22, 9, 17))));
    EXPECT_FALSE(matches(expression, utc_to_local(at(2026, 11, 22, 9, 18))));
    EXPECT_FALSE(matches(expression, utc_to_local(at(2026, 11, 22, 10, 17))));
    EXPECT_FALSE(matches(expression, utc_to_local(at(2026, 11, 23, 9, 17))));
    EXPECT_FALSE(matches(expression, utc_to_local(at(2026, 12, 22, 9, 17))));
}

TEST(ClockProgress, HasFourCases) {
    EXPECT_EQ(clock_progress(1000, 1000), ClockProgress::kSameMinute);
    EXPECT_EQ(clock_progress(1000, 1001), ClockProgress::kProgressed);
    EXPECT_EQ(clock_progress(1000, 1005), ClockProgress::kProgressed);
    EXPECT_EQ(clock_progress(1000, 1006), ClockProgress::kJumpedAhead);
    EXPECT_EQ(clock_progress(1000, 1180), ClockProgress::kJumpedAhead);
    EXPECT_EQ(clock_progress(1000, 1181), ClockProgress::kChanged);
    EXPECT_EQ(clock_progress(1000, 999), ClockProgress::kJumpedBack);
    EXPECT_EQ(clock_progress(1000, 821), ClockProgress::kJumpedBack);
    EXPECT_EQ(clock_progress(1000, 820), ClockProgress::kChanged);
}

// A clock that has looked at the minute before `now`.
CronClock clock_before(std::int64_t now, const ToLocal& zone = utc_to_local) {
    CronClock clock;
    EXPECT_FALSE(clock.due(cron("* * * * *"), now - 1, zone));
    return clock;
}

TEST(CronClock, RunsOnceInItsMinute) {
    const CronExpression noon = cron("0 12 * * *");
    const std::int64_t now = at(2026, 11, 22, 12, 0);
    CronClock clock = clock_before(now);
    EXPECT_TRUE(clock.due(noon, now, utc_to_local));
    EXPECT_FALSE(clock.due(noon, now, utc_to_local));
    EXPECT_FALSE(clock.due(noon, now + 1, utc_to_local));
}

TEST(CronClock, StartDoesNotRepeatItsMinute) {
    CronClock clock;
    EXPECT_FALSE(clock.due(cron("* * * * *"), 1000, utc_to_local));
    EXPECT_TRUE(clock.due(cron("* * * * *"), 1001, utc_to_local));
    clock.reset();
    EXPECT_FALSE(clock.due(cron("* * * * *"), 1002, utc_to_local));
}

TEST(CronClock, LateByAFewMinutesStillRuns) {
    const std::int64_t noon = at(2026, 11, 22, 12, 0);
    CronClock clock = clock_before(noon);
    EXPECT_TRUE(clock.due(cron("0 12 * * *"), noon + 3, utc_to_local));
    EXPECT_FALSE(clock.due(cron("0 12 * * *"), noon + 4, utc_to_local));
}

// S26: the clock jumps ahead by two hours: what was skipped is run once.
TEST(CronClock, JumpAheadRunsFixedTimesOnce) {
    const std::int64_t start = at(2026, 11, 22, 11, 0);
    CronClock clock = clock_before(start);
    EXPECT_TRUE(clock.due(cron("0 */12 * * *"), start + 120, utc_to_local));
    EXPECT_FALSE(clock.due(cron("0 */12 * * *"), start + 121, utc_to_local));
    // Many matching minutes were skipped: still one run.
    CronClock often = clock_before(start);
    EXPECT_TRUE(often.due(cron("*/10 8-20 * * *"), start + 125, utc_to_local));
    EXPECT_FALSE(often.due(cron("*/10 8-20 * * *"), start + 125, utc_to_local));
    // What comes every hour is not made up for.
    CronClock hourly = clock_before(start);
    EXPECT_FALSE(hourly.due(cron("30 * * * *"), start + 100, utc_to_local));
    EXPECT_TRUE(hourly.due(cron("41 * * * *"), start + 101, utc_to_local));
}

// S26: the clock jumps back by two hours: what ran does not run again until the clock has caught up.
TEST(CronClock, JumpBackDoesNotRepeatFixedTimes) {
    const std::int64_t noon = at(2026, 11, 22, 12, 0);
    const CronExpression expression = cron("0 */12 * * *");
    CronClock clock = clock_before(noon);
    EXPECT_TRUE(clock.due(expression, noon, utc_to_local));
    int runs = 0;
    for (std::int64_t now = noon - 120; now < noon + 12 * 60; ++now) runs += clock.due(expression, now, utc_to_local);
    EXPECT_EQ(runs, 0);
    EXPECT_TRUE(clock.due(expression, noon + 12 * 60, utc_to_local));
    // What comes every hour goes on at once.
    CronClock hourly = clock_before(noon);
    EXPECT_TRUE(hourly.due(cron("0 * * * *"), noon, utc_to_local));
    EXPECT_FALSE(hourly.due(cron("0 * * * *"), noon - 70, utc_to_local));
    for (std::int64_t now = noon - 69; now < noon - 60; ++now)
        EXPECT_FALSE(hourly.due(cron("0 * * * *"), now, utc_to_local));
    EXPECT_TRUE(hourly.due(cron("0 * * * *"), noon - 60, utc_to_local));
}

TEST(CronClock, LargeJumpStartsOver) {
    const std::int64_t noon = at(2026, 11, 22, 12, 0);
    CronClock ahead = clock_before(noon);
    EXPECT_FALSE(ahead.due(cron("0 13 * * *"), noon + 5000, utc_to_local));
    EXPECT_TRUE(ahead.due(cron("* * * * *"), noon + 5001, utc_to_local));
    CronClock back = clock_before(noon);
    EXPECT_TRUE(back.due(cron("0 12 * * *"), noon - 1440, utc_to_local));
    EXPECT_FALSE(back.due(cron("0 12 * * *"), noon - 1439, utc_to_local));
}

// Central Europe in 2026: +01:00, and +02:00 from March 29 to October 25, each at 01:00 UTC.
LocalMinute central_europe(std::int64_t utc) {
    const bool summer = utc >= at(2026, 3, 29, 1, 0) && utc < at(2026, 10, 25, 1, 0);
    return utc_to_local(utc + (summer ? 120 : 60));
}

int runs_between(const CronExpression& expression, std::int64_t from, std::int64_t to, const ToLocal& zone) {
    CronClock clock = clock_before(from, zone);
    int runs = 0;
    for (std::int64_t now = from; now < to; ++now) runs += clock.due(expression, now, zone);
    return runs;
}

TEST(CronClock, DaylightSavingNeitherSkipsNorRepeats) {
    for (const char* text : {"30 2 * * *", "0 3 * * *", "59 1 * * *", "0 2 * * *", "0 1 * * *", "59 2 * * *"}) {
        const CronExpression daily = cron(text);
        EXPECT_EQ(runs_between(daily, at(2026, 3, 28, 12), at(2026, 3, 29, 12), central_europe), 1) << text;
        EXPECT_EQ(runs_between(daily, at(2026, 10, 24, 12), at(2026, 10, 25, 12), central_europe), 1) << text;
        EXPECT_EQ(runs_between(daily, at(2026, 1, 1), at(2027, 1, 1), central_europe), 365) << text;
    }
    EXPECT_EQ(runs_between(cron("0 */12 * * *"), at(2026, 1, 1), at(2027, 1, 1), central_europe), 730);
    // 23 and 25 hours have as many runs of what comes every hour.
    EXPECT_EQ(runs_between(cron("15 * * * *"), at(2026, 3, 28, 23), at(2026, 3, 29, 22), central_europe), 23);
    EXPECT_EQ(runs_between(cron("15 * * * *"), at(2026, 10, 24, 22), at(2026, 10, 25, 23), central_europe), 25);
}

TEST(CronClock, ZonesOfEveryOffsetCountTheirOwnDays) {
    for (const int offset : {-12 * 60, -9 * 60 - 30, -60, 0, 330, 345, 14 * 60}) {
        const ToLocal zone = [offset](std::int64_t utc) { return utc_to_local(utc + offset); };
        EXPECT_EQ(runs_between(cron("0 0 1 * *"), at(2026, 1, 2), at(2027, 1, 2), zone), 12) << offset;
        EXPECT_EQ(runs_between(cron("30 23 * * sat"), at(2026, 1, 1), at(2026, 12, 31), zone), 52) << offset;
    }
}

TEST(NextRun, FindsTheFirstMatchAfter) {
    const std::int64_t now = at(2026, 11, 22, 9, 17);
    const auto next = [now](std::string_view text) { return next_run(cron(text), now, utc_to_local).value_or(-1); };
    EXPECT_EQ(next("* * * * *"), now + 1);
    EXPECT_EQ(next("17 9 * * *"), now + 1440);
    EXPECT_EQ(next("18 9 * * *"), now + 1);
    EXPECT_EQ(next("0 */12 * * *"), at(2026, 11, 22, 12, 0));
    EXPECT_EQ(next("@weekly"), at(2026, 11, 29));
    EXPECT_EQ(next("@yearly"), at(2027, 1, 1));
    EXPECT_EQ(next("0 0 29 2 *"), at(2028, 2, 29));
    EXPECT_EQ(next("0 3 1 * mon"), at(2026, 11, 23, 3));
    EXPECT_EQ(next("59 23 31 12 *"), at(2026, 12, 31, 23, 59));
    // Nothing within four years: no leap day between 2096 and 2104.
    EXPECT_FALSE(next_run(cron("0 0 29 2 *"), at(2096, 3, 1), utc_to_local));
}

TEST(NextRun, AgreesWithTryingEveryMinute) {
    for (const char* text : {"0 0 1 * *", "30 2 * * *", "0 */12 * * *", "5 4 * * sun", "0 0 13 * fri",
                             "59 23 28-31 * *", "0 1 25 10 *", "30 2 29 3 *", "0 0 29 3 *", "15 0 * * *"}) {
        const CronExpression expression = cron(text);
        for (std::int64_t from = at(2026, 3, 20, 22, 13); from < at(2026, 11, 10); from += 19997) {
            std::int64_t expected = from + 1;
            const std::int64_t end = at(2027, 6, 1);
            while (expected < end && !matches(expression, central_europe(expected))) ++expected;
            if (expected == end) continue;
            ASSERT_EQ(next_run(expression, from, central_europe), expected) << text << " from " << from;
        }
    }
}

TEST(NextRun, MidnightThatDoesNotExistDoesNotHideTheDay) {
    // The clock goes from 23:59 to 01:00 at the start of April 24, 2026, and from 23:59 to 23:00 on October 29.
    const ToLocal zone = [](std::int64_t utc) {
        const bool summer = utc >= at(2026, 4, 23, 22) && utc < at(2026, 10, 29, 21);
        return utc_to_local(utc + (summer ? 180 : 120));
    };
    EXPECT_EQ(zone(at(2026, 4, 23, 22)), (LocalMinute{0, 1, 24, 4, 5}));
    EXPECT_EQ(next_run(cron("5 1 24 4 *"), at(2026, 4, 20), zone), at(2026, 4, 23, 22, 5));
    EXPECT_EQ(next_run(cron("0 0 24 4 *"), at(2026, 4, 20), zone), at(2027, 4, 23, 22));
    EXPECT_EQ(next_run(cron("0 0 30 10 *"), at(2026, 10, 28), zone), at(2026, 10, 29, 22));
    EXPECT_EQ(next_run(cron("30 23 29 10 *"), at(2026, 10, 28, 21, 30), zone), at(2026, 10, 29, 20, 30));
}

}  // namespace
}  // namespace forge::schedule
