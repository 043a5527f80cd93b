#include "core/wal/integrity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forge::wal {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint64_t kSize = 16 << 20;
const Instant kNow = Instant::from_seconds(1'800'000'000);

Instant ago(std::int64_t span) { return Instant::from_seconds(kNow.seconds() - span); }

// Timeline 2 left timeline 1 in segment 9.
class IntegrityTest : public testing::Test {
protected:
    void SetUp() override { histories_.of[2] = {{1, 0x9000E98, "no reason"}}; }
    void archive(Timeline timeline, std::uint64_t first, std::uint64_t last, std::int64_t age = 3600) {
        for (std::uint64_t number = first; number <= last; ++number) archived_[{timeline, number}] = ago(age);
    }
    // Segments 3..(head-1) are wanted.
    IntegrityReport check(std::uint64_t head, std::uint64_t most_delayed = 0) {
        return check_integrity(archived_, histories_,
                               {.timeline = 2,
                                .position = head * kSize + 1,
                                .first = 3,
                                .segment_size = kSize,
                                .most_delayed = most_delayed,
                                .most_uploading = 16,
                                .now = kNow});
    }
    std::map<layout::Segment, Instant> archived_;
    Histories histories_;
};

TEST_F(IntegrityTest, CrossesTimelines) {
    archive(1, 2, 8);
    archive(2, 9, 11);
    const IntegrityReport report = check(12);
    EXPECT_EQ(report.status, CheckStatus::kOk);
    ASSERT_THAT(report.rows, SizeIs(2));
    EXPECT_EQ(report.rows[0].timeline, 1U);
    EXPECT_EQ(report.rows[0].first, 3U);
    EXPECT_EQ(report.rows[0].last, 8U);
    EXPECT_EQ(report.rows[1].timeline, 2U);
    EXPECT_EQ(report.rows[1].count(), 3U);
    EXPECT_THAT(check(4).rows, SizeIs(1)) << "the segment of the position itself is not looked for";
    EXPECT_THAT(check(3).rows, IsEmpty());
}

// A standby may go on with a backup across a timeline switch.
TEST_F(IntegrityTest, ABackupLeadsOnFromWhereItEnded) {
    const HistoryMap histories{{2, {{1, 0x9000E98, ""}}}, {3, {{1, 0x9000E98, ""}, {2, 0xA000000, ""}}}, {4, {{1, 0x9000E98, ""}}}};
    repository::BackupEntry backup;
    backup.start_segment = "000000010000000000000008";
    backup.sentinel.finish_lsn = 0x9800000;
    EXPECT_FALSE(leads_to(histories, 2, backup, kSize)) << "it ended after the switch, on timeline 1";
    backup.sentinel.finish_timeline = 2;
    EXPECT_TRUE(leads_to(histories, 2, backup, kSize));
    EXPECT_TRUE(leads_to(histories, 3, backup, kSize));
    EXPECT_FALSE(leads_to(histories, 1, backup, kSize));
    EXPECT_FALSE(leads_to(histories, 4, backup, kSize));
}

TEST_F(IntegrityTest, W10AnOldGapIsALossHoweverCloseItIs) {
    archive(1, 3, 8);
    archive(2, 9, 11);
    archived_.erase({2, 10});
    const IntegrityReport report = check(12);
    EXPECT_EQ(report.status, CheckStatus::kFailure);
    ASSERT_THAT(report.rows, SizeIs(4));
    EXPECT_EQ(report.rows[2].state, SegmentState::kMissingLost);
    EXPECT_EQ(report.rows[2].first, 10U);
    // The segment at the position says so, too.
    archived_.erase({2, 11});
    EXPECT_EQ(check(12).status, CheckStatus::kWarning) << "nothing newer is there";
    archived_[{2, 12}] = ago(3600);
    EXPECT_EQ(check(12).status, CheckStatus::kFailure);
}

TEST_F(IntegrityTest, WhatIsOnItsWayIsAWarning) {
    archive(1, 3, 8);
    archive(2, 9, 9);
    IntegrityReport report = check(12);
    EXPECT_EQ(report.status, CheckStatus::kWarning);
    EXPECT_EQ(report.rows.back().state, SegmentState::kMissingUploading);
    report = check(12, 1);
    ASSERT_THAT(report.rows, SizeIs(4));
    EXPECT_EQ(report.rows[3].state, SegmentState::kMissingDelayed);
    EXPECT_EQ(report.rows[2].state, SegmentState::kMissingUploading);
    // Uploads overtake each other.
    archived_[{2, 11}] = ago(2);
    EXPECT_EQ(check(12).status, CheckStatus::kWarning);
    EXPECT_EQ(check(40).status, CheckStatus::kFailure) << "too many for all of them to be on their way";
}

TEST(CheckTimeline, ComparesWithTheHighest) {
    repository::WalListing listing;
    EXPECT_EQ(check_timeline(listing, 1).status, CheckStatus::kWarning);
    listing.segments = {"000000010000000000000009", "000000020000000000000009"};
    EXPECT_EQ(check_timeline(listing, 2).status, CheckStatus::kOk);
    listing.histories = {"00000003.history"};
    EXPECT_EQ(check_timeline(listing, 2).status, CheckStatus::kFailure);
    EXPECT_EQ(check_timeline(listing, 2).highest, 3U);
}

}  // namespace
}  // namespace forge::wal
