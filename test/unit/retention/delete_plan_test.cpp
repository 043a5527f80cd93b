#include "core/retention/delete_plan.h"

#include "test/unit/retention/inventories.h"

namespace forge::retention {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

const std::string kWal1 = "wal_005/00000001000000000000000";

// F3 <- D5 <- D7, F9 <- DB, and WAL 2..F.
class DeletePlanTest : public testing::Test {
protected:
    void SetUp() override {
        store_.add_backup(f3_);
        store_.add_backup(d5_, f3_);
        store_.add_backup(d7_, d5_);
        store_.add_backup(f9_);
        store_.add_backup(db_, f9_);
        store_.add_wal(1, 2, 15);
        store_.put("wal_005/00000002.history", "1\t0/F000000\tno reason\n");
        store_.put("somebody/elses/000000010000000000000001");
    }
    DeletePlan before(const std::string& what, Modifier modifier = Modifier::kNone, bool by_time = false) {
        auto plan = plan_before(store_.inventory(), {what, modifier, by_time});
        EXPECT_TRUE(plan.ok()) << plan.status().to_string();
        return plan.ok() ? *plan : DeletePlan();
    }
    DeletePlan retain(int count, Modifier modifier = Modifier::kNone, const std::string& after = {}) {
        auto plan = plan_retain(store_.inventory(), {count, modifier, after, false});
        EXPECT_TRUE(plan.ok()) << plan.status().to_string();
        return plan.ok() ? *plan : DeletePlan();
    }

    const std::string f3_ = full_name(1, 3), f9_ = full_name(1, 9);
    const std::string d5_ = delta_name(1, 5, 3), d7_ = delta_name(1, 7, 5), db_ = delta_name(1, 11, 9);
    TestStore store_;
};

TEST_F(DeletePlanTest, BeforeAFullBackup) {
    const DeletePlan plan = before(f9_);
    EXPECT_THAT(backups_of(plan), ElementsAre(d7_, d5_, f3_)) << "what builds on another goes first";
    EXPECT_THAT(wal_of(plan), SizeIs(7)) << "the target's own first segment stays";
    EXPECT_EQ(wal_of(plan).back(), kWal1 + "8");
    EXPECT_THAT(wal_of(plan), Not(Contains("wal_005/00000002.history")));
    for (const BackupRemoval& backup : plan.backups) EXPECT_EQ(backup.object_count(), 7U);
    EXPECT_EQ(plan.object_count(), 3 * 7 + 7U);
}

TEST_F(DeletePlanTest, KnowsWhichSegmentsAreThere) {
    const std::string name = "00000001000000000000002";
    for (const char* object : {"0.lz4", "1", "2_delta.br", "3.00000028.backup.lz4", "4.json", "4.lz4"})
        store_.put("wal_005/" + name + object);
    const Inventory& inventory = store_.inventory();
    for (const char* there : {"0", "1", "4"}) EXPECT_TRUE(inventory.has_segment(name + there)) << there;
    for (const char* missing : {"2", "3", "5"}) EXPECT_FALSE(inventory.has_segment(name + missing)) << missing;
}

TEST_F(DeletePlanTest, RestorePointsGoWithTheirWal) {
    const auto points = [](std::uint64_t number) {
        return layout::restore_points_key(layout::segment_name({1, number}, layout::kDefaultSegmentSize));
    };
    for (const std::uint64_t number : {2, 8, 9, 15}) store_.put(points(number));
    store_.put("forge_restore_points/something else");
    const Inventory inventory = store_.inventory();
    const DeletePlan plan = before(f9_);
    ASSERT_THAT(plan.restore_points, SizeIs(2));
    EXPECT_EQ(plan.restore_points[0]->key, points(2));
    EXPECT_EQ(plan.restore_points[1]->key, points(8));
    EXPECT_EQ(wal_of(plan).back(), kWal1 + "8");
    EXPECT_EQ(plan.object_count(), 3 * 7 + 7 + 2U);
    DeleteResult result;
    ASSERT_TRUE(execute(store_.store(), inventory, plan, result, store_.context()).ok());
    EXPECT_EQ(result.objects, plan.object_count());
    EXPECT_THAT(store_.keys(), Not(Contains(points(8))));
    EXPECT_THAT(store_.keys(), Contains(points(9)));
    // Whose WAL another program deleted.
    store_.put(points(3));
    EXPECT_THAT(plan_garbage(store_.inventory(), {true, true}).restore_points, SizeIs(1));
    EXPECT_THAT(plan_everything(store_.inventory(), false)->restore_points, SizeIs(3));
    ASSERT_TRUE(execute(store_.store(), store_.inventory(), *plan_everything(store_.inventory(), false), result,
                        store_.context())
                    .ok());
    EXPECT_THAT(store_.keys(),
                ElementsAre("forge_restore_points/something else", "somebody/elses/000000010000000000000001"));
}

TEST_F(DeletePlanTest, BeforeADeltaIsRefusedUnlessTheFullOneIsToBeFound) {
    const auto refused = plan_before(store_.inventory(), {db_, Modifier::kNone, false});
    EXPECT_TRUE(refused.status().is(Kind::kInvalid));
    EXPECT_THAT(refused.status().hint(), HasSubstr("FIND_FULL"));
    EXPECT_EQ(before(db_, Modifier::kFindFull).target, f9_);
    EXPECT_EQ(backups_of(before(db_, Modifier::kFindFull)), backups_of(before(f9_)));
    EXPECT_TRUE(before(d7_, Modifier::kFindFull).backups.empty());
}

TEST_F(DeletePlanTest, BeforeTakesTheBeginningOfANameOrATime) {
    EXPECT_EQ(before("base_000000010000000000000009").target, f9_);
    EXPECT_TRUE(plan_before(store_.inventory(), {"base_0000", Modifier::kNone, false}).status().is(Kind::kInvalid));
    EXPECT_THAT(plan_before(store_.inventory(), {"base_X", Modifier::kNone, false}).status().message(),
                HasSubstr("\"base_X\" does not exist"));
    // Start times are an hour a segment after 2023-11-14T22:13:20Z.
    EXPECT_EQ(before("2023-11-15T07:13:20Z", Modifier::kNone, true).target, f9_);
    EXPECT_EQ(before("2023-11-15T09:13:20Z", Modifier::kFindFull, true).target, f9_);
    EXPECT_TRUE(before("2100-01-01T00:00:00Z").empty()) << "no backup is as young as that";
    EXPECT_FALSE(plan_before(store_.inventory(), {"2023-11-15T07:13:20", Modifier::kNone, true}).ok())
        << "a time without zone";
}

TEST_F(DeletePlanTest, W4APermanentBackupStaysWithItsChainAndItsWal) {
    store_.add_backup(d5_, f3_, true);
    const DeletePlan plan = before(f9_);
    EXPECT_THAT(backups_of(plan), ElementsAre(d7_));
    ASSERT_THAT(plan.kept, SizeIs(2));
    EXPECT_EQ(plan.kept[0].name, f3_);
    EXPECT_THAT(plan.kept[0].reason, HasSubstr("builds on it"));
    EXPECT_EQ(plan.kept[1].reason, "it is permanent");
    EXPECT_THAT(wal_of(plan), ElementsAre(kWal1 + "2", kWal1 + "4", kWal1 + "6", kWal1 + "7", kWal1 + "8"));
    for (const std::string& name : {d5_, f3_}) {
        const Status refused = plan_target(store_.inventory(), name, false).status();
        EXPECT_THAT(refused.message(), HasSubstr("permanent")) << name;
        EXPECT_THAT(refused.hint(), HasSubstr("backup-mark -i " + d5_));
    }
    EXPECT_THAT(backups_of(*plan_target(store_.inventory(), d7_, false)), ElementsAre(d7_));
    EXPECT_TRUE(plan_target(store_.inventory(), d7_, true).status().is(Kind::kInvalid));
    EXPECT_THAT(plan_everything(store_.inventory(), false).status().message(), HasSubstr(d5_));
    EXPECT_THAT(backups_of(*plan_everything(store_.inventory(), true)), SizeIs(5));
}

TEST_F(DeletePlanTest, W18MetadataThatIsGoneDegradesAndThatIsDamagedProtects) {
    std::filesystem::remove(store_.path(layout::metadata_key(d5_)));
    EXPECT_THAT(backups_of(before(f9_)), SizeIs(3));
    store_.put(layout::metadata_key(d5_), "{\"is_permanent\": tr");
    EXPECT_THAT(backups_of(before(f9_)), ElementsAre(d7_));
}

TEST_F(DeletePlanTest, AChainThatReachesAcrossTheTargetStaysWhole) {
    const std::string late = delta_name(1, 13, 5);
    store_.add_backup(late, d5_);
    const DeletePlan plan = before(f9_);
    EXPECT_THAT(backups_of(plan), ElementsAre(d7_));
    EXPECT_THAT(plan.kept, SizeIs(2));
}

TEST_F(DeletePlanTest, RetainCounts) {
    EXPECT_TRUE(plan_retain(store_.inventory(), {1, Modifier::kNone, "", false}).status().is(Kind::kInvalid))
        << "the newest is a delta";
    EXPECT_EQ(retain(2).target, f9_);
    EXPECT_EQ(retain(1, Modifier::kFull).target, f9_);
    EXPECT_EQ(retain(1, Modifier::kFindFull).target, f9_);
    EXPECT_EQ(retain(3, Modifier::kFindFull).target, f3_);
    EXPECT_TRUE(retain(6).empty());
    EXPECT_TRUE(retain(3, Modifier::kFull).empty());
    EXPECT_EQ(retain(1, Modifier::kFull, f3_).target, f3_) << "--after names an older one";
    EXPECT_EQ(retain(2, Modifier::kFull, f9_).target, f3_) << "--after names a younger one";
    EXPECT_TRUE(plan_retain(store_.inventory(), {0, Modifier::kNone, "", false}).status().is(Kind::kInvalid));
}

TEST_F(DeletePlanTest, DamagedBackupsDoNotPushOutGoodOnes) {
    for (const int number : {17, 19}) {
        store_.add_backup(full_name(1, static_cast<std::uint64_t>(number)));
        store_.put(layout::sentinel_key(full_name(1, static_cast<std::uint64_t>(number))), "{");
    }
    EXPECT_EQ(retain(1, Modifier::kFull).target, f9_);
    const Status refused = plan_before(store_.inventory(), {full_name(1, 19), Modifier::kNone, false}).status();
    EXPECT_THAT(refused.message(), HasSubstr("no backup that can be restored would be left"));
}

TEST_F(DeletePlanTest, TargetTakesWhatBuildsOnItAndNoWal) {
    const auto inventory = store_.inventory();
    EXPECT_THAT(backups_of(*plan_target(inventory, d5_, false)), ElementsAre(d7_, d5_));
    EXPECT_THAT(backups_of(*plan_target(inventory, d7_, true)), ElementsAre(d7_, d5_, f3_));
    EXPECT_THAT(wal_of(*plan_target(inventory, f3_, false)), IsEmpty());
    EXPECT_THAT(plan_target(inventory, full_name(1, 200), false).status().message(), HasSubstr("does not exist"));
}

TEST_F(DeletePlanTest, W16EverythingIsLimitedToTheTwoFolders) {
    const DeletePlan plan = *plan_everything(store_.inventory(), false);
    EXPECT_THAT(backups_of(plan), SizeIs(5));
    EXPECT_THAT(wal_of(plan), SizeIs(15)) << "histories included";
    for (const std::string& key : wal_of(plan)) EXPECT_THAT(key, StartsWith("wal_005/"));
}

TEST_F(DeletePlanTest, WalOfFollowingTimelinesStaysForWhatNeedsIt) {
    store_.add_wal(2, 15, 18);
    store_.add_backup(full_name(2, 17));
    const DeletePlan plan = before(full_name(2, 17));
    EXPECT_THAT(wal_of(plan), SizeIs(14 + 2));
    // By time: a backup of the old timeline that is younger than the target keeps the WAL of both.
    const std::string old = full_name(1, 14);
    store_.add_backup(old);
    layout::Sentinel sentinel;
    sentinel.start_time = Instant::from_seconds(1'800'000'000);
    sentinel.start_lsn = 14 * layout::kDefaultSegmentSize + 0x28;
    store_.put(layout::sentinel_key(old), layout::sentinel_json(sentinel));
    store_.put(layout::metadata_key(old), layout::metadata_json(sentinel));
    const DeletePlan by_time = before(full_name(2, 17), Modifier::kNone, true);
    EXPECT_THAT(backups_of(by_time), Not(Contains(old)));
    EXPECT_THAT(wal_of(by_time), Not(Contains(kWal1 + "E")));
    EXPECT_THAT(wal_of(by_time), Not(Contains("wal_005/00000002000000000000000F")));
    EXPECT_THAT(wal_of(by_time), Contains(kWal1 + "D"));
}

class GarbageTest : public DeletePlanTest {
protected:
    static Instant soon() { return SystemClock().now(); }
};

TEST_F(GarbageTest, W17TheOldestMayBeADeltaAndFoldersAreFoundAnywhere) {
    std::filesystem::remove_all(store_.path("basebackups_005/" + f3_));
    std::filesystem::remove(store_.path(layout::sentinel_key(f3_)));
    store_.add_parts(full_name(1, 1));
    store_.add_parts(full_name(1, 14));
    const DeletePlan plan = plan_garbage(store_.inventory(), {});
    EXPECT_THAT(backups_of(plan), ElementsAre(full_name(1, 14), full_name(1, 1)));
    EXPECT_THAT(wal_of(plan), ElementsAre(kWal1 + "2", kWal1 + "3", kWal1 + "4"));
    EXPECT_THAT(backups_of(plan_garbage(store_.inventory(), {.backups = false, .archives = true})), IsEmpty());
    EXPECT_THAT(wal_of(plan_garbage(store_.inventory(), {.backups = true, .archives = false})), IsEmpty());
}

TEST_F(GarbageTest, W17AFolderThatMayBeInTheMakingStays) {
    const std::string running = delta_name(1, 14, 11);
    store_.add_parts(running);
    const Inventory now = store_.inventory(soon());
    const DeletePlan plan = plan_garbage(now, {});
    EXPECT_THAT(backups_of(plan), IsEmpty());
    ASSERT_THAT(plan.kept, SizeIs(1));
    EXPECT_EQ(plan.kept[0].name, running);
    EXPECT_THAT(plan_target(now, db_, false).status().message(), HasSubstr("may be in the making"));
    EXPECT_THAT(plan_target(now, running, false).status().message(), HasSubstr("may be in the making"));
    const DeletePlan everything = *plan_everything(now, false);
    EXPECT_THAT(backups_of(everything), ElementsAre(d7_, d5_, f3_));
    EXPECT_THAT(wal_of(everything), Not(Contains("wal_005/00000001000000000000000E")));
}

TEST_F(GarbageTest, C12WhatAnInterruptedDeletionLeftIsKnownAtOnce) {
    std::filesystem::remove(store_.path(layout::sentinel_key(f3_)));
    std::filesystem::remove(store_.path(layout::parts_folder(f3_) + "pg_control.tar.zst"));
    EXPECT_THAT(backups_of(plan_garbage(store_.inventory(soon()), {})), ElementsAre(f3_));
}

TEST(PlaceOfWal, OnlyNamesThatBeginWithASegment) {
    EXPECT_EQ(place_of_wal("wal_005/000000010000000000000003.br"), "000000010000000000000003");
    EXPECT_EQ(place_of_wal("wal_005/000000010000000000000003.00000028.backup.br"), "000000010000000000000003");
    EXPECT_EQ(place_of_wal("wal_005/000000010000000000000010_delta.br"), "000000010000000000000010");
    EXPECT_EQ(place_of_wal("wal_005/00000002.history.br"), "");
    EXPECT_EQ(place_of_wal("wal_005/0000000100000000000000031"), "");
    EXPECT_EQ(place_of_wal("wal_005/deep/000000010000000000000003"), "");
    EXPECT_EQ(place_of_wal("elsewhere/000000010000000000000003"), "");
}

}  // namespace
}  // namespace forge::retention
