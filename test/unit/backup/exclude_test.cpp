#include "core/backup/exclude.h"

#include <gtest/gtest.h>

namespace forge::backup {
namespace {

TEST(RelationFile, NamesOfForksAndSegments) {
    const auto file = parse_relation_file("16384_fsm.12");
    ASSERT_TRUE(file);
    EXPECT_EQ(file->number, 16384U);
    EXPECT_EQ(file->fork, Fork::kFsm);
    EXPECT_EQ(file->segment, 12U);
    for (const char* name : {"1", "4294967295", "2600_vm", "2600_init", "2600.1"})
        EXPECT_TRUE(parse_relation_file(name)) << name;
}

TEST(RelationFile, OtherNamesAreNone) {
    for (const char* name : {"", "0", "016384", "4294967296", "16384_", "16384_xyz", "16384.", "16384.0", "16384.x",
                             "16384.1_vm", "t3_16384", "pg_filenode.map", "PG_VERSION", "16384.bak", "16384_vm2"})
        EXPECT_FALSE(parse_relation_file(name)) << name;
}

TEST(TemporaryRelation, Names) {
    for (const char* name : {"t3_16384", "t13_16384_vm", "t3_16384.1", "t3_16384_fsm.2"})
        EXPECT_TRUE(is_temporary_relation(name)) << name;
    for (const char* name : {"t", "t3", "t3_", "t_16384", "3_16384", "t3_16384_x", "t3_16384.", "t3_163x", "table"})
        EXPECT_FALSE(is_temporary_relation(name)) << name;
}

TEST(Exclude, NamesThatLeaveNoTrace) {
    for (const char* name :
         {"pgsql_tmp", "pgsql_tmp12.3", "pg_internal.init", "pg_internal.init.77", "backup_label", "tablespace_map",
          "backup_manifest", "postmaster.pid", "postmaster.opts", "postgresql.auto.conf.tmp", "current_logfiles.tmp"})
        EXPECT_TRUE(is_left_out(name)) << name;
    for (const char* name :
         {"log", "backup_label.old", "postgresql.auto.conf", "current_logfiles", "pg_wal", "standby.signal"})
        EXPECT_FALSE(is_left_out(name)) << name;
}

TEST(Exclude, DirectoriesOfDatabases) {
    constexpr std::string_view kVersion = "PG_15_202209061";
    EXPECT_TRUE(is_database_directory("/base/5", kVersion));
    EXPECT_TRUE(is_database_directory("/pg_tblspc/16386/PG_15_202209061/5", kVersion));
    EXPECT_TRUE(is_relation_directory("/global", kVersion));
    for (const char* name :
         {"/", "/base", "/global", "/base/5/6", "/base/x", "/log/5", "/pg_tblspc/16386", "/pg_tblspc/16386/PG_14_1/5"})
        EXPECT_FALSE(is_database_directory(name, kVersion)) << name;
}

}  // namespace
}  // namespace forge::backup
