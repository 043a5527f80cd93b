#include "core/wal/record_reader.h"

#include <gmock/gmock.h>

#include "core/wal/page_header.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using Type = WalEvent::Type;

struct Expected {
    Type type;
    Lsn lsn, end_lsn;
    std::uint32_t xid;
    const char* what;  // time of the transaction, or name
};
// As the server's own tool for reading WAL prints the golden segments.
const Expected kTimeline1[] = {
    {Type::kCheckpoint, 0x2000028, 0x20000A0, 0, ""},
    {Type::kCheckpoint, 0x3000060, 0x30000D8, 0, ""},
    {Type::kCommit, 0x4010BD0, 0x4010BF8, 743, "2026-11-22 09:17:33.279691+00"},
    {Type::kCommit, 0x404BA00, 0x404BA28, 744, "2026-11-22 09:17:33.293207+00"},
    {Type::kCommit, 0x4056E98, 0x4056EC0, 745, "2026-11-22 09:17:33.294349+00"},
    {Type::kCommit, 0x40C6C00, 0x40C6C28, 746, "2026-11-22 09:17:33.295645+00"},
    {Type::kCommit, 0x40E6290, 0x40E62F8, 747, "2026-11-22 09:17:33.297238+00"},
    {Type::kCommit, 0x40ED300, 0x40ED4D8, 748, "2026-11-22 09:17:33.298381+00"},
    {Type::kCommit, 0x410BD10, 0x410C170, 749, "2026-11-22 09:17:33.300334+00"},
    {Type::kCommit, 0x410FA18, 0x410FA40, 750, "2026-11-22 09:17:33.300999+00"},
    {Type::kCommit, 0x4110E28, 0x4110EA0, 751, "2026-11-22 09:17:33.301371+00"},
    {Type::kCommit, 0x4110EE0, 0x4110F08, 752, "2026-11-22 09:17:33.30195+00"},
    {Type::kCheckpoint, 0x4110F40, 0x4110FB8, 0, ""},
    {Type::kCheckpoint, 0x5000060, 0x50000D8, 0, ""},
    {Type::kCommit, 0x60111E8, 0x6011210, 753, "2026-11-22 09:17:35.453122+00"},
    {Type::kCommit, 0x60283C8, 0x60283F0, 754, "2026-11-22 09:17:35.454154+00"},
    {Type::kCommit, 0x602D868, 0x602D890, 755, "2026-11-22 09:17:35.454731+00"},
    {Type::kCheckpoint, 0x602D8C8, 0x602D940, 0, ""},
    {Type::kCheckpoint, 0x7000060, 0x70000D8, 0, ""},
    {Type::kCommit, 0x800E4F8, 0x800E520, 756, "2026-11-22 09:17:37.625043+00"},
    {Type::kCommit, 0x800F878, 0x800F8A0, 757, "2026-11-22 09:17:37.626616+00"},
    {Type::kRestorePoint, 0x800F8A0, 0x800F908, 0, "rp_tl1"},
};
constexpr int kRecordsOfTimeline1 = 4350;
const Expected kTimeline2[] = {
    {Type::kCommit, 0x9000E70, 0x9000E98, 758, "2026-11-22 09:17:39.690919+00"},
    {Type::kCheckpoint, 0x9000E98, 0x9000F10, 0, ""},
    {Type::kCommit, 0x900F160, 0x900F188, 759, "2026-11-22 09:17:40.778153+00"},
    {Type::kCommit, 0x900F1D8, 0x900F200, 760, "2026-11-22 09:17:40.779029+00"},
    {Type::kRestorePoint, 0x900F200, 0x900F268, 0, "rp_tl2"},
};

class Reading {
public:
    Status feed(Source& source, std::uint64_t number, std::uint64_t size = kMegabyte) {
        return reader.feed(source, number, size);
    }
    Status feed(const Bytes& bytes, std::uint64_t number, std::uint64_t size = kMegabyte) {
        MemorySource source(bytes);
        return feed(source, number, size);
    }
    std::vector<std::uint32_t> xids() const {
        std::vector<std::uint32_t> xids;
        for (const WalEvent& event : events) xids.push_back(event.xid);
        return xids;
    }

    std::vector<WalEvent> events;
    int records = 0;
    RecordReader reader{[this](const WalEvent& event) {
        events.push_back(event);
        return true;
    }};

    Reading() {
        reader.on_record([this](Lsn, Lsn) {
            ++records;
            return true;
        });
    }
};

void expect_events(const std::vector<WalEvent>& events, std::span<const Expected> expected) {
    ASSERT_EQ(events.size(), expected.size());
    for (std::size_t i = 0; i < events.size(); ++i) {
        EXPECT_EQ(events[i].type, expected[i].type) << i;
        EXPECT_EQ(events[i].lsn, expected[i].lsn) << i;
        EXPECT_EQ(events[i].end_lsn, expected[i].end_lsn) << i;
        EXPECT_EQ(events[i].xid, expected[i].xid) << i;
        if (events[i].ends_transaction()) {
            EXPECT_EQ(format_postgres(events[i].time), expected[i].what) << i;
        }
        if (events[i].type == Type::kRestorePoint) {
            EXPECT_EQ(events[i].name, expected[i].what) << i;
        }
    }
}

TEST(RecordReader, ReadsRealSegmentsAsTheServerDoes) {
    const auto repository = repository_in(FORGE_TEST_DATA "/walg/main/store", golden_settings());
    Reading reading;
    for (std::uint64_t number = 2; number <= 8; ++number) {
        auto source = repository->open_wal(layout::segment_name({1, number}, layout::kDefaultSegmentSize), {});
        ASSERT_TRUE(source.ok()) << source.status().to_string();
        const Status status = reading.feed(**source, number, layout::kDefaultSegmentSize);
        ASSERT_TRUE(status.ok()) << status.to_string();
        EXPECT_FALSE(reading.reader.at_end()) << number;
    }
    EXPECT_EQ(reading.records, kRecordsOfTimeline1);
    expect_events(reading.events, kTimeline1);
}

TEST(RecordReader, ReadsTheFirstSegmentOfANewTimeline) {
    const auto repository = repository_in(FORGE_TEST_DATA "/walg/main/store", golden_settings());
    Reading reading;
    auto source = repository->open_wal("000000020000000000000009", {});
    ASSERT_TRUE(source.ok());
    ASSERT_TRUE(reading.feed(**source, 9, layout::kDefaultSegmentSize).ok());
    expect_events(reading.events, kTimeline2);
}

TEST(RecordReader, EndsQuietlyWhereAPartialSegmentEnds) {
    const auto repository = repository_in(FORGE_TEST_DATA "/walg/main/store", golden_settings());
    Reading reading;
    auto source = repository->open_object("wal_005/000000010000000000000009.partial.br", codec::Method::kBrotli, {});
    ASSERT_TRUE(source.ok());
    ASSERT_TRUE(reading.feed(**source, 9, layout::kDefaultSegmentSize).ok());
    EXPECT_TRUE(reading.reader.at_end());
    EXPECT_EQ(reading.reader.end_lsn(), 0x9000E98U);
    expect_events(reading.events, std::span(kTimeline2).first(1));
}

// COMMIT PREPARED with subtransactions, dropped relations, statistics and invalidations, and ABORT PREPARED, of a real
// server: the transaction's number stands behind all of these.
constexpr std::string_view kCommitPrepared =
    "e901000000000000b80c630000000000b10100004daad238fecc0100005f533dd8de030300df010000050000007f060000020000"
    "00d6020000d7020000010000007f0600000500000003400000010000000200000005000000034000001800000050000000050000"
    "0031c7cee8000000004f00000005000000f9d59aa40000000050000000050000008a17089c000000004f000000050000000b41af"
    "ad000000000700000005000000c8183b830000000006000000050000004ed6dab4000000000700000005000000999eeebc000000"
    "0006000000050000001fac71df000000000700000005000000406feb63000000000600000005000000bd70007800000000070000"
    "0005000000a03c0ef5000000000600000005000000c827b9a000000000070000000500000073d46c560000000006000000050000"
    "005f97792c0000000007000000050000008be9c032000000000600000005000000bf48391c0000000007000000050000005b6787"
    "8d0000000006000000050000004a61dfd00000000037000000050000000ad0afc30000000036000000050000000b41afad000000"
    "00fb02000005000000300a0000fffffffffb02000005000000300a0000fffffffffe000000050000000340000000000000fb0200"
    "0005000000300a0000ffffffffd502000067783100";
constexpr std::string_view kAbortPrepared =
    "3600000000000000b00d630000000000c001000045f8a549ff1c8c733dd8de030300d1000000050000007f060000d80200006778"
    "3200";

TEST(RecordReader, FindsTheTransactionOfPreparedCommitsAndAborts) {
    WalBuilder wal(5, kMegabyte);
    wal.add_sealed(*from_hex(kCommitPrepared));
    wal.add_sealed(*from_hex(kAbortPrepared));
    Reading reading;
    ASSERT_TRUE(reading.feed(wal.segments()[0], 5).ok());
    ASSERT_EQ(reading.events.size(), 2U);
    EXPECT_EQ(reading.events[0].type, Type::kCommit);
    EXPECT_EQ(reading.events[0].xid, 725U);
    EXPECT_EQ(format_postgres(reading.events[0].time), "2026-11-22 16:36:15.652703+00");
    EXPECT_EQ(reading.events[1].type, Type::kAbort);
    EXPECT_EQ(reading.events[1].xid, 728U);
    EXPECT_EQ(format_postgres(reading.events[1].time), "2026-11-22 16:36:15.66094+00");
}

// "infinity" of the server is the largest number there is: with 1970 added to it, it was long ago.
TEST(RecordReader, TimesBeyondTheRangeAreItsEnd) {
    WalBuilder wal(5, kMegabyte);
    Bytes forever(8);
    store_le<std::uint64_t>(forever.data(), INT64_MAX);
    wal.add(1, 0x00, 7, forever);
    Reading reading;
    ASSERT_TRUE(reading.feed(wal.segments()[0], 5).ok());
    ASSERT_EQ(reading.events.size(), 1U);
    EXPECT_EQ(reading.events[0].time, Instant::from_micros(INT64_MAX));
}

// One bit of a page header made it longer, and the record there was read with zeroes from behind its end.
TEST(RecordReader, EndsAtALongHeaderWithinASegment) {
    WalBuilder wal(5, kMegabyte);
    wal.add(10, 0x00, 0, Bytes(10000));
    Bytes segment = wal.segments()[0];
    Reading whole;
    ASSERT_TRUE(whole.feed(segment, 5).ok());
    EXPECT_GT(whole.reader.end_lsn(), 5 * kMegabyte);
    segment[8192 + 2] |= 0x02;
    Reading reading;
    ASSERT_TRUE(reading.feed(segment, 5).ok());
    EXPECT_EQ(reading.reader.end_lsn(), 0U);
}

// Two segments; the commit of transaction 2 lies across their border.
struct Border {
    WalBuilder wal{5, kMegabyte};
    Lsn crossing = 0;
    Border() {
        wal.add_commit(1, 1'000'000);
        wal.add_filler(kMegabyte - 16384);
        while (wal.position() < 6 * kMegabyte - 8192) wal.add_filler(8);
        wal.fill_page(24);
        crossing = wal.add_commit(2, 2'000'000);
        wal.add_commit(3, 3'000'000);
    }
};

TEST(RecordReader, JoinsRecordsAcrossPagesAndSegments) {
    const Border border;
    ASSERT_LT(border.crossing, 6 * kMegabyte);
    ASSERT_GT(border.crossing + 34, 6 * kMegabyte);
    Reading reading;
    ASSERT_TRUE(reading.feed(border.wal.segments()[0], 5).ok());
    EXPECT_TRUE(reading.reader.event_pending());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1));
    ASSERT_TRUE(reading.feed(border.wal.segments()[1], 6).ok());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1, 2, 3));
    EXPECT_EQ(reading.events[1].lsn, border.crossing);
}

TEST(RecordReader, FinishesOneRecordWithoutReadingOn) {
    const Border border;
    Reading reading;
    ASSERT_TRUE(reading.feed(border.wal.segments()[0], 5).ok());
    MemorySource next(border.wal.segments()[1]);
    ASSERT_TRUE(reading.reader.finish_record(next, 6, kMegabyte).ok());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1, 2));
}

TEST(RecordReader, StartsAtTheFirstWholeRecordAfterAJump) {
    const Border border;
    Reading reading;
    ASSERT_TRUE(reading.feed(border.wal.segments()[1], 6).ok());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(3));
}

TEST(RecordReader, SkipsARecordOverSeveralPagesAfterAJump) {
    WalBuilder wal(5, kMegabyte);
    wal.add_filler(kMegabyte + 50'000);
    wal.add_commit(9, 9'000'000);
    Reading reading;
    ASSERT_TRUE(reading.feed(wal.segments()[1], 6).ok());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(9));
}

TEST(RecordReader, DropsARecordThatACrashCutOff) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.break_record(20'000, 500);
    wal.add_commit(2, 2'000'000);
    Reading reading;
    ASSERT_TRUE(reading.feed(wal.segments()[0], 5).ok());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1, 2));
}

TEST(RecordReader, SkipsTheRestAfterASwitch) {
    WalBuilder wal(5, kMegabyte);
    wal.add(0, 0x40, 0, {});
    wal.add_commit(1, 1'000'000);  // would be there if the switch were not heeded
    Reading reading;
    ASSERT_TRUE(reading.feed(wal.segments()[0], 5).ok());
    EXPECT_TRUE(reading.events.empty());
    EXPECT_FALSE(reading.reader.at_end());
}

TEST(RecordReader, EndsAtADamagedRecord) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    const Lsn damaged = wal.add_commit(2, 2'000'000);
    wal.add_commit(3, 3'000'000);
    Bytes bytes = wal.segments()[0];
    bytes[damaged % kMegabyte + 27] ^= 1;
    Reading reading;
    ASSERT_TRUE(reading.feed(bytes, 5).ok());
    EXPECT_TRUE(reading.reader.at_end());
    EXPECT_EQ(reading.reader.end_lsn(), damaged);
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1));
}

TEST(RecordReader, EndsAtAPageOfAnOlderLife) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.fill_page(0);
    wal.add_commit(2, 2'000'000);
    Bytes bytes = wal.segments()[0];
    store_le<std::uint64_t>(&bytes[8192 + 8], 3 * kMegabyte + 8192);
    Reading reading;
    ASSERT_TRUE(reading.feed(bytes, 5).ok());
    EXPECT_TRUE(reading.reader.at_end());
    EXPECT_THAT(reading.xids(), ::testing::ElementsAre(1));
}

TEST(RecordReader, ReadsNewerVersions) {
    for (const std::uint16_t magic : std::initializer_list<std::uint16_t>{0xD113, 0xD116, 0xD118}) {
        WalBuilder wal(5, kMegabyte, magic);
        wal.add_commit(7, 1'000'000);
        Reading reading;
        ASSERT_TRUE(reading.feed(wal.segments()[0], 5).ok());
        EXPECT_THAT(reading.xids(), ::testing::ElementsAre(7)) << magic;
    }
}

TEST(RecordReader, StopsWhenTold) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    wal.add_commit(2, 2'000'000);
    int seen = 0;
    RecordReader reader([&](const WalEvent&) {
        ++seen;
        return false;
    });
    MemorySource source(wal.segments()[0]);
    ASSERT_TRUE(reader.feed(source, 5, kMegabyte).ok());
    EXPECT_TRUE(reader.stopped());
    EXPECT_EQ(seen, 1);
}

TEST(RecordReader, RefusesWhatIsNoSegment) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    const Bytes good = wal.segments()[0];
    Bytes zeroed(kMegabyte);
    Bytes old_magic = good;
    old_magic[0] = 0x0D;
    old_magic[1] = 0xD1;
    Bytes page_size = good;
    store_le<std::uint32_t>(&page_size[36], 8191);
    const Bytes cut(good.begin(), good.begin() + 100'000);
    Reading reading;
    EXPECT_TRUE(reading.feed(zeroed, 5).is(Kind::kCorrupt));
    EXPECT_TRUE(reading.feed(old_magic, 5).is(Kind::kCorrupt));
    EXPECT_TRUE(reading.feed(page_size, 5).is(Kind::kCorrupt));
    EXPECT_TRUE(reading.feed(good, 6).is(Kind::kCorrupt)) << "another segment's place";
    EXPECT_TRUE(reading.feed(Bytes(), 5).is(Kind::kCorrupt));
    // Zeroes follow the only record, so a cut is noticed only where it cuts a page the reader needs.
    EXPECT_TRUE(reading.feed(Bytes(cut.begin(), cut.begin() + 5000), 5).is(Kind::kCorrupt));
    EXPECT_TRUE(reading.events.empty());
}

}  // namespace
}  // namespace forge::wal
