#include "core/base/time.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

namespace forge {
namespace {

constexpr Instant kExample{1795339054'365927000};  // 2026-11-22 09:17:34.365927 UTC

TEST(Time, FormatsAsWalGAndPostgresPrint) {
    EXPECT_EQ(format_rfc3339(kExample), "2026-11-22T09:17:34.365927Z");
    EXPECT_EQ(format_rfc3339({kExample.nanos + 16974}, 9), "2026-11-22T09:17:34.365943974Z");
    EXPECT_EQ(format_rfc3339(kExample, 0), "2026-11-22T09:17:34Z");
    EXPECT_EQ(format_rfc3339(Instant::from_seconds(0)), "1970-01-01T00:00:00Z");
    EXPECT_EQ(format_rfc3339(Instant::from_micros(1'500'000)), "1970-01-01T00:00:01.5Z");
    EXPECT_EQ(format_postgres(kExample), "2026-11-22 09:17:34.365927+00");
    EXPECT_EQ(format_human(kExample), "2026-11-22 09:17:34 UTC");
}

// A file may claim to be of any second; the product went around and made it another century.
TEST(Time, BeyondTheRangeIsItsEnd) {
    EXPECT_EQ(Instant::from_seconds(INT64_MAX), Instant::from_seconds(9'223'372'036));
    EXPECT_EQ(Instant::from_seconds(INT64_MIN), Instant::from_seconds(-9'223'372'036));
    EXPECT_EQ(format_rfc3339(Instant::from_micros(INT64_MAX)), "2262-04-11T23:47:16.854775Z");
    EXPECT_EQ(format_rfc3339(Instant::from_micros(INT64_MIN)), "1677-09-21T00:12:44Z");
}

TEST(Time, RoundsDownBeforeTheEpoch) {
    const Instant before{-1};
    EXPECT_EQ(before.seconds(), -1);
    EXPECT_EQ(before.micros(), -1);
    EXPECT_EQ(format_rfc3339(before, 9), "1969-12-31T23:59:59.999999999Z");
    EXPECT_EQ(parse_time("1969-12-31T23:59:59.999999999Z").value(), before);
}

TEST(Time, ParsesEveryAcceptedForm) {
    for (const char* text :
         {"2026-11-22T09:17:34.365927Z", "2026-11-22 09:17:34.365927+00", "2026-11-22 09:17:34.365927 UTC",
          "2026-11-22T09:17:34.365927000Z", "2026-11-22T14:47:34.365927+05:30", "2026-11-22T14:47:34.365927+0530",
          "2026-11-22 14:17:34.365927+05", "2026-11-22 01:17:34.365927-08", "2026-11-21T23:47:34.365927-09:30",
          "  2026-11-22 09:17:34.365927 +00 ", "2026-11-22t09:17:34.365927z", "2026-11-22 10:10:02.365927+00:52:28"}) {
        const auto parsed = parse_time(text);
        ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status().to_string();
        EXPECT_EQ(*parsed, kExample) << text;
    }
}

TEST(Time, TakesZeroToNineFractionDigits) {
    const std::string base = "2026-11-22T09:17:34";
    EXPECT_EQ(parse_time(base + "Z")->nanos % 1'000'000'000, 0);
    const std::string digits = "123456789";
    std::int64_t expected = 0;
    std::int64_t scale = 100'000'000;
    for (std::size_t n = 1; n <= 9; ++n, scale /= 10) {
        expected += (digits[n - 1] - '0') * scale;
        EXPECT_EQ(parse_time(base + "." + digits.substr(0, n) + "Z")->nanos % 1'000'000'000, expected);
    }
    EXPECT_FALSE(parse_time(base + ".1234567890Z").ok());
    EXPECT_FALSE(parse_time(base + ".Z").ok());
}

TEST(Time, RefusesATimeWithoutZoneWithAHint) {
    for (const char* text : {"2026-11-22 09:17:34", "2026-11-22T09:17:34.5", "2026-11-22 09:17"}) {
        const auto parsed = parse_time(text);
        ASSERT_FALSE(parsed.ok()) << text;
        EXPECT_EQ(parsed.status().kind(), Kind::kInvalid);
        EXPECT_EQ(parsed.status().message(), "time \"" + std::string(text) + "\" has no time zone");
        EXPECT_EQ(parsed.status().hint(), "Add one, as in \"" + std::string(text) + "+00\" for UTC.");
        EXPECT_TRUE(parse_time(std::string(text) + "+00").ok());
    }
}

TEST(Time, RefusesWhatIsNoTime) {
    for (const char* text : {"",
                             "now",
                             "yesterday",
                             "2026-11-22",
                             "2026-11-22 Z",
                             "2026-13-01 00:00:00Z",
                             "2026-00-10 00:00:00Z",
                             "2026-02-30 00:00:00Z",
                             "2025-02-29 00:00:00Z",
                             "2100-02-29 00:00:00Z",
                             "2026-11-22 24:00:00Z",
                             "2026-11-22 09:60:00Z",
                             "2026-11-22 09:17:61Z",
                             "26-11-22 09:17:34Z",
                             "2026-11-22 9:17:34Z",
                             "2026-11-22 09:17:34+5",
                             "2026-11-22 09:17:34+05:3",
                             "2026-11-22 09:17:34+16",
                             "2026-11-22 09:17:34+05:60",
                             "2026-11-22 09:17:34 PST",
                             "2026-11-22 09:17:34Zx",
                             "2026-11-22 09:17:34+00 x",
                             "2026-11-22  09:17:34Z",
                             "0001-01-01T00:00:00Z",
                             "2300-01-01 00:00:00Z",
                             "1600-01-01 00:00:00Z"}) {
        const auto parsed = parse_time(text);
        EXPECT_FALSE(parsed.ok()) << text;
        if (!parsed.ok()) {
            EXPECT_EQ(parsed.status().kind(), Kind::kInvalid) << text;
        }
    }
}

TEST(Time, KnowsLeapDays) {
    EXPECT_EQ(parse_time("2024-02-29 00:00:00Z")->seconds(), 1709164800);
    EXPECT_EQ(parse_time("2000-02-29 00:00:00Z")->seconds(), 951782400);
    EXPECT_EQ(parse_time("2024-03-01 00:00:00Z")->seconds() - parse_time("2024-02-28 00:00:00Z")->seconds(), 2 * 86400);
    // A leap second is the second after it.
    EXPECT_EQ(*parse_time("2016-12-31 23:59:60Z"), *parse_time("2017-01-01 00:00:00Z"));
}

TEST(Time, AgreesWithTheCLibraryAndGoesBothWays) {
    std::mt19937_64 generator(7);
    std::uniform_int_distribution<std::int64_t> seconds(-9'000'000'000, 9'000'000'000);
    for (int i = 0; i < 20'000; ++i) {
        const Instant at{seconds(generator) * 1'000'000'000 + static_cast<std::int64_t>(generator() % 1'000'000'000)};
        const std::time_t raw = at.seconds();
        std::tm civil{};
        gmtime_r(&raw, &civil);
        char expected[64];
        std::strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S UTC", &civil);
        ASSERT_EQ(format_human(at), expected);
        ASSERT_EQ(parse_time(format_rfc3339(at, 9)).value(), at);
        ASSERT_EQ(parse_time(format_postgres(at)).value().micros(), at.micros());
    }
}

TEST(Time, ParsesTheDateOfHttp) {
    EXPECT_EQ(parse_http_date("Sun, 22 Nov 2026 09:17:34 GMT"), Instant::from_seconds(1795339054));
    EXPECT_EQ(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Instant::from_seconds(0));
    for (const char* text :
         {"", "Sun", "Sun, 22 Nov 2026 09:17:34", "Sun, 22 Nov 2026 09:17:34 UTC", "Sun, 22 Foo 2026 09:17:34 GMT",
          "Sun, 30 Feb 2026 09:17:34 GMT", "Sun, 22 Nov 2026 09:17:34 GMT ", "Sunday, 22-Nov-26 09:17:34 GMT"}) {
        EXPECT_FALSE(parse_http_date(text)) << text;
    }
}

TEST(Time, SystemClockIsTheWallClock) {
    const std::time_t before = std::time(nullptr);
    const std::int64_t now = SystemClock().now().seconds();
    EXPECT_GE(now, before - 1);
    EXPECT_LE(now, std::time(nullptr) + 1);
}

TEST(Text, SizesReadAsInPgSizePretty) {
    EXPECT_EQ(format_size(0), "0 bytes");
    EXPECT_EQ(format_size(1), "1 byte");
    EXPECT_EQ(format_size(1023), "1023 bytes");
    EXPECT_EQ(format_size(1024), "1.0 kB");
    EXPECT_EQ(format_size(340 * 1024), "340 kB");
    EXPECT_EQ(format_size(1024 * 1024 - 1), "1.0 MB");
    EXPECT_EQ(format_size(1288490189), "1.2 GB");
    EXPECT_EQ(format_size(16ULL << 40), "16 TB");
    EXPECT_EQ(format_size(UINT64_MAX), "16384 PB");
}

TEST(Text, DurationsReadWell) {
    EXPECT_EQ(format_duration(0.44), "0.4 s");
    EXPECT_EQ(format_duration(12.3), "12 s");
    EXPECT_EQ(format_duration(192), "3 min 12 s");
    EXPECT_EQ(format_duration(59.9), "1 min 0 s");
    EXPECT_EQ(format_duration(7500), "2 h 5 min");
    EXPECT_EQ(format_duration(2 * 86400 + 3 * 3600), "2 d 3 h");
    EXPECT_EQ(format_duration(-1), "0.0 s");
}

}  // namespace
}  // namespace forge
