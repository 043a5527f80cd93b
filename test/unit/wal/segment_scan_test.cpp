#include "core/wal/segment_scan.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;

constexpr std::size_t kPiece = 64 << 10;

SegmentEvents scan(const Bytes& segment, std::uint64_t number, std::size_t piece = kPiece, ByteView before = {}) {
    SegmentScan scan(number, segment.size());
    ByteView rest(segment);
    scan.begin(rest.first(std::min(piece, rest.size())), before);
    while (!rest.empty()) {
        const std::size_t length = std::min(piece, rest.size());
        scan.take(rest.first(length));
        rest = rest.subspan(length);
    }
    return scan.events();
}

std::uint32_t last_xid(const SegmentEvents& events) { return events.last_end ? events.last_end->xid : 0; }

std::vector<std::string> names(const SegmentEvents& events) {
    std::vector<std::string> names;
    for (const WalEvent& event : events.restore_points) names.push_back(event.name);
    return names;
}

ByteView last_page(const Bytes& segment) { return ByteView(segment).last(8192); }

// Up to so many bytes before the end of the first segment.
void fill_to_border(WalBuilder& wal, std::size_t keep) {
    wal.add_filler(kMegabyte - 16384 - (wal.position() - 5 * kMegabyte));
    while (wal.position() < 6 * kMegabyte - 8192) wal.add_filler(8);
    wal.fill_page(keep);
}

TEST(SegmentScan, FindsTheLastEndOfATransaction) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.add_filler(200'000);
    wal.add_commit(2, 2'000'000);
    wal.add_filler(100);
    for (const std::size_t piece : {kPiece, 4 * kPiece, std::size_t{kMegabyte}}) {
        const SegmentEvents events = scan(wal.segments()[0], 5, piece);
        EXPECT_EQ(last_xid(events), 2U) << piece;
        EXPECT_EQ(events.last_end->time.micros(), 2'000'000);
    }
}

TEST(SegmentScan, WhatTheServerWroteIsFoundAsTheReaderOfRestoresFindsIt) {
    const auto repository = repository_in(FORGE_TEST_DATA "/walg/main/store", golden_settings());
    for (const std::uint64_t number : {4, 6, 8}) {
        const auto stored = repository->open_wal(layout::segment_name({1, number}, layout::kDefaultSegmentSize), {});
        ASSERT_TRUE(stored.ok());
        const std::string text = read_all_text_of(**stored);
        const Bytes segment(text.begin(), text.end());
        std::optional<WalEvent> last;
        std::vector<std::string> points;
        RecordReader reader([&](const WalEvent& event) {
            if (event.ends_transaction()) last = event;
            if (event.type == WalEvent::Type::kRestorePoint) points.push_back(event.name);
            return true;
        });
        MemorySource source(segment);
        ASSERT_TRUE(reader.feed(source, number, layout::kDefaultSegmentSize).ok());
        const SegmentEvents events = scan(segment, number);
        ASSERT_TRUE(last && events.last_end);
        EXPECT_EQ(events.last_end->end_lsn, last->end_lsn);
        EXPECT_EQ(events.last_end->time, last->time);
        EXPECT_EQ(names(events), points);
    }
}

// Wherever in the record the border is.
TEST(SegmentScan, ARestorePointAcrossABorderIsInTheSegmentWhereItEnds) {
    for (std::size_t keep = 8; keep <= 96; keep += 8) {
        WalBuilder wal(5, kMegabyte);
        wal.add_restore_point("whole", 1'000'000);
        fill_to_border(wal, keep);
        ASSERT_LT(wal.position(), 6 * kMegabyte);
        wal.add_restore_point("across", 2'000'000);
        wal.add_restore_point("after", 3'000'000);
        const auto segments = wal.segments();
        ASSERT_EQ(segments.size(), 2U);
        EXPECT_EQ(names(scan(segments[0], 5)), std::vector<std::string>{"whole"}) << keep;
        const Continued record = continued_record(segments[1]);
        EXPECT_TRUE(record.is_wanted) << keep;
        EXPECT_EQ(record.page_size, 8192U);
        EXPECT_EQ(record.timeline, 1U);
        const SegmentEvents events = scan(segments[1], 6, kPiece, last_page(segments[0]));
        EXPECT_EQ(names(events), (std::vector<std::string>{"across", "after"})) << keep;
        EXPECT_EQ(events.restore_points.front().time.micros(), 2'000'000);
        EXPECT_EQ(names(scan(segments[1], 6)), std::vector<std::string>{"after"}) << "without the page before";
        const ByteView another = ByteView(segments[0]).first(8192);
        EXPECT_EQ(names(scan(segments[1], 6, kPiece, another)), std::vector<std::string>{"after"});
    }
}

TEST(SegmentScan, ALongRecordAcrossABorderIsNotWanted) {
    WalBuilder wal(5, kMegabyte);
    fill_to_border(wal, 24);
    wal.add_filler(500);
    wal.add_commit(2, 2'000'000);
    EXPECT_FALSE(continued_record(wal.segments()[1]).is_wanted);
    EXPECT_EQ(last_xid(scan(wal.segments()[1], 6, kPiece, last_page(wal.segments()[0]))), 2U);
    EXPECT_FALSE(continued_record(wal.segments()[0]).is_wanted) << "nothing goes on there";
}

TEST(SegmentScan, ACommitAcrossABorderIsInTheSegmentWhereItEnds) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    fill_to_border(wal, 24);
    wal.add_commit(2, 2'000'000);
    wal.add_filler(100);
    EXPECT_EQ(last_xid(scan(wal.segments()[0], 5)), 1U);
    EXPECT_EQ(last_xid(scan(wal.segments()[1], 6)), 0U);
    EXPECT_EQ(last_xid(scan(wal.segments()[1], 6, kPiece, last_page(wal.segments()[0]))), 2U);
}

TEST(SegmentScan, RestorePointsOfAllPagesAreFound) {
    WalBuilder wal(5, kMegabyte);
    std::vector<std::string> expected;
    for (int i = 0; i < 300; ++i) {
        wal.add_filler(static_cast<std::size_t>(1000 + i));
        expected.push_back("point " + std::to_string(i));
        wal.add_restore_point(expected.back(), i * 1'000'000);
    }
    EXPECT_EQ(names(scan(wal.segments()[0], 5)), expected);
}

TEST(SegmentScan, OfTooManyRestorePointsTheRestIsCounted) {
    constexpr std::uint64_t kSize = 4 * kMegabyte;
    WalBuilder wal(5, kSize);
    for (std::size_t i = 0; i < kMostRestorePoints + 7; ++i) wal.add_restore_point(std::to_string(i), 0);
    const SegmentEvents events = scan(wal.segments()[0], 5);
    ASSERT_EQ(events.restore_points.size(), kMostRestorePoints);
    EXPECT_EQ(events.restore_points.back().name, std::to_string(kMostRestorePoints - 1));
    EXPECT_EQ(events.restore_points_left_out, 7U);
}

TEST(SegmentScan, ADamagedEventDoesNotCount) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    const Lsn damaged = wal.add_commit(2, 2'000'000);
    Bytes segment = wal.segments()[0];
    segment[damaged - 5 * kMegabyte + 30] ^= 1;
    EXPECT_EQ(last_xid(scan(segment, 5)), 1U);
}

TEST(SegmentScan, WhatIsNoWalHasNone) {
    const Bytes noise(kMegabyte, 0x77);
    EXPECT_FALSE(scan(noise, 5).last_end);
    EXPECT_FALSE(continued_record(noise).is_wanted);
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    EXPECT_FALSE(scan(wal.segments()[0], 6).last_end) << "another segment than its name says";
}

}  // namespace
}  // namespace forge::wal
