#include "core/wal/timelines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::wal {
namespace {

using repository::BackupEntry;
using testing::ElementsAre;
using testing::IsEmpty;

BackupEntry backup(const std::string& segment, Lsn start, Lsn finish) {
    BackupEntry entry;
    entry.name = layout::full_backup_name(segment);
    entry.start_segment = segment;
    entry.sentinel.start_lsn = start;
    entry.sentinel.finish_lsn = finish;
    return entry;
}

TEST(SegmentSize, FollowsFromNameAndPosition) {
    EXPECT_EQ(segment_size_of(backup("000000010000000000000003", 0x3000028, 0)), 16ULL << 20);
    EXPECT_EQ(segment_size_of(backup("000000010000000000000030", 0x3000028, 0)), 1ULL << 20);
    EXPECT_EQ(segment_size_of(backup("000000010000000000000003", 0x4000000, 0)), 16ULL << 20) << "a standby's";
    EXPECT_EQ(segment_size_of(backup("000000010000000200000000", 0x200000028, 0)), std::nullopt) << "fits several";
    EXPECT_EQ(segment_size_of(backup("000000010000000000000077", 0x3000028, 0)), std::nullopt);
    EXPECT_EQ(last_segment_of(backup("000000010000000000000003", 0x3000028, 0x5000000), 1 << 20),
              "000000010000000000000004");
}

TEST(SummarizeTimelines, FindsRangesGapsParentsAndBackups) {
    Histories histories;
    histories.of[2] = {{1, 0x9000E98, "no reason"}};
    const std::vector<BackupEntry> backups{backup("000000010000000000000003", 0x3000028, 0x3000100),
                                           backup("000000010000000000000005", 0x5000028, 0x6000100),
                                           backup("000000010000000000000001", 0x1000028, 0x1000100)};
    const auto summaries =
        summarize_timelines({"000000010000000000000002", "000000010000000000000003", "000000010000000000000006",
                             "000000020000000000000009", "000000020000000000000FFF"},
                            16 << 20, histories, backups);
    ASSERT_EQ(summaries.size(), 2U);
    EXPECT_EQ(summaries[0].timeline, 1U);
    EXPECT_EQ(summaries[0].parent, 0U);
    EXPECT_EQ(summaries[0].range(), 5U);
    EXPECT_EQ(summaries[0].count, 3U);
    EXPECT_FALSE(summaries[0].complete());
    EXPECT_THAT(summaries[0].missing, ElementsAre(4, 5));
    EXPECT_THAT(summaries[0].backups, ElementsAre(&backups[1], &backups[0])) << "newest first, the rest is outside";
    EXPECT_EQ(summaries[1].parent, 1U);
    EXPECT_EQ(summaries[1].switch_point, 0x9000E98U);
    EXPECT_EQ(summaries[1].first, 9U);
    EXPECT_EQ(summaries[1].count, 1U) << "W9: a name whose last group is too large is no segment";
    EXPECT_TRUE(summaries[1].complete());
    EXPECT_THAT(summaries[1].backups, IsEmpty());
}

TEST(SummarizeTimelines, BoundsTheListOfMissingSegments) {
    const auto summaries =
        summarize_timelines({"000000010000000000000001", "00000001000FFFFF00000000"}, 16 << 20, {}, {});
    EXPECT_EQ(summaries[0].missing.size(), kMostMissing);
    EXPECT_EQ(summaries[0].count, 2U);
}

}  // namespace
}  // namespace forge::wal
