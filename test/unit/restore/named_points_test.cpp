// Restore points over the golden bucket: rp_tl1 is in segment 8 of timeline 1, rp_tl2 in segment 9 of timeline 2, which
// left timeline 1 after the former.
#include "core/restore/named_points.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::restore {
namespace {

using namespace forge::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kFull = "base_000000010000000000000003";
constexpr const char* kSecondDelta = "base_000000010000000000000007_D_000000010000000000000005";
const std::string kOnFirst = "000000010000000000000008";
const std::string kOnSecond = "000000020000000000000009";

class KeptLog final : public Logger {
public:
    void log(LogLevel level, std::string_view message) override {
        if (level == LogLevel::kWarning) text += std::string(message) + "\n";
    }
    std::string text;
};

class NamedPointsTest : public ::testing::Test {
protected:
    NamedPointsTest() {
        copy_golden_bucket(bucket_.path("b"));
        repository_ = repository_in(bucket_.path("b"), golden_settings());
    }
    void add(const std::string& segment, const std::string& name, Lsn lsn, std::int64_t seconds,
             std::uint64_t left_out = 0) {
        const Instant at = Instant::from_seconds(1'795'339'050 + seconds);
        ASSERT_TRUE(
            repository::store_restore_points(*repository_, {segment, {{segment, name, lsn, at}}, left_out}, {}).ok());
    }
    void add_both() {
        add(kOnSecond, "rp_tl2", 0x900F268, 10);
        add(kOnFirst, "rp_tl1", 0x800F908, 5);
    }
    void remove(const std::string& key) { ASSERT_TRUE(std::filesystem::remove(bucket_.path("b/" + key))) << key; }
    // "name timeline backup"
    std::vector<std::string> listed() {
        log_.text.clear();
        const auto points = named_points(*repository_, {}, log_);
        EXPECT_TRUE(points.ok()) << points.status().to_string();
        std::vector<std::string> texts;
        if (points.ok())
            for (const NamedPoint& point : *points)
                texts.push_back(point.name + " " + std::to_string(point.timeline) + " " + point.backup);
        return texts;
    }

    TemporaryDirectory bucket_;
    std::shared_ptr<repository::Repository> repository_;
    KeptLog log_;
};

TEST_F(NamedPointsTest, WithoutAnyThereAreNone) { EXPECT_THAT(listed(), IsEmpty()); }

TEST_F(NamedPointsTest, AreListedByTimeWithTheNewestBackupBefore) {
    add_both();
    EXPECT_THAT(listed(),
                ElementsAre(std::string("rp_tl1 1 ") + kSecondDelta, std::string("rp_tl2 2 ") + kSecondDelta));
    EXPECT_EQ(log_.text, "");
    // Without its parent the delta is of no use, nor are the others.
    remove(layout::sentinel_key(kSecondDelta));
    remove(layout::sentinel_key("base_000000010000000000000005_D_000000010000000000000003"));
    EXPECT_THAT(listed(), ElementsAre(std::string("rp_tl1 1 ") + kFull, std::string("rp_tl2 2 ") + kFull));
    remove(layout::sentinel_key(kFull));
    EXPECT_THAT(listed(), ElementsAre("rp_tl1 1 ", "rp_tl2 2 "));
}

TEST_F(NamedPointsTest, WithinABackupOnlyAnOlderOneLeadsThere) {
    const auto backup = repository_->find_backup(kSecondDelta, {}).value();
    const Lsn finish = backup.sentinel.finish_lsn.value();
    constexpr std::uint64_t kSize = layout::kDefaultSegmentSize;
    const std::string segment = layout::segment_name({1, (finish - 1) / kSize}, kSize);
    add(segment, "within", finish, 0);
    EXPECT_THAT(listed(), ElementsAre("within 1 base_000000010000000000000005_D_000000010000000000000003"));
}

TEST_F(NamedPointsTest, BehindAHoleNothingIsReached) {
    add_both();
    remove("wal_005/" + kOnFirst + ".br");
    EXPECT_THAT(listed(), ElementsAre(HasSubstr("rp_tl2 2")))
        << "without its segment the first one is not in the archive";
    const auto wal = repository_->list_wal({}).value();
    const bool copied = std::binary_search(wal.segments.begin(), wal.segments.end(), "000000020000000000000008");
    EXPECT_EQ(listed(), std::vector<std::string>{copied ? std::string("rp_tl2 2 ") + kSecondDelta : "rp_tl2 2 "});
}

TEST_F(NamedPointsTest, TheCopyOnTheNextTimelineIsTheSamePoint) {
    add(kOnFirst, "rp_tl1", 0x800F908, 5);
    add(kOnSecond, "rp_tl1", 0x800F908, 5);
    EXPECT_THAT(listed(), ElementsAre(std::string("rp_tl1 1 ") + kSecondDelta));
}

TEST_F(NamedPointsTest, SameNamesAreSeveralPoints) {
    add(kOnFirst, "again", 0x800F000, 5);
    add(kOnSecond, "again", 0x900F268, 10);
    EXPECT_EQ(listed().size(), 2U);
}

TEST_F(NamedPointsTest, ABrokenObjectIsNamedAndTheOthersAreListed) {
    add_both();
    write_text(bucket_.path("b/" + layout::restore_points_key(kOnFirst)), "nonsense");
    EXPECT_THAT(listed(), ElementsAre(std::string("rp_tl2 2 ") + kSecondDelta));
    EXPECT_THAT(log_.text, HasSubstr("restore points are left out"));
    EXPECT_THAT(log_.text, HasSubstr(layout::restore_points_key(kOnFirst)));
    // Swapped: it can be decrypted, and says that it is another one's.
    std::filesystem::copy_file(bucket_.path("b/" + layout::restore_points_key(kOnSecond)),
                               bucket_.path("b/" + layout::restore_points_key(kOnFirst)),
                               std::filesystem::copy_options::overwrite_existing);
    EXPECT_EQ(listed().size(), 1U);
    EXPECT_THAT(log_.text, HasSubstr("it is that of segment \"" + kOnSecond + "\""));
    // Another key.
    repository_ = repository_in(bucket_.path("b"), [] {
        settings::Settings settings = golden_settings();
        settings.keys = crypto::KeyRing({other_key()});
        return settings;
    }());
    log_.text.clear();
    const auto points = named_points(*repository_, {}, log_);
    EXPECT_THAT(log_.text, HasSubstr(layout::restore_points_key(kOnFirst)));
}

TEST_F(NamedPointsTest, WhatWasLeftOutIsSaid) {
    add(kOnFirst, "one", 0x800F908, 5, 7);
    EXPECT_EQ(listed().size(), 1U);
    EXPECT_THAT(log_.text, HasSubstr("7 more are left out"));
}

TEST_F(NamedPointsTest, WhereTheStoreFailsTheListFails) {
    add_both();
    store::CallContext late;
    late.deadline = Deadline::after(milliseconds(0));
    EXPECT_FALSE(named_points(*repository_, late, log_).ok());
}

}  // namespace
}  // namespace forge::restore
