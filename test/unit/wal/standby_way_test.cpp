#include "core/wal/standby_way.h"

#include <gtest/gtest.h>

#include "core/base/file.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

constexpr std::size_t kSegment = 1 << 20;

class StandbyWay : public ::testing::Test {
protected:
    void put(const std::string& name, const std::string& text) {
        ASSERT_TRUE(write_file_durably(path(name), as_bytes(text)).ok());
    }
    std::string path(const std::string& name) const { return directory_.path(name); }
    // Keeps a segment of this name, full of "x", to the way; what is left of it.
    std::string kept(const std::string& name) {
        put("RECOVERYXLOG", std::string(kSegment, 'x'));
        status_ = keep_to_way(path("RECOVERYXLOG"), name, directory_.path());
        if (!path_exists(path("RECOVERYXLOG"))) return "removed";
        const auto text = read_file(path("RECOVERYXLOG"), kSegment);
        return text.ok() && text->size() == kSegment ? text->substr(0, text->find('\0')) : "?";
    }

    testing::TemporaryDirectory directory_;
    Status status_;
};

TEST_F(StandbyWay, WithoutHistoryEverythingIsReplayed) {
    EXPECT_EQ(kept("000000010000000000000004").size(), kSegment);
    EXPECT_TRUE(status_.ok());
}

TEST_F(StandbyWay, EndsWhereTheTimelineWasLeft) {
    put("00000002.history", "1\t0/400100\tbefore 2026-11-22\n");
    EXPECT_EQ(kept("000000010000000000000003").size(), kSegment);
    EXPECT_EQ(kept("000000010000000000000004").size(), 0x100U);
    EXPECT_TRUE(status_.ok());
    EXPECT_EQ(kept("000000010000000000000005"), "removed");
    EXPECT_TRUE(status_.is(Kind::kNotFound));
    EXPECT_EQ(kept("000000020000000000000005").size(), kSegment);
}

// A segment in front of the one that begins there belongs to the old timeline whole, the next one not at all.
TEST_F(StandbyWay, EndsBetweenSegments) {
    put("00000002.history", "1\t0/400000\tbefore 2026-11-22\n");
    EXPECT_EQ(kept("000000010000000000000003").size(), kSegment);
    EXPECT_EQ(kept("000000010000000000000004"), "removed");
}

// Timeline 3 comes from 1 directly; where 2 left it does not matter.
TEST_F(StandbyWay, GoesByTheNewestHistory) {
    put("00000002.history", "1\t0/200000\tfirst\n");
    put("00000003.history", "1\t0/400100\tsecond\n");
    EXPECT_EQ(kept("000000010000000000000003").size(), kSegment);
    EXPECT_EQ(kept("000000010000000000000004").size(), 0x100U);
    EXPECT_EQ(kept("000000020000000000000009").size(), kSegment);
}

TEST_F(StandbyWay, DamagedHistoryDecidesNothing) {
    put("00000002.history", "nonsense\n");
    EXPECT_EQ(kept("000000010000000000000009").size(), kSegment);
    EXPECT_TRUE(status_.ok());
}

}  // namespace
}  // namespace forge::wal
