#include "core/wal/left_timeline.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using ::testing::HasSubstr;

constexpr std::uint64_t kSize = 16 * kMegabyte;

// In the golden bucket timeline 1 is left at 0/9000E98.
class LeftTimelineTest : public ::testing::Test {
protected:
    LeftTimelineTest() {
        copy_golden_bucket(directory_.path("b"));
        repository_ = repository_in(directory_.path("b"), golden_settings());
        std::filesystem::create_directories(directory_.path("data/pg_wal"));
        write_text(directory_.path("data/PG_VERSION"), "15\n");
    }
    Status check(const std::string& name) { return check_timeline_not_left(*repository_, name, kSize, {}); }
    void write_pid_file(pid_t pid, const std::string& status) {
        write_text(directory_.path("data/postmaster.pid"),
                   std::to_string(pid) + "\n/data\n1700000000\n5432\n/tmp\n\n 1 2\n" + status + "\n");
    }

    TemporaryDirectory directory_;
    std::shared_ptr<repository::Repository> repository_;
};

TEST_F(LeftTimelineTest, P3_ASegmentThatGoesBeyondTheForkIsRefused) {
    EXPECT_TRUE(check("000000010000000000000008").ok());
    const Status refused = check("000000010000000000000009");
    EXPECT_TRUE(refused.is(Kind::kConflict)) << refused.to_string();
    EXPECT_THAT(refused.message(),
                HasSubstr("goes beyond 0/9000E98, where timeline 1 was left (\"00000002.history\")"));
    EXPECT_TRUE(check("00000001000000000000000A").is(Kind::kConflict));
    EXPECT_TRUE(check("000000020000000000000009").ok()) << "the newest timeline was left by nobody";
    EXPECT_TRUE(check("00000002.history").ok());
    EXPECT_TRUE(check("000000010000000000000009.partial").ok());
}

TEST_F(LeftTimelineTest, OnlyAServerThatRunsAndStaysIsUp) {
    const std::string data = directory_.path("data");
    EXPECT_FALSE(server_is_up(data));
    write_pid_file(::getpid(), "ready   ");
    EXPECT_TRUE(server_is_up(data));
    write_pid_file(::getpid(), "stopping");
    EXPECT_FALSE(server_is_up(data));
    write_pid_file(0x3FFFFFFF, "ready   ");
    EXPECT_FALSE(server_is_up(data)) << "left behind by a server that was killed";
}

TEST_F(LeftTimelineTest, AFileInPgWalTellsItsDataDirectory) {
    EXPECT_EQ(data_directory_of(directory_.path("data/pg_wal/000000010000000000000001")), directory_.path("data"));
    EXPECT_EQ(data_directory_of(directory_.path("b/wal_005/000000010000000000000001")), "");
    EXPECT_EQ(data_directory_of("000000010000000000000001"), "");
}

}  // namespace
}  // namespace forge::wal
