#include "core/layout/json_text.h"

#include <gtest/gtest.h>

namespace forge::layout {
namespace {

std::vector<std::pair<std::string, std::string>> members_of(const std::string& text) {
    std::vector<std::pair<std::string, std::string>> members;
    const auto object = JsonValue::parse_object(text, "test");
    EXPECT_TRUE(object.ok()) << text;
    if (!object.ok()) return members;
    const Status status = object->each_member([&](const JsonValue& member) {
        members.emplace_back(member.name(), member.text());
        return Status();
    });
    EXPECT_TRUE(status.ok());
    return members;
}

// A library that stops at a zero byte takes what follows for granted: as user data it made a sentinel unreadable.
TEST(JsonText, ZeroBytesAndByteOrderMarksAreNoJson) {
    EXPECT_TRUE(is_json("8\n"));
    EXPECT_FALSE(is_json(std::string_view("8\n\0", 3)));
    EXPECT_FALSE(is_json(std::string_view("{}\0}", 4)));
    EXPECT_FALSE(is_json("\xEF\xBB\xBF{}"));
}

TEST(JsonValue, CutsAnObjectIntoItsMembers) {
    using Members = std::vector<std::pair<std::string, std::string>>;
    EXPECT_EQ(members_of("{}"), Members());
    EXPECT_EQ(members_of("\t{ \r\n}"), Members());
    EXPECT_EQ(members_of(R"({"a":1,"b" : -2.5e3 ,"c":true})"), (Members{{"a", "1"}, {"b", "-2.5e3"}, {"c", "true"}}));
    EXPECT_EQ(members_of(R"({"a":{"x":"}\"]"},"b":[[],{"y":[1]}] })"),
              (Members{{"a", R"({"x":"}\"]"})"}, {"b", R"([[],{"y":[1]}])"}}));
    EXPECT_EQ(members_of(R"({"\u0041\n":"\\","":""})"), (Members{{"A\n", R"("\\")"}, {"", R"("")"}}));
}

TEST(JsonValue, DeepNestingNeedsNoStack) {
    constexpr std::size_t kDepth = 200'000;
    const std::string nested = std::string(kDepth, '[') + std::string(kDepth, ']');
    const auto members = members_of("{\"a\":" + nested + "}");
    ASSERT_EQ(members.size(), 1U);
    EXPECT_EQ(members[0].second, nested);
}

TEST(JsonValue, StopsAtTheFirstFailureOfTheVisitor) {
    const auto object = JsonValue::parse_object(R"({"a":1,"b":2})", "test");
    ASSERT_TRUE(object.ok());
    int visited = 0;
    const Status status = object->each_member([&](const JsonValue&) {
        ++visited;
        return Status(Kind::kCorrupt, "stop");
    });
    EXPECT_TRUE(status.is(Kind::kCorrupt));
    EXPECT_EQ(visited, 1);
}

TEST(JsonString, Utf8) {
    EXPECT_TRUE(is_utf8("\xC3\xA9\xE2\x82\xAC"));
    EXPECT_FALSE(is_utf8("\xff"));
    EXPECT_FALSE(is_utf8("\xC3"));
    EXPECT_EQ(json_string("\xff", false), "\"\xEF\xBF\xBD\"");
}

}  // namespace
}  // namespace forge::layout
