// The golden bucket as a server sees it that made it: backups F, D1 and D2 on timeline 1, promoted in segment 9.
#include "core/restore/continuity.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::restore {
namespace {

using namespace forge::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using State = Continuity::State;

constexpr const char* kFull = "base_000000010000000000000003";
constexpr const char* kDelta = "base_000000010000000000000005_D_000000010000000000000003";
constexpr const char* kSecondDelta = "base_000000010000000000000007_D_000000010000000000000005";
constexpr std::uint64_t kSize = 16 * kMegabyte;

class SilentLog final : public Logger {
public:
    void log(LogLevel, std::string_view) override {}
};

class ContinuityTest : public ::testing::Test {
protected:
    ContinuityTest() {
        copy_golden_bucket(directory_.path("b"));
        repository_ = repository_in(directory_.path("b"), golden_settings());
        std::filesystem::create_directories(directory_.path("data/pg_wal/archive_status"));
        place_.data_directory = directory_.path("data");
        place_.system_identifier = repository_->find_backup(kFull, {})->sentinel.system_identifier;
        place_.timeline = 2;
        place_.position = 10 * kSize + 40;
        write_text(pg_wal("00000002.history"), repository_->read_wal_text("00000002.history", {}).value());
    }
    std::string pg_wal(const std::string& name) const { return directory_.path("data/pg_wal/" + name); }
    void remove_wal(const std::string& name) {
        ASSERT_TRUE(std::filesystem::remove(directory_.path("b/wal_005/" + name + ".br")));
    }
    void remove_sentinel(const std::string& name) {
        ASSERT_TRUE(std::filesystem::remove(directory_.path("b/" + layout::sentinel_key(name))));
    }
    void keep_on_disk(const std::string& name, std::uint64_t system_identifier) {
        write_bytes(pg_wal(name), make_segment(name, kSize, 1, system_identifier));
    }
    Continuity look(bool contents = false) {
        auto found = check_continuity(*repository_, place_, contents, {}, log_);
        EXPECT_TRUE(found.ok()) << found.status().to_string();
        return found.ok() ? *std::move(found) : Continuity();
    }

    TemporaryDirectory directory_;
    SilentLog log_;
    std::shared_ptr<repository::Repository> repository_;
    ServerPlace place_;
};

TEST_F(ContinuityTest, AWholeArchiveLeadsAcrossThePromotion) {
    for (const bool contents : {false, true}) {
        const Continuity found = look(contents);
        EXPECT_EQ(found.state, State::kBackup) << found.problem;
        ASSERT_TRUE(found.backup);
        EXPECT_EQ(found.backup->name, kSecondDelta);
        EXPECT_THAT(found.holes, IsEmpty());
        EXPECT_THAT(found.on_disk, IsEmpty());
        EXPECT_EQ(found.waiting, 0U);
    }
}

TEST_F(ContinuityTest, WhatIsNowhereIsAHole) {
    remove_wal("000000010000000000000007");
    remove_wal("000000010000000000000008");
    remove_wal("000000020000000000000009");
    const Continuity found = look();
    ASSERT_EQ(found.holes.size(), 2U) << "one for each timeline";
    EXPECT_EQ(found.holes[0].first, "000000010000000000000007");
    EXPECT_EQ(found.holes[0].last, "000000010000000000000008");
    EXPECT_EQ(found.holes[0].segments, 2U);
    EXPECT_EQ(found.holes[1].first, "000000020000000000000009");
}

TEST_F(ContinuityTest, WhatIsInPgWalCanBeArchivedAgain) {
    remove_wal("000000010000000000000007");
    remove_wal("000000010000000000000008");
    remove_wal("000000020000000000000009");
    ASSERT_TRUE(std::filesystem::remove(directory_.path("b/wal_005/00000002.history.br")));
    keep_on_disk("000000010000000000000008", place_.system_identifier);
    keep_on_disk("000000020000000000000009", place_.system_identifier + 1);  // of another cluster
    write_text(pg_wal("archive_status/000000010000000000000007.ready"), "");
    const Continuity found = look();
    EXPECT_THAT(found.on_disk, ElementsAre("00000002.history", "000000010000000000000008"));
    EXPECT_EQ(found.waiting, 1U);
    ASSERT_EQ(found.holes.size(), 1U);
    EXPECT_EQ(found.holes[0].first, "000000020000000000000009");
}

TEST_F(ContinuityTest, WhatTheServerStillWritesIsNotMissing) {
    place_.position = 9 * kSize + 0x2000;
    remove_wal("000000020000000000000009");
    EXPECT_THAT(look().holes, IsEmpty());
}

TEST_F(ContinuityTest, AStandbyLooksForABackupOnly) {
    place_.position = 0;
    remove_wal("000000010000000000000008");
    const Continuity found = look();
    EXPECT_EQ(found.state, State::kBackup);
    EXPECT_THAT(found.holes, IsEmpty());
}

TEST_F(ContinuityTest, ABackupTheServerHasNotReachedIsNotOnItsWay) {
    place_.timeline = 1;
    place_.position = 6 * kSize;
    const Continuity found = look();
    ASSERT_TRUE(found.backup);
    EXPECT_EQ(found.backup->name, kDelta);
}

TEST_F(ContinuityTest, BackupsOfAnotherLineageDoNotCount) {
    write_text(pg_wal("00000003.history"), "1\t0/4000000\tleft early\n");
    place_.timeline = 3;
    const Continuity found = look();
    ASSERT_EQ(found.state, State::kBackup) << "F ended before the timeline was left";
    EXPECT_EQ(found.backup->name, kFull);
    write_text(pg_wal("00000003.history"), "1\t0/2000000\tleft earlier\n");
    const Continuity none = look();
    EXPECT_EQ(none.state, State::kForeign);
    EXPECT_THAT(none.problem, HasSubstr("none of the 3 backups in the store leads to timeline 3"));
    place_.system_identifier += 1;
    EXPECT_EQ(look().state, State::kForeign);
}

TEST_F(ContinuityTest, ABackupThatCannotBeRestoredIsDamaged) {
    remove_sentinel(kDelta);
    const Continuity orphan = look();
    EXPECT_EQ(orphan.state, State::kDamaged);
    EXPECT_THAT(orphan.problem, HasSubstr(kSecondDelta));
}

TEST_F(ContinuityTest, S24_PartsThatAreGoneAreNoticed) {
    ASSERT_TRUE(std::filesystem::remove(directory_.path("b/" + layout::parts_folder(kFull) + "part_002.tar.br")));
    EXPECT_EQ(look().state, State::kBackup) << "a quick look does not read lists of files";
    EXPECT_EQ(look(true).state, State::kDamaged) << "though it is a part of what D2 builds on";
    std::filesystem::remove_all(directory_.path("b/" + layout::parts_folder(kSecondDelta)));
    const Continuity gone = look();
    EXPECT_EQ(gone.state, State::kDamaged);
    EXPECT_THAT(gone.problem, HasSubstr("its parts are gone"));
}

TEST_F(ContinuityTest, WithoutAnyBackupThereIsNothing) {
    for (const char* name : {kFull, kDelta, kSecondDelta}) remove_sentinel(name);
    EXPECT_EQ(look().state, State::kNoBackups);
}

}  // namespace
}  // namespace forge::restore
