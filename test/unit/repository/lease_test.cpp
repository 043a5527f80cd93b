#include "core/repository/lease.h"

#include <gmock/gmock.h>

#include "test/unit/wal/support.h"

namespace forge::repository {
namespace {

using namespace forge::testing;
using ::testing::HasSubstr;

constexpr const char* kSentinel = "basebackups_005/base_000000010000000000000002_backup_stop_sentinel.json";

class SilentLog final : public Logger {
public:
    void log(LogLevel, std::string_view) override {}
};

// Refuses to write the lease while it is told to.
class DeafStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    Status put(const std::string& key, ByteView content, const store::CallContext& context) override {
        if (deaf && key == kLeaseKey) return Status(Kind::kUnavailable, "deaf");
        return next().put(key, content, context);
    }
    std::atomic<bool> deaf{false};
};

class LeaseTest : public ::testing::Test {
protected:
    LeaseTest()
        : store_(std::make_shared<DeafStore>(
              std::shared_ptr<store::ObjectStore>(store::open_local_store(directory_.path("b")).value()))) {}

    LeaseOptions options(const std::string& member) {
        LeaseOptions wanted;
        wanted.member = member;
        wanted.renewal = milliseconds(5);
        wanted.settling = milliseconds(1);
        wanted.now = [this] { return milliseconds(clock_.load()); };
        return wanted;
    }
    Result<std::unique_ptr<Lease>> take(const std::string& member) {
        return Lease::take(store_, options(member), log_, {});
    }
    // As if the store's clock had gone on since.
    void age(seconds by) {
        const std::string path = directory_.path("b/" + std::string(kLeaseKey));
        std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - by);
    }
    std::string content() { return read_text(directory_.path("b/" + std::string(kLeaseKey))); }
    bool exists() const { return std::filesystem::exists(directory_.path("b/" + std::string(kLeaseKey))); }

    TemporaryDirectory directory_;
    SilentLog log_;
    std::atomic<std::int64_t> clock_{1'000'000};
    std::shared_ptr<DeafStore> store_;
};

TEST_F(LeaseTest, H8_OneHolderAtATime) {
    auto first = take("one:/data");
    ASSERT_TRUE(first.ok()) << first.status().to_string();
    const auto second = take("two:/data");
    EXPECT_TRUE(second.status().is(Kind::kConflict));
    EXPECT_THAT(second.status().message(), HasSubstr("a base backup is being made by \"one:/data\""));
    EXPECT_TRUE((*first)->check().ok());
    first->reset();
    EXPECT_FALSE(exists()) << "it goes with its holder";
    EXPECT_TRUE(take("two:/data").ok());
}

TEST_F(LeaseTest, ALeaseThatNobodyRenewsIsFree) {
    write_text(directory_.path("b/" + std::string(kLeaseKey)), R"({"format":1,"nonce":"x","member":"gone:/data"})");
    age(seconds(40));
    EXPECT_TRUE(take("two:/data").status().is(Kind::kConflict));
    age(seconds(10));
    EXPECT_TRUE(take("two:/data").ok());
    write_text(directory_.path("b/" + std::string(kLeaseKey)), "no JSON");
    EXPECT_TRUE(take("two:/data").status().is(Kind::kConflict)) << "what cannot be read is somebody's, until it is old";
    age(seconds(50));
    EXPECT_TRUE(take("two:/data").ok());
}

TEST_F(LeaseTest, TheSameMemberTakesOverAtOnce) {
    auto killed = take("one:/data");
    ASSERT_TRUE(killed.ok());
    auto again = take("one:/data");
    ASSERT_TRUE(again.ok()) << again.status().to_string();
    EXPECT_TRUE((*killed)->confirm({}).is(Kind::kConflict));
    EXPECT_THAT((*killed)->check().message(), HasSubstr("taken over"));
    killed->reset();
    EXPECT_TRUE(exists()) << "who lost it does not remove it";
    EXPECT_TRUE((*again)->confirm({}).ok());
}

TEST_F(LeaseTest, C14_AHolderThatCannotRenewStopsBeforeOthersMayTakeOver) {
    auto lease = take("one:/data");
    ASSERT_TRUE(lease.ok());
    LeasedStore leased(*store_, **lease);
    EXPECT_TRUE(leased.put("a", as_bytes(std::string_view("x")), {}).ok());
    const std::string before = content();
    for (int i = 0; i < 2000 && content() == before; ++i) std::this_thread::sleep_for(milliseconds(5));
    ASSERT_NE(content(), before) << "it is renewed";
    store_->deaf = true;
    clock_ += 30'000;
    EXPECT_TRUE(leased.put("a", as_bytes(std::string_view("x")), {}).ok());
    auto sink = leased.create("b", {});
    ASSERT_TRUE(sink.ok());
    clock_ += 10'000;
    EXPECT_TRUE((*lease)->check().is(Kind::kConflict)) << "40 of 45 seconds have passed";
    EXPECT_TRUE(leased.put("a", as_bytes(std::string_view("y")), {}).is(Kind::kConflict));
    EXPECT_TRUE(leased.put_if_absent("c", as_bytes(std::string_view("y")), {}).status().is(Kind::kConflict));
    EXPECT_TRUE(leased.create("c", {}).status().is(Kind::kConflict));
    EXPECT_TRUE((*sink)->finish().is(Kind::kConflict));
    EXPECT_TRUE(leased.remove({"a"}, {}).is(Kind::kConflict));
    EXPECT_EQ(read_text(directory_.path("b/a")), "x");
}

TEST_F(LeaseTest, H3_AProcessThatWasPausedDoesNotFinishItsBackup) {
    LeaseOptions patient = options("one:/data");
    patient.renewal = seconds(3600);  // its thread sleeps as well
    auto paused = Lease::take(store_, patient, log_, {});
    ASSERT_TRUE(paused.ok());
    LeasedStore leased(*store_, **paused);
    write_text(directory_.path("b/" + std::string(kLeaseKey)), R"({"format":1,"nonce":"y","member":"two:/data"})");
    EXPECT_TRUE(leased.put("part", as_bytes(std::string_view("x")), {}).ok()) << "within its time it does not ask";
    EXPECT_TRUE(leased.put(kSentinel, as_bytes(std::string_view("x")), {}).is(Kind::kConflict)) << "but here it does";
    EXPECT_FALSE(std::filesystem::exists(directory_.path("b/" + std::string(kSentinel))));
}

}  // namespace
}  // namespace forge::repository
