#include "core/wal/segment_scan.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;

constexpr std::size_t kPiece = 64 << 10;

std::optional<WalEvent> scan(const Bytes& segment, std::uint64_t number, std::size_t piece = kPiece) {
    SegmentScan scan(number, segment.size());
    ByteView rest(segment);
    while (!rest.empty()) {
        const std::size_t length = std::min(piece, rest.size());
        scan.take(rest.first(length));
        rest = rest.subspan(length);
    }
    return scan.last_end();
}

std::uint32_t last_xid(const std::optional<WalEvent>& found) { return found ? found->xid : 0; }

TEST(SegmentScan, FindsTheLastEndOfATransaction) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.add_filler(200'000);
    wal.add_commit(2, 2'000'000);
    wal.add_filler(100);
    for (const std::size_t piece : {kPiece, 4 * kPiece, std::size_t{kMegabyte}}) {
        const auto found = scan(wal.segments()[0], 5, piece);
        EXPECT_EQ(last_xid(found), 2U) << piece;
        EXPECT_EQ(found->time.micros(), 2'000'000);
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
        RecordReader reader([&](const WalEvent& event) {
            if (event.ends_transaction()) last = event;
            return true;
        });
        MemorySource source(segment);
        ASSERT_TRUE(reader.feed(source, number, layout::kDefaultSegmentSize).ok());
        const auto found = scan(segment, number);
        ASSERT_TRUE(last && found);
        EXPECT_EQ(found->end_lsn, last->end_lsn);
        EXPECT_EQ(found->time, last->time);
    }
}

TEST(SegmentScan, ACommitAcrossABorderIsInNeitherSegment) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.add_filler(kMegabyte - 16384);
    while (wal.position() < 6 * kMegabyte - 8192) wal.add_filler(8);
    wal.fill_page(24);
    wal.add_commit(2, 2'000'000);
    wal.add_filler(100);
    EXPECT_EQ(last_xid(scan(wal.segments()[0], 5)), 1U);
    EXPECT_EQ(last_xid(scan(wal.segments()[1], 6)), 0U);
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
    const auto found = scan(noise, 5);
    EXPECT_FALSE(found);
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    EXPECT_FALSE(scan(wal.segments()[0], 6)) << "another segment than its name says";
}

}  // namespace
}  // namespace forge::wal
