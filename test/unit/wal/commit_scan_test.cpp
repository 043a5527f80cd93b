#include "core/wal/commit_scan.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;

// Two segments: in the first one the commit of transaction 1, that of transaction 2 across their border, nothing else in
// the second one.
class CommitScanTest : public ::testing::Test {
protected:
    CommitScanTest() {
        wal_.add_commit(1, 1'000'000);
        wal_.add_filler(kMegabyte - 16384);
        while (wal_.position() < 6 * kMegabyte - 8192) wal_.add_filler(8);
        wal_.fill_page(24);
        wal_.add_commit(2, 2'000'000);
        wal_.add_filler(100);
        for (std::uint64_t number : {5, 6}) write_bytes(path(number), wal_.segments()[number - 5]);
    }
    static std::string name(std::uint64_t number) { return layout::segment_name({1, number}, kMegabyte); }
    std::string path(std::uint64_t number) const { return directory_.path(name(number)); }
    std::uint32_t last_of(std::uint64_t number) {
        const auto found = scan_.scan(name(number), path(number));
        EXPECT_TRUE(found.ok()) << found.status().to_string();
        return found.ok() && *found ? (*found)->xid : 0;
    }

    TemporaryDirectory directory_;
    WalBuilder wal_{5, kMegabyte};
    CommitScan scan_{kMegabyte};
};

TEST_F(CommitScanTest, ACommitAcrossABorderCountsWhereItEnds) {
    EXPECT_EQ(last_of(5), 1U);
    EXPECT_EQ(last_of(6), 2U);
    EXPECT_EQ(last_of(5), 1U) << "the same again";
}

TEST_F(CommitScanTest, TheSegmentBeforeIsReadWhereItWasNotScanned) {
    EXPECT_EQ(last_of(6), 2U);
    CommitScan other(kMegabyte);
    std::filesystem::remove(path(5));
    const auto found = other.scan(name(6), path(6));
    ASSERT_TRUE(found.ok());
    EXPECT_FALSE(*found) << "where it is gone, nobody knows";
}

TEST_F(CommitScanTest, AHistoryHasNoCommits) {
    const auto found = scan_.scan("00000002.history", directory_.path("00000002.history"));
    ASSERT_TRUE(found.ok());
    EXPECT_FALSE(*found);
}

TEST_F(CommitScanTest, AFileThatCannotBeReadIsSaid) {
    std::filesystem::remove(path(6));
    EXPECT_EQ(last_of(5), 1U);
    EXPECT_FALSE(scan_.scan(name(6), path(6)).ok());
    EXPECT_EQ(last_of(5), 1U) << "and the next one is read as ever";
}

}  // namespace
}  // namespace forge::wal
