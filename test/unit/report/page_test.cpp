#include "core/report/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "core/report/facts_json.h"
#include "core/report/markup.h"
#include "core/report/verdict.h"
#include "core/report/wal_summary.h"

namespace forge::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

constexpr std::int64_t kFirst = 1'700'000'000;
constexpr std::int64_t kHour = 3600;
constexpr std::size_t kMegabyte = 1 << 20;

Instant hour(std::int64_t count) { return Instant::from_seconds(kFirst + count * kHour); }
std::string segment(std::uint64_t number, Timeline timeline = 1) {
    return layout::segment_name({timeline, number}, layout::kDefaultSegmentSize);
}

Backup backup(std::uint64_t number, std::int64_t at, const std::string& parent = {}) {
    Backup one;
    one.name = layout::full_backup_name(segment(number)) +
               (parent.empty() ? "" : "_D_" + layout::backup_start_segment(parent));
    one.parent = parent;
    one.depth = parent.empty() ? 0 : 1;
    one.start_segment = segment(number);
    one.timeline = 1;
    one.start = hour(at);
    one.finish = Instant::from_seconds(kFirst + at * kHour + 90);
    one.stored = 1 << 20;
    one.reason = "it is one of the newest 5";
    return one;
}

// A day of WAL, a segment an hour, a full backup and a delta.
Facts good() {
    Facts facts;
    facts.program = "forge_backup 1.0.0";
    facts.storage = "s3://bucket/prefix";
    facts.now = Instant::from_seconds(kFirst + 24 * kHour + 60);
    facts.retain = 5;
    facts.backups = {backup(0, 0), backup(12, 12, backup(0, 0).name)};
    WalSummary wal(layout::kDefaultSegmentSize);
    for (std::uint64_t number = 0; number <= 24; ++number)
        wal.add(segment(number), 1000, hour(static_cast<std::int64_t>(number)));
    facts.wal = wal.finish(facts.backups, facts.now);
    facts.earliest = facts.backups.front().finish;
    facts.latest = hour(24);
    facts.next_restore.backup = facts.backups.back().name;
    return facts;
}

std::size_t count_of(const std::string& text, const std::string& word) {
    std::size_t count = 0;
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
    return count;
}

TEST(Page, ShowsRestorePoints) {
    Facts facts = good();
    EXPECT_THAT(page(facts), Not(HasSubstr("Restore points")));
    facts.restore_points = {{"before <b>", hour(3), 0x800F908, 1, facts.backups.front().name},
                            {"f\xFC", hour(4), 0x900F268, 2, ""}};
    // More than fit, and in the same place.
    for (int i = 0; i < 100; ++i)
        facts.restore_points.push_back({"many", hour(20), 0xA000000, 2, facts.backups.back().name});
    facts.restore_point_count = 1000;
    const std::string html = page(facts);
    EXPECT_THAT(html, HasSubstr("before &lt;b&gt;, "));
    EXPECT_THAT(html, Not(HasSubstr("<b>,")));
    EXPECT_THAT(html, HasSubstr("The newest 60 of 1,000 restore points"));
    EXPECT_THAT(html, HasSubstr("and 99 more beside it"));
    EXPECT_EQ(count_of(html, "class=\"point lost\""), 1U);
    EXPECT_EQ(count_of(html, "class=\"point\" x=\""), 3U) << "two marks and the one that explains them";
    EXPECT_THAT(facts_json(facts), HasSubstr(R"({"name":"before <b>","time":"2023-11-15T01:13:20Z",)"
                                             R"("lsn":"0/800F908","timeline":1,"backup":")"));
    EXPECT_THAT(facts_json(facts), HasSubstr(R"("restore_point_count":1000)"));
}

TEST(Page, SaysThatAllIsWell) {
    const Verdict verdict = judge(good());
    EXPECT_EQ(verdict.level, Level::kGood);
    EXPECT_THAT(verdict.findings, IsEmpty());
    EXPECT_EQ(verdict.good.value, "Yes");
    EXPECT_EQ(verdict.back.value, "23 h 59 min");
    EXPECT_EQ(verdict.loss.value, "≤ 1 min");
    const std::string html = page(good());
    EXPECT_THAT(html, HasSubstr(">Yes<"));
    EXPECT_THAT(html, HasSubstr("1 full, 1 delta"));
    EXPECT_THAT(html, Not(HasSubstr("class=\"findings\"")));
}

TEST(Page, TakesEveryTextForHostile) {
    const std::string evil = "</style></td><script>alert('x')</script><img src=x onerror=\"y\">&\xFF\x01\xE2\x80\xAE";
    Facts facts = good();
    facts.storage = facts.owner = facts.program = facts.held = facts.server_problem = evil;
    facts.next_restore.backup = facts.next_restore.problem = evil;
    facts.next_restore.missing = {evil};
    for (Backup& one : facts.backups) one.name = one.parent = one.reason = one.user_data = one.problem = evil;
    facts.backups.push_back(backup(20, 20));
    facts.settings = {{evil, evil, evil}};
    Server server;
    server.archive_problem = server.archive_hint = evil;
    server.status = {{evil + "_problem", evil, evil}};
    server.events = {{evil, evil, evil, evil, evil}};
    server.gaps = {{evil, evil, evil, evil, evil, evil, 1}};
    facts.server = server;
    for (const Facts::State state : {Facts::State::kOn, Facts::State::kError, Facts::State::kOff}) {
        facts.state = state;
        facts.problem = facts.hint = evil;
        const std::string html = page(facts);
        EXPECT_EQ(count_of(html, "<script"), 0U);
        EXPECT_EQ(count_of(html, "<img"), 0U);
        EXPECT_EQ(count_of(html, "</style"), 1U);
        EXPECT_FALSE(std::regex_search(html, std::regex("<[^>]*onerror="))) << "no attribute is broken out of";
        EXPECT_THAT(html, HasSubstr("&lt;script&gt;"));
        for (const char c : html) ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7F)) << "plain ASCII";
    }
    EXPECT_EQ(escaped("a<b>\"'&\xC3\xA4"), "a&lt;b&gt;&quot;&#39;&amp;\xC3\xA4");
    EXPECT_EQ(escaped("\xC0\xAF\xED\xA0\x80\xF5"),
              "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")
        << "neither overlong forms nor halves of pairs";
    EXPECT_EQ(escaped("\xE2\x80\xAEgnp.exe"), "\xEF\xBF\xBDgnp.exe") << "no turned direction";
    EXPECT_EQ(in_ascii(escaped("ä€𝄞")), "&#228;&#8364;&#119070;");
    EXPECT_EQ(escaped(std::string(1000, 'a')), std::string(kMostCharacters, 'a') + "…");
}

TEST(Page, AllowsNothingButItsOwnStylesheet) {
    const std::string html = page(good());
    std::smatch policy;
    ASSERT_TRUE(std::regex_search(html, policy, std::regex("Content-Security-Policy\" content=\"([^\"]*)\"")));
    EXPECT_TRUE(std::regex_match(
        policy[1].str(),
        std::regex("default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='; base-uri 'none'; form-action 'none'")));
    EXPECT_LT(html.find("Content-Security-Policy"), html.find("<style"));
    EXPECT_THAT(html, Not(HasSubstr(" style=\"")));
    EXPECT_THAT(html, Not(HasSubstr("://www")));
}

TEST(Page, StaysSmallWhateverTheBucketHolds) {
    Facts facts = good();
    facts.backups.clear();
    for (std::uint64_t i = 0; i < 10'000; ++i)
        facts.backups.push_back(backup(i * 100, static_cast<std::int64_t>(i * 12)));
    facts.now = hour(120'000);
    WalSummary wal(layout::kDefaultSegmentSize);
    // A million segments, a hole after every third.
    for (std::uint64_t i = 0; i < 1'000'000; ++i)
        wal.add(segment(i + i / 3), 1000, Instant::from_seconds(kFirst + static_cast<std::int64_t>(i) * 400));
    facts.wal = wal.finish(facts.backups, facts.now);
    EXPECT_EQ(facts.wal.objects, 1'000'000U);
    EXPECT_EQ(facts.wal.hole_count, 333'333U);
    EXPECT_THAT(facts.wal.holes, SizeIs(kMostHoles));
    EXPECT_THAT(facts.wal.runs, SizeIs(Le(kMostRuns)));
    EXPECT_THAT(facts.wal.pauses, SizeIs(Le(kMostPauses)));
    const std::string html = page(facts);
    EXPECT_LT(html.size(), kMegabyte);
    EXPECT_THAT(html, HasSubstr("The newest 60 of 10,000 base backups"));
    EXPECT_THAT(html, HasSubstr("The newest 50 of 333,333 holes"));
}

TEST(Page, IsThereWhenThereIsNothing) {
    Facts facts;
    facts.now = hour(0);
    EXPECT_THAT(page(facts), HasSubstr("there is no base backup"));
    EXPECT_EQ(judge(facts).level, Level::kBad);
    facts.state = Facts::State::kOff;
    EXPECT_THAT(page(facts), HasSubstr("Backups are off"));
    facts.state = Facts::State::kError;
    facts.problem = "access denied";
    EXPECT_THAT(page(facts), HasSubstr("the storage could not be read: access denied"));
    EXPECT_EQ(judge(facts).good.value, "Unknown") << "not: No";
}

TEST(WalSummary, FindsHolesAndWhatBridgesThem) {
    WalSummary wal(layout::kDefaultSegmentSize);
    for (const std::uint64_t number : {1, 2, 5, 6, 7, 10, 11})
        wal.add(segment(number), 10, hour(static_cast<std::int64_t>(number)));
    wal.add(segment(11), 10, hour(11));  // by another method as well
    wal.add(segment(11, 2), 10, hour(12));
    wal.add("00000002.history", 10, hour(12));
    const Wal found = wal.finish({backup(2, 2), backup(6, 6)}, hour(13));
    EXPECT_EQ(found.objects, 9U);
    EXPECT_EQ(found.newest, segment(11, 2));
    EXPECT_EQ(found.run_count, 4U);
    ASSERT_THAT(found.holes, SizeIs(2));
    EXPECT_EQ(found.holes[0].first, segment(3));
    EXPECT_EQ(found.holes[0].last, segment(4));
    EXPECT_TRUE(found.holes[0].needed);
    EXPECT_EQ(found.holes[0].bridge, backup(6, 6).name);
    EXPECT_EQ(found.holes[1].segments, 2U);
    EXPECT_EQ(found.holes[1].bridge, "");
    EXPECT_EQ(found.open_segments, 2U);
    const Wal later = wal.finish({backup(6, 6)}, hour(13));
    EXPECT_FALSE(later.holes[0].needed) << "no backup begins before it";

    EXPECT_TRUE(wal.covers({1, 5}, {1, 7}));
    EXPECT_TRUE(wal.covers({2, 11}, {2, 11}));
    EXPECT_FALSE(wal.covers({1, 2}, {1, 5}));
    EXPECT_FALSE(wal.covers({1, 8}, {1, 8}));
    EXPECT_FALSE(wal.covers({1, 0}, {1, 1}));
    EXPECT_FALSE(wal.covers({2, 12}, {2, 12}));
}

TEST(WalSummary, TellsTheLongestPauseOfEachSlice) {
    WalSummary wal(layout::kDefaultSegmentSize);
    wal.add(segment(1), 10, hour(0));
    wal.add(segment(2), 10, hour(10));
    const Wal found = wal.finish({}, hour(24));
    ASSERT_THAT(found.pauses, SizeIs(kMostPauses));
    EXPECT_EQ(found.pauses.front().begin, hour(0));
    EXPECT_EQ(found.pauses.back().end, hour(24));
    double most = 0;
    for (const Pause& pause : found.pauses)
        if (pause.end <= hour(10)) most = std::max(most, pause.seconds);
    EXPECT_NEAR(most, 10 * kHour, kHour / 10.0);
    EXPECT_NEAR(found.pauses.back().seconds, 14 * kHour, 1);
    EXPECT_THAT(WalSummary(layout::kDefaultSegmentSize).finish({}, hour(1)).pauses, IsEmpty());
}

TEST(Verdict, IsNoWhereARestoreToNowFails) {
    Facts facts = good();
    facts.next_restore.missing = {segment(20)};
    EXPECT_EQ(judge(facts).good.value, "No");
    facts = good();
    facts.backups.back().problem = "part is missing";
    const Verdict older = judge(facts);
    EXPECT_EQ(older.good.value, "Yes, but");
    EXPECT_THAT(older.findings.front().text, HasSubstr("part is missing"));
    facts.backups.front().problem = "too";
    EXPECT_EQ(judge(facts).good.value, "No");
    facts = good();
    facts.held = "the newest backup is too old";
    EXPECT_EQ(judge(facts).good.value, "Yes, but");
    facts = good();
    facts.server = Server();
    facts.server->archive_problem = "access denied";
    EXPECT_EQ(judge(facts).good.value, "No");
    facts.server->archive_problem.clear();
    facts.server->risk_seconds = 0;
    EXPECT_EQ(judge(facts).loss.value, "Nothing");
}

TEST(FactsJson, TakesWhatAServerOfAnyVersionTells) {
    EXPECT_FALSE(parse_server("nonsense").ok());
    EXPECT_FALSE(parse_server("[]").ok());
    EXPECT_TRUE(parse_server("{}").ok());
    const auto server = parse_server(
        R"({"archive_status":{"state":"on","backlog_files":3,"last_archived_time":"2026-11-22T09:17:34.5+01:00"},
        "status":[{"name":"state","value":"on","detail":null},7],"events":{"no":"array"},"gaps":null,"new":[1]})");
    ASSERT_TRUE(server.ok());
    EXPECT_EQ(server->archive_state, "on");
    EXPECT_EQ(server->backlog_files, 3U);
    EXPECT_EQ(format_rfc3339(server->last_archived_at), "2026-11-22T08:17:34.5Z");
    EXPECT_THAT(server->status, SizeIs(1));
    EXPECT_THAT(server->events, IsEmpty());
    EXPECT_THAT(facts_json(good()), HasSubstr("\"level\":\"good\""));
}

TEST(Markup, WritesFiguresForPeople) {
    EXPECT_EQ(span_text(0), "0 s");
    EXPECT_EQ(span_text(0.4), "< 1 s");
    EXPECT_EQ(span_text(61), "1 min 1 s");
    EXPECT_EQ(span_text(4 * 86400 + 3 * 3600 + 59), "4 d 3 h");
    EXPECT_EQ(count_text(1234567), "1,234,567");
    EXPECT_EQ(time_text(Instant{}), "–");
    EXPECT_EQ(coordinate(12.3404), "12.34");
    EXPECT_EQ(coordinate(10), "10");
}

}  // namespace
}  // namespace forge::report
