#include "core/layout/history.h"

#include <gtest/gtest.h>

namespace forge::layout {
namespace {

TEST(History, ReadsAncestorsOldestFirst) {
    const auto entries = parse_history(
        "# comment\n1\t0/9000E98\tno recovery target specified\n\n  2\tA/1F \tbefore 2026-11-22 09:17:34+00\n");
    ASSERT_TRUE(entries.ok()) << entries.status().to_string();
    ASSERT_EQ(entries->size(), 2U);
    EXPECT_EQ((*entries)[0].timeline, 1U);
    EXPECT_EQ((*entries)[0].switch_point, 0x9000E98U);
    EXPECT_EQ((*entries)[0].reason, "no recovery target specified");
    EXPECT_EQ((*entries)[1].timeline, 2U);
    EXPECT_EQ((*entries)[1].switch_point, 0xA0000001FU);
    EXPECT_EQ((*entries)[1].reason, "before 2026-11-22 09:17:34+00");
}

TEST(History, AcceptsMissingReasonAndMissingNewline) {
    const auto entries = parse_history("7\t1/0");
    ASSERT_TRUE(entries.ok());
    ASSERT_EQ(entries->size(), 1U);
    EXPECT_EQ(entries->front().switch_point, 0x100000000U);
    EXPECT_TRUE(parse_history("").value().empty());
}

TEST(History, RefusesWhatMakesNoSense) {
    for (const char* text : {"x\t0/1\n", "1\n", "1\t9000E98\n", "0\t0/1\n", "2\t0/1\n1\t0/2\n", "1\t0/2\n1\t0/3\n",
                             "1\t0/5\n2\t0/4\n", "<html>"}) {
        const auto entries = parse_history(text);
        ASSERT_FALSE(entries.ok()) << text;
        EXPECT_TRUE(entries.status().is(Kind::kCorrupt)) << text;
    }
}

TEST(History, NamesAreUpperCaseHex) {
    EXPECT_EQ(history_name(2), "00000002.history");
    EXPECT_EQ(history_name(0xABCDEF), "00ABCDEF.history");
}

}  // namespace
}  // namespace forge::layout
