// Plans over the golden bucket: a full backup (F) and two deltas on timeline 1, WAL of timelines 1 and 2. Positions and
// times are those that the server's own tool prints for these segments.
#include <gmock/gmock.h>

#include "core/restore/estimate.h"
#include "core/restore/recovery_settings.h"
#include "core/restore/target.h"
#include "test/unit/wal/support.h"

namespace forge::restore {
namespace {

using namespace forge::testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFull = "base_000000010000000000000003";
constexpr const char* kDelta = "base_000000010000000000000005_D_000000010000000000000003";
constexpr const char* kSecondDelta = "base_000000010000000000000007_D_000000010000000000000005";
constexpr const char* kEarliest = "2026-11-22 09:17:33.254902+00";
constexpr const char* kLatest = "2026-11-22 09:17:40.779029+00";

class KeptLog final : public Logger {
public:
    void log(LogLevel, std::string_view message) override { text += std::string(message) + "\n"; }
    std::string text;
};

class PlanTest : public ::testing::Test {
protected:
    PlanTest() {
        copy_golden_bucket(bucket_.path("b"));
        repository_ = repository_in(bucket_.path("b"), golden_settings());
        // Most tests are about one full backup; ChainPlanTest has the bucket as it is.
        remove_backup(kDelta);
        remove_backup(kSecondDelta);
    }
    void remove_backup(const std::string& name) {
        ASSERT_TRUE(std::filesystem::remove(bucket_.path("b/" + layout::sentinel_key(name))));
    }

    static Target at_time(std::string_view time) {
        Target target;
        target.type = Target::Type::kTime;
        target.time = parse_time("2026-11-22 09:17:" + std::string(time) + "+00").value();
        return target;
    }
    static Target at_lsn(Lsn lsn) {
        Target target;
        target.type = Target::Type::kLsn;
        target.lsn = lsn;
        return target;
    }
    static Target at_xid(std::uint32_t xid) {
        Target target;
        target.type = Target::Type::kXid;
        target.xid = xid;
        return target;
    }
    static Target at_name(std::string name) {
        Target target;
        target.type = Target::Type::kName;
        target.name = std::move(name);
        return target;
    }
    static Target exclusive(Target target) {
        target.inclusive = false;
        return target;
    }
    static Target on_timeline(std::string timeline, Target target = {}) {
        target.timeline = std::move(timeline);
        return target;
    }
    static Target from_backup(std::string backup, Target target = {}) {
        target.backup = std::move(backup);
        return target;
    }

    Result<Plan> plan(const Target& target, bool allow_nearest = false) {
        return make_plan(*repository_, target, allow_nearest, {}, log_);
    }
    Plan good_plan(const Target& target, bool allow_nearest = false) {
        auto made = plan(target, allow_nearest);
        EXPECT_TRUE(made.ok()) << made.status().to_string();
        return made.ok() ? *made : Plan();
    }
    std::string refusal(const Target& target) {
        const auto made = plan(target);
        EXPECT_FALSE(made.ok()) << "should have been refused";
        if (made.ok()) return {};
        EXPECT_TRUE(made.status().is(Kind::kInvalid)) << made.status().to_string();
        return made.status().message();
    }
    void remove_wal(const std::string& name) {
        ASSERT_TRUE(std::filesystem::remove(bucket_.path("b/wal_005/" + name + ".br")));
    }
    // Another full backup; only its sentinel and metadata, which is all that plans look at.
    void add_backup(const std::string& name, Lsn start, Lsn finish, std::string_view finish_time,
                    Timeline finish_timeline = 0) {
        layout::Sentinel sentinel = repository_->find_backup(kFull, {})->sentinel;
        sentinel.start_lsn = start;
        sentinel.finish_lsn = finish;
        sentinel.finish_timeline = finish_timeline;
        sentinel.start_time = sentinel.finish_time =
            parse_time("2026-11-22 09:17:" + std::string(finish_time) + "+00").value();
        write_text(bucket_.path("b/" + layout::sentinel_key(name)), layout::sentinel_json(sentinel));
        write_text(bucket_.path("b/" + layout::metadata_key(name)), layout::metadata_json(sentinel));
    }

    TemporaryDirectory bucket_;
    std::shared_ptr<repository::Repository> repository_;
    KeptLog log_;
};

std::string text(const std::optional<Instant>& time) { return time ? format_postgres(*time) : "nothing"; }
std::string text(const std::optional<Lsn>& lsn) { return lsn ? format_lsn(*lsn) : "nothing"; }

TEST_F(PlanTest, R5_LatestLeadsToTheNewestTimelineFromTheNewestFullBackup) {
    const Plan plan = good_plan({});
    EXPECT_EQ(plan.backup.name, kFull);
    EXPECT_EQ(plan.timeline, 2U);
    EXPECT_THAT(plan.lineage, ElementsAre(1, 2));
    EXPECT_EQ(plan.first_segment, "000000010000000000000003");
    EXPECT_EQ(plan.last_segment, "000000020000000000000009");
    EXPECT_EQ(plan.segments, 7U);
    EXPECT_EQ(text(plan.reached_time), kLatest);
    EXPECT_EQ(text(plan.reached_lsn), "0/900F268");
    EXPECT_TRUE(plan.exact);
    EXPECT_THAT(plan.missing_segments, IsEmpty());
}

TEST_F(PlanTest, R5_CurrentStaysOnTheTimelineOfTheBackup) {
    for (const char* timeline : {"current", "1"}) {
        const Plan plan = good_plan(on_timeline(timeline));
        EXPECT_EQ(plan.timeline, 1U);
        EXPECT_THAT(plan.lineage, ElementsAre(1));
        EXPECT_EQ(plan.last_segment, "000000010000000000000008");
        EXPECT_EQ(plan.segments, 6U);
        EXPECT_EQ(text(plan.reached_time), "2026-11-22 09:17:37.626616+00");
    }
    EXPECT_EQ(good_plan(on_timeline("2")).last_segment, "000000020000000000000009");
}

TEST_F(PlanTest, RefusesTimelinesThatDoNotExist) {
    EXPECT_THAT(refusal(on_timeline("3")), HasSubstr("timeline 3 does not exist"));
    EXPECT_THAT(refusal(on_timeline("newest")), HasSubstr("invalid timeline \"newest\""));
    EXPECT_THAT(refusal(on_timeline("0")), HasSubstr("invalid timeline"));
}

TEST_F(PlanTest, R5_FindsRestorePoints) {
    const Plan first = good_plan(at_name("rp_tl1"));
    EXPECT_EQ(first.backup.name, kFull);
    EXPECT_EQ(first.last_segment, "000000010000000000000008");
    EXPECT_EQ(text(first.reached_time), "2026-11-22 09:17:37.626616+00");
    EXPECT_EQ(text(first.reached_lsn), "0/800F8A0");
    const Plan second = good_plan(at_name("rp_tl2"));
    EXPECT_EQ(second.last_segment, "000000020000000000000009");
    EXPECT_EQ(text(second.reached_time), kLatest);
    EXPECT_TRUE(second.exact);
    EXPECT_THAT(refusal(on_timeline("current", at_name("rp_tl2"))),
                HasSubstr("target restore point \"rp_tl2\" is not in the archived WAL"));
    EXPECT_THAT(refusal(at_name("rp_tl3")), HasSubstr(kLatest));
}

TEST_F(PlanTest, R1_RefusesATimeBeforeTheFirstBackupEndedWithTheWindow) {
    const std::string message = refusal(at_time("33.1"));
    EXPECT_THAT(message, HasSubstr("target time \"2026-11-22 09:17:33.1+00\" is before the first backup ended"));
    EXPECT_THAT(message, HasSubstr(kEarliest));
    EXPECT_THAT(message, HasSubstr(kLatest));
    EXPECT_FALSE(plan(at_time("33.1"), true).ok()) << "there is nothing to go back to";
}

TEST_F(PlanTest, R1_RefusesATimeAfterTheLastTransactionOrGoesBackToIt) {
    const std::string message = refusal(at_time("41"));
    EXPECT_THAT(message, HasSubstr("is after the last archived transaction"));
    EXPECT_THAT(message, HasSubstr(kEarliest));
    EXPECT_THAT(message, HasSubstr(kLatest));
    // The server wants to see a later transaction.
    EXPECT_THAT(refusal(at_time("40.779029")), HasSubstr("recovery stops only at a later one"));

    const Plan plan = good_plan(at_time("41"), true);
    EXPECT_FALSE(plan.exact);
    EXPECT_THAT(plan.inexact_reason, HasSubstr("is after the last archived transaction"));
    EXPECT_EQ(text(plan.reached_time), kLatest);
    EXPECT_EQ(plan.last_segment, "000000020000000000000009");
    EXPECT_EQ(plan.target.type, Target::Type::kTime);
}

TEST_F(PlanTest, R5_StopsBeforeTheFirstTransactionLaterThanTheTarget) {
    const struct {
        const char* target;
        bool inclusive;
        const char* reached;
        const char* record;
        const char* segment;
    } cases[] = {
        {"33.27", true, "nothing", "0/4010B90", "000000010000000000000004"},  // nothing but the backup
        {"33.295", true, "2026-11-22 09:17:33.294349+00", "0/40C6BC8", "000000010000000000000004"},
        {"33.295645", true, "2026-11-22 09:17:33.295645+00", "0/40E4FE8", "000000010000000000000004"},
        {"33.295645", false, "2026-11-22 09:17:33.294349+00", "0/40C6BC8", "000000010000000000000004"},
        {"34", true, "2026-11-22 09:17:33.30195+00", "0/6010378", "000000010000000000000006"},
        {"36", true, "2026-11-22 09:17:35.454731+00", "0/800E4B8", "000000010000000000000008"},
        {"38", true, "2026-11-22 09:17:37.626616+00", "0/9000E30", "000000020000000000000009"},
        {"40.7789", true, "2026-11-22 09:17:40.778153+00", "0/900F188", "000000020000000000000009"},
    };
    for (const auto& expected : cases) {
        Target target = at_time(expected.target);
        target.inclusive = expected.inclusive;
        const Plan plan = good_plan(target);
        EXPECT_EQ(text(plan.reached_time), expected.reached) << expected.target;
        EXPECT_EQ(text(plan.reached_lsn), expected.record) << expected.target;
        EXPECT_EQ(plan.last_segment, expected.segment) << expected.target;
        EXPECT_TRUE(plan.exact);
    }
}

TEST_F(PlanTest, R5_ReachesPositions) {
    EXPECT_EQ(text(good_plan(at_lsn(0x4056E98)).reached_time), "2026-11-22 09:17:33.294349+00");
    EXPECT_EQ(text(good_plan(at_lsn(0x4056E98)).reached_lsn), "0/4056E98");
    EXPECT_EQ(text(good_plan(exclusive(at_lsn(0x4056E98))).reached_time), "2026-11-22 09:17:33.293207+00");
    EXPECT_EQ(text(good_plan(exclusive(at_lsn(0x4056E98))).reached_lsn), "0/4056E58");
    EXPECT_EQ(text(good_plan(at_lsn(0x4056E80)).reached_lsn), "0/4056E98") << "within a record the next one counts";
    // In another segment than the last commit before it.
    const Plan idle = good_plan(at_lsn(0x5000028));
    EXPECT_EQ(text(idle.reached_time), "2026-11-22 09:17:33.30195+00");
    EXPECT_EQ(idle.last_segment, "000000010000000000000005");
    EXPECT_EQ(text(good_plan(at_lsn(0x900F268)).reached_time), kLatest);
    EXPECT_EQ(text(good_plan(at_lsn(0x3000100)).reached_time), "nothing");
}

TEST_F(PlanTest, R1_RefusesPositionsOutsideTheArchive) {
    EXPECT_THAT(refusal(at_lsn(0x30000FF)), HasSubstr("target LSN 0/30000FF is before the first backup ended"));
    EXPECT_THAT(refusal(at_lsn(0x900F269)),
                HasSubstr("target LSN 0/900F269 is after the last archived record, at 0/900F268"));
    EXPECT_THAT(refusal(at_lsn(0xA000000)), HasSubstr("is after the last archived record"));
    const Plan plan = good_plan(at_lsn(0xA000000), true);
    EXPECT_FALSE(plan.exact);
    EXPECT_EQ(text(plan.reached_lsn), "0/900F268");
}

TEST_F(PlanTest, R5_FindsTransactions) {
    const Plan with = good_plan(at_xid(753));
    EXPECT_EQ(text(with.reached_time), "2026-11-22 09:17:35.453122+00");
    EXPECT_EQ(text(with.reached_lsn), "0/60111E8");
    EXPECT_EQ(with.last_segment, "000000010000000000000006");
    const Plan without = good_plan(exclusive(at_xid(753)));
    EXPECT_EQ(text(without.reached_time), "2026-11-22 09:17:33.30195+00");
    EXPECT_EQ(text(without.reached_lsn), "0/6010378");
    EXPECT_THAT(refusal(at_xid(4711)), HasSubstr("target transaction 4711 is not in the archived WAL"));
    EXPECT_FALSE(plan(at_xid(4711), true).ok()) << "nothing is near a transaction nobody knows";
}

TEST_F(PlanTest, R5_ImmediateEndsWithTheBackup) {
    Target target;
    target.type = Target::Type::kImmediate;
    const Plan plan = good_plan(target);
    EXPECT_EQ(plan.first_segment, "000000010000000000000003");
    EXPECT_EQ(plan.last_segment, "000000010000000000000003");
    EXPECT_EQ(plan.segments, 1U);
    EXPECT_EQ(text(plan.reached_lsn), "0/3000100");
}

TEST_F(PlanTest, R2_NamesAHoleAndTheNearestPointBeforeIt) {
    remove_wal("000000010000000000000006");
    for (const Target& target :
         {Target(), at_time("34"), at_time("41"), at_xid(753), at_name("rp_tl1"), at_lsn(0x6000028)}) {
        const auto made = plan(target);
        ASSERT_FALSE(made.ok());
        EXPECT_TRUE(made.status().is(Kind::kInvalid));
        EXPECT_THAT(
            made.status().message(),
            HasSubstr("lies beyond a hole in the archived WAL: segment \"000000010000000000000006\" is missing"));
        EXPECT_THAT(made.status().hint(), HasSubstr("2026-11-22 09:17:33.30195+00"));

        const Plan near = good_plan(target, true);
        EXPECT_FALSE(near.exact);
        EXPECT_EQ(text(near.reached_time), "2026-11-22 09:17:33.30195+00");
        EXPECT_EQ(near.last_segment, "000000010000000000000005");
        EXPECT_EQ(near.segments, 3U);
        EXPECT_THAT(near.missing_segments, ElementsAre("000000010000000000000006"));
    }
    EXPECT_TRUE(good_plan(at_time("33.3")).exact) << "a target before the hole can be reached";
    EXPECT_TRUE(good_plan(at_xid(745)).exact);
}

TEST_F(PlanTest, R2_ABackupAfterTheHoleBridgesIt) {
    remove_wal("000000010000000000000006");
    add_backup("base_000000010000000000000007", 0x7000028, 0x7000100, "37.601625");
    const Plan plan = good_plan({});
    EXPECT_EQ(plan.backup.name, "base_000000010000000000000007");
    EXPECT_EQ(text(plan.reached_time), kLatest);
    EXPECT_THAT(refusal(at_time("36")), HasSubstr("hole")) << "but what lies in it stays lost";
}

TEST_F(PlanTest, ABackupWithoutItsOwnWalIsPassedOver) {
    add_backup("base_000000010000000000000007", 0x7000028, 0x7000100, "37.601625");
    remove_wal("000000010000000000000007");
    EXPECT_EQ(good_plan(at_time("33.3")).backup.name, kFull);
    EXPECT_THAT(
        log_.text,
        HasSubstr(
            "backup \"base_000000010000000000000007\" cannot be restored: WAL segment \"000000010000000000000007\""));
    remove_wal("000000010000000000000003");
    EXPECT_THAT(refusal({}),
                HasSubstr("cannot be restored: WAL segment \"000000010000000000000003\", which it needs, is missing"));
}

TEST_F(PlanTest, ChoosesTheNewestBackupBeforeTheTarget) {
    const std::string newer = "base_000000010000000000000007";
    add_backup(newer, 0x7000028, 0x7000100, "37.601625");
    EXPECT_EQ(good_plan({}).backup.name, newer);
    EXPECT_EQ(good_plan(at_time("37.61")).backup.name, newer);
    EXPECT_EQ(good_plan(at_time("37.6")).backup.name, kFull);
    EXPECT_EQ(good_plan(at_lsn(0x7000100)).backup.name, newer);
    EXPECT_EQ(good_plan(at_lsn(0x70000FF)).backup.name, kFull);
    EXPECT_EQ(good_plan(at_name("rp_tl1")).backup.name, newer);
    EXPECT_EQ(good_plan(at_xid(756)).backup.name, newer);
    EXPECT_EQ(good_plan(at_xid(755)).backup.name, kFull) << "found before the newer backup began";
    EXPECT_THAT(refusal(from_backup(newer, at_time("36"))), HasSubstr("is before the first backup ended"));
    EXPECT_EQ(good_plan(from_backup("LATEST")).backup.name, newer);
    EXPECT_EQ(good_plan(from_backup(kFull)).backup.name, kFull);
}

// P5: a timeline begins inside a segment, which then is in the storage under both names.
TEST_F(PlanTest, P5_BackupsOfAnAbandonedTimelineAreNotChosen) {
    // Taken on timeline 1 after timeline 2 had left it, at 0/9000E98.
    const std::string abandoned = "base_000000010000000000000009";
    add_backup(abandoned, 0x9001000, 0x9002000, "39.9");
    const Plan plan = good_plan({});
    EXPECT_EQ(plan.backup.name, kFull);
    EXPECT_EQ(plan.timeline, 2U);
    EXPECT_THAT(refusal(from_backup(abandoned, on_timeline("2"))), HasSubstr("does not lie on the way to timeline 2"));
    // On its own timeline it could be used, were its WAL there.
    EXPECT_THAT(refusal(from_backup(abandoned)),
                HasSubstr("WAL segment \"000000010000000000000009\", which it needs, is missing"));
}

// P4: of a standby that went on with it while timeline 2 left timeline 1, at 0/9000E98.
TEST_F(PlanTest, ABackupThatEndedOnTheNextTimeline) {
    const std::string across = "base_000000010000000000000008";
    add_backup(across, 0x8000028, 0x9001000, "39.5", 2);
    const Plan latest = good_plan({});
    EXPECT_EQ(latest.backup.name, across);
    EXPECT_EQ(latest.timeline, 2U);
    EXPECT_THAT(latest.lineage, ElementsAre(1, 2));
    EXPECT_EQ(latest.first_segment, "000000010000000000000008");
    EXPECT_EQ(good_plan(on_timeline("1")).backup.name, kFull) << "there it is not consistent";
    const Plan current = good_plan(from_backup(across, on_timeline("current")));
    EXPECT_EQ(current.timeline, 2U);
    const auto settings = recovery_settings(current, {.restore_command = "fetch"});
    EXPECT_THAT(settings, Contains(std::pair<std::string, std::string>("recovery_target_timeline", "2")));
}

TEST_F(PlanTest, P5_TheOldTimelinesFileServesUpToTheSwitch) {
    remove_wal("000000020000000000000009");
    std::filesystem::rename(bucket_.path("b/wal_005/000000010000000000000009.partial.br"),
                            bucket_.path("b/wal_005/000000010000000000000009.br"));
    const Plan plan = good_plan({});
    EXPECT_EQ(plan.timeline, 2U);
    EXPECT_EQ(plan.last_segment, "000000010000000000000009");
    EXPECT_EQ(text(plan.reached_time), "2026-11-22 09:17:39.690919+00");
    EXPECT_EQ(text(plan.reached_lsn), "0/9000E70");
}

TEST_F(PlanTest, NamedBackupsAreTakenAtTheirWord) {
    const std::string newer = "base_000000010000000000000007";
    add_backup(newer, 0x7000028, 0x7000100, "37.601625");
    EXPECT_EQ(good_plan(from_backup(kFull)).backup.name, kFull);
    EXPECT_THAT(refusal(from_backup("base_00000001000000000000000F")), HasSubstr("does not exist"));
}

class ChainPlanTest : public PlanTest {
protected:
    ChainPlanTest() {
        std::filesystem::remove_all(bucket_.path("b"));
        copy_golden_bucket(bucket_.path("b"));
    }
};

TEST_F(ChainPlanTest, DeltasServeLikeOthers) {
    EXPECT_EQ(good_plan({}).backup.name, kSecondDelta);
    EXPECT_EQ(good_plan({}).first_segment, "000000010000000000000007");
    EXPECT_EQ(good_plan(at_time("37.60")).backup.name, kDelta);
    EXPECT_EQ(good_plan(at_time("35.40")).backup.name, kFull);
    EXPECT_EQ(good_plan(from_backup(kDelta)).backup.name, kDelta);
}

// S24: without its parent a delta is nothing.
TEST_F(ChainPlanTest, ADeltaWithoutItsParentsIsPassedOver) {
    remove_backup(kDelta);
    EXPECT_EQ(good_plan({}).backup.name, kFull);
    const auto named = plan(from_backup(kSecondDelta));
    ASSERT_FALSE(named.ok());
    EXPECT_TRUE(named.status().is(Kind::kCorrupt));
    EXPECT_THAT(named.status().message(),
                HasSubstr(std::string("needs its parent \"") + kDelta + "\", which is missing"));
    remove_backup(kFull);
    EXPECT_THAT(refusal({}), HasSubstr("there is no backup that can be restored"));
}

TEST_F(PlanTest, S14_ADamagedSegmentIsNamed) {
    write_text(bucket_.path("b/wal_005/000000020000000000000009.br"), "no such thing");
    const auto made = plan({});
    ASSERT_FALSE(made.ok());
    EXPECT_TRUE(made.status().is(Kind::kCorrupt)) << made.status().to_string();
    EXPECT_THAT(made.status().message(), HasSubstr("000000020000000000000009"));
}

TEST_F(PlanTest, ADamagedHistoryIsNamed) {
    auto sink = repository_->create("wal_005/00000002.history.br", codec::Method::kBrotli, {});
    ASSERT_TRUE((*sink)->write(as_bytes("<html>")).ok());
    ASSERT_TRUE((*sink)->finish().ok());
    const auto made = plan({});
    ASSERT_FALSE(made.ok());
    EXPECT_TRUE(made.status().is(Kind::kCorrupt));
    EXPECT_THAT(made.status().message(), HasSubstr("00000002.history"));
}

TEST_F(PlanTest, AnEmptyArchiveIsSaidToBeEmpty) {
    std::filesystem::remove_all(bucket_.path("b"));
    std::filesystem::create_directories(bucket_.path("b"));
    EXPECT_THAT(refusal({}), HasSubstr("there is no backup in file://"));
    const auto window = recovery_window(*repository_, "latest", {});
    ASSERT_TRUE(window.ok());
    EXPECT_FALSE(window->earliest || window->latest);
}

TEST_F(PlanTest, TheWindowReachesFromTheFirstBackupToTheLastTransaction) {
    auto window = recovery_window(*repository_, "latest", {});
    ASSERT_TRUE(window.ok()) << window.status().to_string();
    EXPECT_EQ(text(window->earliest), kEarliest);
    EXPECT_EQ(text(window->latest), kLatest);
    EXPECT_EQ(text(window->latest_lsn), "0/900F200");
    // After a backup on an idle cluster the last transaction lies before it.
    remove_wal("000000020000000000000009");
    remove_wal("000000010000000000000008");
    add_backup("base_000000010000000000000007", 0x7000028, 0x7000100, "37.601625");
    window = recovery_window(*repository_, "latest", {});
    ASSERT_TRUE(window.ok());
    EXPECT_EQ(text(window->latest), "2026-11-22 09:17:35.454731+00");
}

std::uint64_t stored_bytes(const std::string& directory) {
    std::uint64_t total = 0;
    for (const auto& file : std::filesystem::directory_iterator(directory)) total += file.file_size();
    return total;
}

TEST_F(ChainPlanTest, TheEstimateCountsEveryBackupOfTheChainAndTheWal) {
    const Plan made = good_plan({});
    const auto estimate = estimate_restore(*repository_, made, [](const std::string&) { return 0.5; }, {}, log_);
    ASSERT_TRUE(estimate.ok()) << estimate.status().to_string();
    EXPECT_THAT(estimate->chain, ElementsAre(kSecondDelta, kDelta, kFull));
    std::uint64_t parts = 0;
    for (const char* name : {kFull, kDelta, kSecondDelta})
        parts += stored_bytes(bucket_.path("b/" + layout::parts_folder(name)));
    EXPECT_EQ(estimate->backup_bytes, parts);
    std::uint64_t wal = 0;
    for (const char* name : {"000000010000000000000007", "000000010000000000000008", "000000020000000000000009"})
        wal += std::filesystem::file_size(bucket_.path("b/wal_005/" + std::string(name) + ".br"));
    EXPECT_EQ(estimate->wal_bytes, wal);
    EXPECT_EQ(estimate->wal_plain_bytes, made.segments * (16 * kMegabyte));
    EXPECT_GT(estimate->rates.backup, 0);
    EXPECT_GT(estimate->rates.wal, 0);
    EXPECT_GT(estimate->rates.command, 0);
    EXPECT_LT(estimate->rates.command, 0.5) << "the fetch itself counts elsewhere";
    EXPECT_GT(estimate->seconds, 0);
    EXPECT_TRUE(estimate->refused.ok());
}

TEST_F(ChainPlanTest, AChainThatIsNotWholeIsRefusedInTheEstimate) {
    const Plan made = good_plan({});
    remove_backup(kDelta);
    const auto estimate = estimate_restore(*repository_, made, {}, {}, log_);
    ASSERT_TRUE(estimate.ok()) << estimate.status().to_string();
    EXPECT_THAT(estimate->refused.message(), HasSubstr(kDelta));
    EXPECT_EQ(estimate->seconds, 0);
}

TEST(Estimate, TakesTheSlowerOfWhatOverlaps) {
    const double replay = 1e9 / Rates::kReplay;
    Estimate estimate;
    EXPECT_EQ(seconds_of(estimate, 1), 0) << "nothing was measured";
    estimate.backup_plain_bytes = 1'000'000'000;
    estimate.wal_plain_bytes = 1'000'000'000;
    estimate.rates = {.backup = 100e6, .wal = 1000e6, .command = 0.1};
    EXPECT_NEAR(seconds_of(estimate, 0), 0.5 + 10 + replay, 0.01) << "fetching is slower than writing";
    EXPECT_NEAR(seconds_of(estimate, 60), 0.5 + 10 + replay + 6, 0.01) << "a command for each segment";
    estimate.rates.wal = 10e6;
    EXPECT_NEAR(seconds_of(estimate, 0), 0.5 + 10 + 100, 0.01) << "fetching is slower than replay";
    estimate.rates.backup = 1000e6;
    EXPECT_NEAR(seconds_of(estimate, 0), 0.5 + 2 + 100, 0.01) << "writing is slower than fetching";
}

}  // namespace
}  // namespace forge::restore
