#include "core/restore/marker.h"

#include <gtest/gtest.h>

namespace forge::restore {
namespace {

Marker shop() {
    Marker marker;
    marker.source = "s3://bucket/spilo/site-shop/wal/15";
    marker.source_cluster = "shop";
    marker.system_identifier = 7'123'456'789'012'345'678;
    marker.backup = "base_000000010000000000000005";
    marker.target = "time 2026-11-22 09:30:00+00";
    marker.reached = "2026-11-22 09:29:58.5+00";
    marker.restored_at = Instant::from_micros(1'795'000'000'000'000);
    return marker;
}

TEST(Marker, IsReadAsItWasWritten) {
    const auto read = parse_marker(marker_text(shop()));
    ASSERT_TRUE(read);
    EXPECT_EQ(marker_text(*read), marker_text(shop()));
    EXPECT_EQ(read->restored_at, shop().restored_at);
}

TEST(Marker, ToleratesWhatItDoesNotKnow) {
    EXPECT_FALSE(parse_marker(""));
    EXPECT_FALSE(parse_marker("source_cluster = shop\n"));
    EXPECT_FALSE(parse_marker("source = file:///b\nrestored_at = soon\n"));
    const auto read = parse_marker("# hello\ncolour = red\nsource = file:///b\nsystem_identifier = many\n"
                                   "restored_at = 2026-11-22 09:31:00+00\n");
    ASSERT_TRUE(read);
    EXPECT_EQ(read->source, "file:///b");
    EXPECT_EQ(read->system_identifier, 0U);
}

TEST(Marker, TellsACloneByItsName) {
    EXPECT_TRUE(is_clone(shop(), "copy", "s3://bucket/spilo/site-copy/wal/15"));
    EXPECT_TRUE(is_clone(shop(), "copy", shop().source)) << "also where it is told to write into its source";
    EXPECT_FALSE(is_clone(shop(), "shop", shop().source));
    EXPECT_FALSE(is_clone(shop(), "shop", "s3://bucket/elsewhere")) << "the cluster has moved";
    EXPECT_FALSE(is_clone(shop(), "", "s3://bucket/elsewhere"));
    Marker nameless = shop();
    nameless.source_cluster.clear();
    EXPECT_FALSE(is_clone(nameless, "copy", "s3://bucket/elsewhere"));
}

// Where the prefix has no owner record, as WAL-G leaves it.
TEST(Marker, KnowsTheSiteInFrontOfAName) {
    Marker marker = shop();
    marker.source_cluster = "site-shop";
    EXPECT_FALSE(is_clone(marker, "shop", marker.source));
    EXPECT_TRUE(is_clone(marker, "shop", "s3://bucket/spilo/shop/wal/15"));
    EXPECT_TRUE(is_clone(marker, "hop", marker.source));
}

}  // namespace
}  // namespace forge::restore
