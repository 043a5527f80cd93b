#include "core/layout/names.h"

#include <gtest/gtest.h>

namespace forge::layout {
namespace {

using codec::Method;

constexpr std::uint64_t kMiB = 1ULL << 20;

TEST(SegmentName, SuccessorCrossesTheGroupBoundary) {
    EXPECT_EQ(segment_name({1, 255}, 16 * kMiB), "0000000100000000000000FF");
    EXPECT_EQ(segment_name({1, 256}, 16 * kMiB), "000000010000000100000000");
    EXPECT_EQ(segment_name({0xABCDEF01, 4095}, kMiB), "ABCDEF010000000000000FFF");
    EXPECT_EQ(segment_name({1, 4}, 1024 * kMiB), "000000010000000100000000");
}

TEST(SegmentName, ParsesWhatItWrites) {
    for (const std::uint64_t size : {kMiB, 16 * kMiB, 64 * kMiB, 1024 * kMiB}) {  // P8
        for (const std::uint64_t number : {0ULL, 3ULL, 255ULL, 256ULL, 4096ULL, 1'000'003ULL}) {
            const Segment segment{7, number};
            EXPECT_EQ(parse_segment(segment_name(segment, size), size), segment) << size << " " << number;
        }
    }
}

TEST(SegmentName, ParsingIsStrict) {
    EXPECT_FALSE(parse_segment("000000010000000000000100", 16 * kMiB)) << "the third group ends at FF";
    EXPECT_TRUE(parse_segment("000000010000000000000100", kMiB));
    EXPECT_FALSE(parse_segment("000000000000000000000001", 16 * kMiB)) << "there is no timeline 0";
    EXPECT_FALSE(parse_segment("00000001000000000000000a", 16 * kMiB)) << "digits are upper case";
    EXPECT_FALSE(parse_segment("00000001000000000000000", 16 * kMiB));
    EXPECT_FALSE(parse_segment("0000000100000000000000010", 16 * kMiB));
    EXPECT_FALSE(parse_segment("000000010000000000000001", 15 * kMiB)) << "no such segment size";
}

TEST(WalName, KindsOfFiles) {  // P19
    EXPECT_EQ(classify_wal_name("000000010000000000000003"), WalKind::kSegment);
    EXPECT_EQ(classify_wal_name("00000002.history"), WalKind::kHistory);
    EXPECT_EQ(classify_wal_name("000000010000000000000003.00000028.backup"), WalKind::kBackupHistory);
    EXPECT_EQ(classify_wal_name("000000010000000000000009.partial"), WalKind::kPartial);
    for (const char* name : {"", "RECOVERYXLOG", "0000002.history", "00000002.History", "00000002.history.br",
                             "000000010000000000000003.backup", "000000010000000000000003.0000028.backup",
                             "000000010000000000000009.partial ", "../000000010000000000000003"}) {
        EXPECT_FALSE(classify_wal_name(name)) << name;
    }
}

TEST(WalKey, ParsesWhatItWrites) {
    for (const Method method : codec::readable_methods()) {
        for (const char* name : {"000000010000000000000003", "00000002.history", "000000010000000000000009.partial",
                                 "000000010000000000000003.00000028.backup"}) {
            const auto object = parse_wal_key(wal_key(name, method));
            ASSERT_TRUE(object) << wal_key(name, method);
            EXPECT_EQ(object->name, name);
            EXPECT_EQ(object->method, method);
        }
    }
    EXPECT_EQ(wal_key("00000002.history", Method::kNone), "wal_005/00000002.history");
}

TEST(WalKey, OtherObjectsAreNoWalFiles) {
    for (const char* key : {"wal_005/000000010000000000000010.json", "wal_005/000000010000000000000010_delta.br",
                            "wal_005/000000010000000000000010.", "wal_005/000000010000000000000010.xz",
                            "wal_005/sub/000000010000000000000010.br", "000000010000000000000010.br",
                            "basebackups_005/000000010000000000000010.br", "wal_005/"}) {
        EXPECT_FALSE(parse_wal_key(key)) << key;
    }
}

TEST(BackupName, FullAndDelta) {
    EXPECT_TRUE(is_backup_name("base_000000010000000000000003"));
    EXPECT_TRUE(is_backup_name("base_000000010000000000000005_D_000000010000000000000003"));
    for (const char* name : {"", "base_", "base_00000001000000000000000", "base_000000010000000000000003_D_",
                             "base_000000010000000000000003_D_00000001000000000000000g",
                             "base_000000010000000000000003/", "xbase_000000010000000000000003", "LATEST"}) {
        EXPECT_FALSE(is_backup_name(name)) << name;
    }
    EXPECT_EQ(full_backup_name("000000010000000000000003"), "base_000000010000000000000003");
    EXPECT_EQ(backup_start_segment("base_000000010000000000000005_D_000000010000000000000003"),
              "000000010000000000000005");
    EXPECT_EQ(backup_start_segment("LATEST"), "");
}

TEST(BackupName, KeysOfABackup) {
    const std::string name = "base_000000010000000000000003";
    EXPECT_EQ(sentinel_key(name), "basebackups_005/base_000000010000000000000003_backup_stop_sentinel.json");
    EXPECT_EQ(backup_of_sentinel(sentinel_key(name)), name);
    EXPECT_EQ(metadata_key(name), "basebackups_005/base_000000010000000000000003/metadata.json");
    EXPECT_EQ(files_metadata_key(name), "basebackups_005/base_000000010000000000000003/files_metadata.json");
    EXPECT_EQ(parts_folder(name), "basebackups_005/base_000000010000000000000003/tar_partitions/");
    for (const char* key :
         {"basebackups_005/_backup_stop_sentinel.json", "basebackups_005/x_backup_stop_sentinel.json",
          "base_000000010000000000000003_backup_stop_sentinel.json",
          "basebackups_005/base_000000010000000000000003/base_000000010000000000000003_backup_stop_sentinel.json",
          "basebackups_005/base_000000010000000000000003"}) {
        EXPECT_FALSE(backup_of_sentinel(key)) << key;
    }
}

TEST(PartName, NumbersAreAtLeastThreeDigits) {
    EXPECT_EQ(part_file_name(1, Method::kBrotli), "part_001.tar.br");
    EXPECT_EQ(part_file_name(1000, Method::kNone), "part_1000.tar");
    EXPECT_EQ(pg_control_part_name(Method::kLz4), "pg_control.tar.lz4");
    EXPECT_EQ(label_part_name(Method::kZstd), "backup_label.tar.zst");
}

TEST(PartName, MethodByTheLastExtension) {
    EXPECT_EQ(part_method("part_001.tar.br"), Method::kBrotli);
    EXPECT_EQ(part_method("part_001.tar"), Method::kNone);
    EXPECT_EQ(part_method("part_001"), Method::kNone);
    EXPECT_EQ(part_method("copy_0.tar.gz"), Method::kGzip);
    EXPECT_FALSE(part_method("part_001.tar.xz"));
    EXPECT_FALSE(part_method("part_001.tar."));
}

TEST(PartName, PartsHeldBackAsTheReferenceDoes) {
    EXPECT_TRUE(is_pg_control_part("pg_control.tar"));
    EXPECT_TRUE(is_pg_control_part("pg_control.tar.br"));
    EXPECT_TRUE(is_pg_control_part("x_pg_control.tar.br"));
    EXPECT_FALSE(is_pg_control_part("pg_control.tar."));
    EXPECT_FALSE(is_pg_control_part("pg_control.tarx"));
    EXPECT_FALSE(is_pg_control_part("part_001.tar.br"));
    EXPECT_TRUE(is_label_part("backup_label.tar.zst"));
    EXPECT_FALSE(is_label_part("backup_label.zst"));
}

}  // namespace
}  // namespace forge::layout
