#include "core/repository/restore_points.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/layout/json_text.h"

namespace forge::repository {
namespace {

using testing::HasSubstr;

const std::string kSegment = "000000010000000000000008";

RestorePoints points_of(const std::vector<std::string>& names) {
    RestorePoints points{kSegment, {}, 0};
    for (const std::string& name : names)
        points.points.push_back({kSegment, name, 0x800F908, Instant::from_micros(1'700'000'000'123'456)});
    return points;
}

std::string problem_of(const std::string& json) {
    const auto parsed = parse_restore_points(json, kSegment);
    return parsed.ok() ? "none" : parsed.status().message();
}

TEST(RestorePoints, NamesOfAnyBytesComeBack) {
    std::string all;
    for (int byte = 1; byte < 64; ++byte) all += static_cast<char>(byte);
    std::string high;
    for (int byte = 128; byte < 191; ++byte) high += static_cast<char>(byte);
    const std::vector<std::string> names{"before_upgrade", "\"quoted\" \\ and \n", "f\xC3\xBCr \xF0\x9F\x8D\x80",
                                         "f\xFCr", all, high};
    RestorePoints points = points_of(names);
    points.left_out = 3;
    const std::string json = restore_points_json(points);
    EXPECT_TRUE(layout::is_json(json)) << json;
    for (const char c : json) EXPECT_TRUE(c == '\n' || (c >= 32 && c < 127)) << "only ASCII";
    const auto parsed = parse_restore_points(json, kSegment);
    ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
    ASSERT_EQ(parsed->points.size(), names.size());
    EXPECT_EQ(parsed->left_out, 3U);
    for (std::size_t i = 0; i < names.size(); ++i) {
        EXPECT_EQ(parsed->points[i].name, names[i]);
        EXPECT_EQ(parsed->points[i].segment, kSegment);
        EXPECT_EQ(parsed->points[i].lsn, 0x800F908U);
        EXPECT_EQ(parsed->points[i].time.micros(), 1'700'000'000'123'456);
        EXPECT_EQ(parsed->points[i].timeline(), 1U);
    }
}

TEST(RestorePoints, UnknownMembersAreIgnored) {
    const auto parsed = parse_restore_points(
        R"({"new":[1],"format":1,"segment":")" + kSegment +
            R"(","restore_points":[{"more":{},"name":"x","lsn":"0/8000028","time":"2026-11-22T09:17:34Z"}]})",
        kSegment);
    ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
    EXPECT_EQ(parsed->points.at(0).name, "x");
}

TEST(RestorePoints, WhatIsNoneIsRefusedByName) {
    const std::string good = restore_points_json(points_of({"x"}));
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string json = good;
        return json.replace(json.find(from), from.size(), to);
    };
    EXPECT_EQ(problem_of(good), "none");
    for (const std::string& json :
         {std::string(), std::string("nonsense"), std::string("[]"), std::string("{}"), good.substr(0, 40),
          with("\"format\":1", "\"format\":2"), with("\"format\":1", "\"format\":\"1\""), with("08\"", "09\""),
          with("0/800F908", "here"), with("\"name\":\"x\"", "\"name\":\"\""), with("\"name\":\"x\"", "\"name_hex\":\"7\""),
          with("\"name\":\"x\"", "\"name_hex\":\"00\""), with("2023-11-14", "yesterday")})
        EXPECT_THAT(problem_of(json), HasSubstr("forge_restore_points/" + kSegment + ".json")) << json;
    EXPECT_TRUE(parse_restore_points(with("\"format\":1", "\"format\":2"), kSegment).status().is(Kind::kInvalid));
    EXPECT_TRUE(parse_restore_points(with("08\"", "09\""), kSegment).status().is(Kind::kCorrupt))
        << "that of another segment";
}

TEST(RestorePoints, KeysAreNamedAfterSegments) {
    EXPECT_EQ(layout::restore_points_key(kSegment), "forge_restore_points/" + kSegment + ".json");
    EXPECT_EQ(layout::segment_of_restore_points("forge_restore_points/" + kSegment + ".json"), kSegment);
    for (const std::string& key : {"forge_restore_points/" + kSegment, "forge_restore_points/" + kSegment + ".json.tmp",
                                   std::string("forge_restore_points/.json"), "wal_005/" + kSegment + ".json",
                                   std::string("forge_restore_points/00000002.history.json")})
        EXPECT_FALSE(layout::segment_of_restore_points(key)) << key;
}

}  // namespace
}  // namespace forge::repository
