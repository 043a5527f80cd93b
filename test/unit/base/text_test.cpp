#include "core/base/text.h"

#include <gtest/gtest.h>

namespace forge {
namespace {

TEST(Text, TrimTakesWhitespaceOffBothEnds) {
    EXPECT_EQ(trim(" \t a b\r\n"), "a b");
    EXPECT_EQ(trim(" \n "), "");
    EXPECT_EQ(trim(""), "");
}

TEST(Text, SplitKeepsEmptyPieces) {
    EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string>{"a", "", "b", ""}));
    EXPECT_EQ(split("", ','), (std::vector<std::string>{""}));
}

TEST(Text, NumbersMustFillTheTextAndFitTheType) {
    EXPECT_EQ(parse_number<int>("-12"), -12);
    EXPECT_EQ(parse_number<std::uint64_t>("18446744073709551615"), 18446744073709551615U);
    EXPECT_EQ(parse_number<std::uint32_t>("FF", 16), 255U);
    for (const char* text : {"", " 1", "1 ", "1x", "+1", "256"}) {
        EXPECT_FALSE(parse_number<std::uint8_t>(text)) << text;
    }
}

TEST(Text, BooleansInEveryForm) {
    for (const char* text : {"true", "T", "1", "on", "Yes"}) EXPECT_EQ(parse_bool(text), true) << text;
    for (const char* text : {"FALSE", "f", "0", "Off", "no"}) EXPECT_EQ(parse_bool(text), false) << text;
    for (const char* text : {"", "2", "maybe", "tru"}) EXPECT_FALSE(parse_bool(text)) << text;
}

TEST(Text, ShellWordsAreQuotedWhereNeeded) {
    EXPECT_EQ(shell_quoted("/usr/bin/x-1.0"), "/usr/bin/x-1.0");
    EXPECT_EQ(shell_quoted("2026-11-22 09:17:34+00"), "'2026-11-22 09:17:34+00'");
    EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
    EXPECT_EQ(shell_quoted(""), "''");
    EXPECT_EQ(shell_quoted("$(rm)"), "'$(rm)'");
    EXPECT_EQ(quoted("a b"), "\"a b\"");
}

}  // namespace
}  // namespace forge
