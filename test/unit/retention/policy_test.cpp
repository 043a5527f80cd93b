#include "core/retention/policy.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "test/unit/retention/inventories.h"

namespace forge::retention {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr std::int64_t kFirst = 1'700'000'000;  // TestStore counts its hours from here
constexpr std::int64_t kHour = 3600;

// Full backups every twelve hours, in the segments 0, 12, 24, …, and all WAL between; stored when they were made.
class PolicyTest : public testing::Test {
protected:
    void add(std::uint64_t hour, const std::string& parent = {}, bool permanent = false, Timeline timeline = 1,
             Timeline finish_timeline = 0) {
        const std::string name = parent.empty()
                                     ? full_name(timeline, hour)
                                     : full_name(timeline, hour) + "_D_" + layout::backup_start_segment(parent);
        store_.add_backup(name, parent, permanent, finish_timeline);
        for (const std::string& key : store_.keys())
            if (key.find(name) != std::string::npos) set_hour(key, hour);
    }
    void add_days(std::uint64_t first_hour, std::uint64_t last_hour) {
        for (std::uint64_t hour = first_hour; hour <= last_hour; hour += 12) add(hour);
    }
    void add_wal(std::uint64_t first, std::uint64_t last, Timeline timeline = 1) {
        store_.add_wal(timeline, first, last);
        for (std::uint64_t hour = first; hour <= last; ++hour)
            set_hour("wal_005/" + layout::segment_name({timeline, hour}, layout::kDefaultSegmentSize), hour);
    }
    void set_hour(const std::string& key, std::uint64_t hour) {
        const timespec at{kFirst + static_cast<std::int64_t>(hour) * kHour, 0};
        const timespec times[2] = {at, at};
        ASSERT_EQ(utimensat(AT_FDCWD, store_.path(key).c_str(), times, 0), 0);
    }
    // An hour after the hour given.
    RetentionPlan plan(std::uint64_t hour) {
        now_ = Instant::from_seconds(kFirst + static_cast<std::int64_t>(hour + 1) * kHour);
        inventory_ = store_.inventory(now_);
        return plan_by_policy(inventory_, policy_);
    }
    static Verdict verdict(const RetentionPlan& plan, const std::string& name) {
        for (const Verdict& verdict : plan.backups)
            if (verdict.backup == name) return verdict;
        ADD_FAILURE() << "no word of " << name;
        return {};
    }

    TestStore store_;
    Policy policy_;
    Inventory inventory_;
    Instant now_;
};

TEST_F(PolicyTest, NIsANumberAndDays) {
    add_days(12, 240);
    add_wal(1, 241);
    const RetentionPlan ten_days = plan(240);
    EXPECT_EQ(ten_days.held, "");
    EXPECT_EQ(ten_days.deletion.target, full_name(1, 120)) << "the newest that is 5 days old";
    EXPECT_THAT(ten_days.deletion.backups, SizeIs(9));
    EXPECT_EQ(verdict(ten_days, full_name(1, 240)).reason, "it is one of the newest 5");
    EXPECT_EQ(verdict(ten_days, full_name(1, 132)).reason, "it is younger than 5 days");
    EXPECT_EQ(verdict(ten_days, full_name(1, 120)).reason, "recovery to the last 5 days begins with it");
    EXPECT_FALSE(verdict(ten_days, full_name(1, 108)).keep);
    EXPECT_THAT(wal_of(ten_days.deletion), SizeIs(119)) << "everything before the oldest that stays";

    policy_.retain = 1;
    EXPECT_EQ(plan(240).deletion.target, full_name(1, 192)) << "1 counts as 2";
    policy_.retain = 15;
    EXPECT_THAT(plan(240).deletion.backups, IsEmpty()) << "none is 15 days old";
    policy_.retain = 0;
    EXPECT_TRUE(plan(240).deletion.empty());
    EXPECT_THAT(plan(240).held, HasSubstr("is 0"));
}

TEST_F(PolicyTest, NothingGoesWhileBackupsFail) {
    policy_.schedule = schedule::parse_cron("0 */12 * * *").value();
    add_days(12, 240);
    add_wal(1, 265);
    EXPECT_FALSE(plan(240).deletion.empty());
    const RetentionPlan late = plan(265);
    EXPECT_TRUE(late.deletion.empty());
    EXPECT_THAT(late.held, HasSubstr("older than the schedule allows"));
    EXPECT_THAT(verdict(late, full_name(1, 12)).reason, HasSubstr("nothing is deleted"));
    policy_.schedule.reset();
    EXPECT_FALSE(plan(265).deletion.empty()) << "without a schedule N days are allowed";
    EXPECT_TRUE(plan(400).deletion.empty());
}

TEST_F(PolicyTest, AnAbandonedTimelinePushesOutNothing) {
    add_days(12, 120);
    for (std::uint64_t hour = 132; hour <= 240; hour += 12) add(hour, {}, false, 2);
    add_wal(1, 241);
    add_wal(130, 241, 2);
    store_.put("wal_005/00000002.history", "1\t0/82000000\tno reason\n");
    // Back to timeline 1 at hour 72, on a timeline of its own.
    store_.put("wal_005/00000003.history", "1\t0/49000000\tno reason\n");
    add(246, {}, false, 3);
    add_wal(73, 247, 3);
    policy_.timeline = 3;
    const RetentionPlan plan = this->plan(246);
    EXPECT_EQ(plan.held, "");
    EXPECT_EQ(plan.deletion.target, full_name(1, 36)) << "7 of timeline 1 and 3 are on the way to now";
    EXPECT_THAT(backups_of(plan.deletion), ElementsAre(full_name(1, 24), full_name(1, 12)));
    EXPECT_THAT(verdict(plan, full_name(2, 132)).reason, HasSubstr("abandoned timeline"));
    policy_.timeline = 4;
    EXPECT_THAT(this->plan(246).held, HasSubstr("history of timeline 4 is not in the store"));
}

// P4: timeline 2 left timeline 1 in segment 120, while a standby made the backup that begins there.
TEST_F(PolicyTest, ABackupThatEndedOnTheNextTimelineCounts) {
    add_days(12, 108);
    add(120, {}, false, 1, 2);
    for (std::uint64_t hour = 132; hour <= 240; hour += 12) add(hour, {}, false, 2);
    add_wal(1, 119);
    add_wal(120, 241, 2);
    store_.put("wal_005/00000002.history", "1\t0/78000080\tno reason\n");
    const RetentionPlan plan = this->plan(240);
    EXPECT_EQ(plan.held, "");
    EXPECT_EQ(plan.deletion.target, full_name(1, 120));
    EXPECT_THAT(backups_of(plan.deletion), SizeIs(9));
    EXPECT_THAT(wal_of(plan.deletion), SizeIs(119)) << "all of timeline 2 stays";
    // As a permanent backup far from the others it keeps its own WAL alone.
    const Need need = need_for_backup(inventory_, *inventory_.find(full_name(1, 120)));
    EXPECT_TRUE(need.covers(inventory_, "000000020000000000000078"));
    EXPECT_FALSE(need.covers(inventory_, "000000020000000000000079"));
    EXPECT_FALSE(need.covers(inventory_, "000000030000000000000078"));
}

TEST_F(PolicyTest, WhatCannotBeRestoredDoesNotCount) {
    add_days(12, 240);
    add_wal(1, 241);
    for (const std::uint64_t hour : {192, 204, 216, 228, 240})
        std::filesystem::remove(store_.path("wal_005/" + layout::segment_name({1, hour}, layout::kDefaultSegmentSize)));
    EXPECT_EQ(plan(240).deletion.target, full_name(1, 120)) << "the fifth of those with all their WAL";
    EXPECT_THAT(verdict(plan(240), full_name(1, 240)).reason, HasSubstr("cannot be restored"));
    for (std::uint64_t hour = 1; hour <= 240; ++hour)
        std::filesystem::remove(store_.path("wal_005/" + layout::segment_name({1, hour}, layout::kDefaultSegmentSize)));
    EXPECT_THAT(plan(240).held, HasSubstr("can be restored"));
}

TEST_F(PolicyTest, ChainsStayWholeAndPermanentBackupsStay) {
    add(12, {}, true);
    add(24);
    add(36);
    add(96);
    add(108, full_name(1, 96));
    add(120, full_name(1, 108) + "_D_" + layout::backup_start_segment(full_name(1, 96)));
    add_days(132, 240);
    add_wal(1, 241);
    const RetentionPlan plan = this->plan(240);
    EXPECT_EQ(plan.deletion.target, full_name(1, 96)) << "the full backup under the one that is 5 days old";
    EXPECT_THAT(backups_of(plan.deletion), ElementsAre(full_name(1, 36), full_name(1, 24)));
    EXPECT_EQ(verdict(plan, full_name(1, 12)).reason, "it is permanent");
    EXPECT_THAT(wal_of(plan.deletion), Not(Contains(HasSubstr("00000000000000000000000C")))) << "of the permanent one";
    EXPECT_THAT(wal_of(plan.deletion), SizeIs(94)) << "all before 96 but that";
}

TEST_F(PolicyTest, LeftoversGoOnceTheyAreAbandoned) {
    add_days(12, 240);
    add_wal(1, 241);
    store_.add_parts(full_name(1, 130));
    store_.add_parts(full_name(1, 238));
    for (const std::string& key : store_.keys()) {
        if (key.find(full_name(1, 130)) != std::string::npos) set_hour(key, 130);
        if (key.find(full_name(1, 238)) != std::string::npos) set_hour(key, 238);
    }
    const RetentionPlan plan = this->plan(240);
    EXPECT_THAT(backups_of(plan.deletion), Contains(full_name(1, 130)));
    EXPECT_EQ(verdict(plan, full_name(1, 238)).reason, "it may be in the making");
    EXPECT_THAT(backups_of(plan.deletion), Not(Contains(full_name(1, 238))));
}

TEST_F(PolicyTest, ABackupOfAnotherClusterIsNotOurs) {
    add_days(12, 240);
    add_wal(1, 241);
    layout::Sentinel sentinel =
        inventory_.backups.empty() ? store_.inventory().backups.front().sentinel : inventory_.backups.front().sentinel;
    sentinel.system_identifier = 42;
    store_.put(layout::sentinel_key(full_name(1, 12)), layout::sentinel_json(sentinel));
    policy_.system_identifier = 43;
    const RetentionPlan plan = this->plan(240);
    EXPECT_EQ(verdict(plan, full_name(1, 12)).reason, "it belongs to another cluster");
    EXPECT_TRUE(verdict(plan, full_name(1, 12)).keep);
    EXPECT_THAT(plan.deletion.backups, SizeIs(8));
}

}  // namespace
}  // namespace forge::retention
