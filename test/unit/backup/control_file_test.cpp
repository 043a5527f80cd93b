#include "core/backup/control_file.h"

#include <gmock/gmock.h>

#include "core/base/crc32c.h"
#include "test/unit/backup/fake_cluster.h"

namespace forge::backup {
namespace {

using ::testing::HasSubstr;

TEST(ControlFile, GoldenOneIsReadAsItsClusterWas) {
    auto control = parse_control_file(test::golden_control_file());
    ASSERT_TRUE(control.ok()) << control.status().to_string();
    EXPECT_EQ(control->system_identifier, test::kGoldenSystem);
    EXPECT_EQ(control->pg_control_version, 1300U);
    EXPECT_EQ(control->catalog_version, 202209061U);
    EXPECT_EQ(control->timeline, 1U);
    EXPECT_EQ(control->segment_size, 16U << 20);
    EXPECT_EQ(control->block_size, 8192U);
    EXPECT_EQ(control->relation_segment_blocks, 131072U);
    EXPECT_EQ(control->checksum_version, 1U);
    EXPECT_EQ(control->state, 6);  // in production
    EXPECT_EQ(control->redo, 0x3000028U);
    EXPECT_EQ(control->max_connections, 100);
    EXPECT_EQ(control->max_worker_processes, 8);
    EXPECT_EQ(control->max_wal_senders, 10);
    EXPECT_EQ(control->max_prepared_xacts, 0);
    EXPECT_EQ(control->max_locks_per_xact, 64);
    EXPECT_FALSE(control->track_commit_timestamp);
    EXPECT_EQ(major_version_of(*control), 15);
    EXPECT_EQ(tablespace_version_directory(15, *control), "PG_15_202209061");
}

TEST(ControlFile, EveryFlippedByteIsNoticed) {
    const Bytes good = test::golden_control_file();
    for (std::size_t at = 16; at < 292; at += 5) {
        Bytes bad = good;
        bad[at] ^= 0x40;
        EXPECT_EQ(parse_control_file(bad).status().kind(), Kind::kCorrupt) << at;
    }
}

TEST(ControlFile, ShortFileIsCorrupt) {
    const Bytes good = test::golden_control_file();
    for (const std::size_t size : {0UL, 100UL, 291UL})
        EXPECT_EQ(parse_control_file(ByteView(good).first(size)).status().kind(), Kind::kCorrupt) << size;
}

TEST(ControlFile, UnknownVersionIsRefusedByName) {
    Bytes other = test::golden_control_file();
    store_le<std::uint32_t>(other.data() + 8, 2300);
    const Status status = parse_control_file(other).status();
    EXPECT_EQ(status.kind(), Kind::kInvalid);
    EXPECT_THAT(status.message(),
                HasSubstr("version 2300, which is of a PostgreSQL version this program does not know"));
}

// 18 has a byte more in front of the nonce, so its checksum stands four bytes later.
TEST(ControlFile, LayoutsOf17And18) {
    for (const auto& [version, crc_at, catalog, major] :
         {std::tuple{1700U, 288U, 202406281U, 17}, std::tuple{1800U, 292U, 202506291U, 18}}) {
        Bytes raw = test::golden_control_file();
        store_le<std::uint32_t>(raw.data() + 8, version);
        store_le<std::uint32_t>(raw.data() + 12, catalog);
        store_le<std::uint32_t>(raw.data() + crc_at, crc32c(ByteView(raw).first(crc_at)));
        auto control = parse_control_file(raw);
        ASSERT_TRUE(control.ok()) << control.status().to_string();
        EXPECT_EQ(major_version_of(*control), major);
        EXPECT_EQ(control->segment_size, 16U << 20);
    }
}

// The WAL is cut into segments by this number: none is a division by zero, in a file whose checksum is right.
TEST(ControlFile, ImpossibleSizesAreCorrupt) {
    for (const auto& [at, value] : {std::pair{228U, 0U}, {228U, 16777217U}, {216U, 0U}, {216U, 8191U}, {220U, 0U}}) {
        Bytes raw = test::golden_control_file();
        store_le<std::uint32_t>(raw.data() + at, value);
        store_le<std::uint32_t>(raw.data() + 288, crc32c(ByteView(raw).first(288)));
        const Status status = parse_control_file(raw).status();
        EXPECT_EQ(status.kind(), Kind::kCorrupt) << at << " " << value;
        EXPECT_THAT(status.message(), HasSubstr("impossible"));
    }
}

TEST(ControlFile, DamagedFileOnDiskIsReportedWithItsDirectory) {
    test::TestDirectory directory;
    Bytes bad = test::golden_control_file();
    bad[100] ^= 1;
    test::write_bytes(directory / "global/pg_control", bad);
    const Status status = read_control_file(directory.path()).status();
    EXPECT_EQ(status.kind(), Kind::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr(directory.path()));
}

}  // namespace
}  // namespace forge::backup
