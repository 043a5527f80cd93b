#include "core/wal/write_guard.h"

#include <gmock/gmock.h>

#include "core/store/forwarding_store.h"
#include "core/wal/uploader.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using repository::Identity;
using repository::kOwnerKey;
using ::testing::HasSubstr;
using State = WriteGuard::State;

// A store that can fail, and counts the looks at the owner.
class MoodyStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    Status failure;  // of every read
    int looks = 0;

    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<store::ByteRange> range,
                                        const store::CallContext& context) override {
        if (key == kOwnerKey) ++looks;
        if (!failure.ok()) return failure;
        return next().get(key, range, context);
    }
};

class WriteGuardTest : public ::testing::Test {
protected:
    WriteGuardTest() {
        store_ = std::make_shared<MoodyStore>(std::shared_ptr(store::open_local_store(bucket_.path()).value()));
        repository_ = std::make_shared<repository::Repository>(store_, test_settings());
    }
    WriteGuard guard(const Identity& identity, WriteGuard::OnChange on_change = {}) {
        GuardOptions options;
        options.identity = identity;
        options.created_by = "test";
        options.data_directory = data_.path();
        options.now = [this] { return now_; };
        return WriteGuard(repository_, options, std::move(on_change));
    }
    bool has_owner() { return store_->head(std::string(kOwnerKey), {}).ok(); }
    void archive(const std::string& name, std::uint64_t system_identifier) {
        const std::string path = data_.path("other/" + name);
        write_bytes(path, make_segment(name, kMegabyte, 1, system_identifier));
        ASSERT_TRUE(push_wal_file(*repository_, name, path, kMegabyte, {}).ok());
    }
    void write_history(const std::string& directory, const std::string& text) {
        write_text(data_.path(directory + "/00000002.history"), text);
    }

    const Identity us_{kSystemIdentifier, "shop", ""};
    const Identity clone_{kSystemIdentifier, "clone", ""};
    TemporaryDirectory bucket_, data_;
    std::shared_ptr<MoodyStore> store_;
    std::shared_ptr<repository::Repository> repository_;
    Steady::time_point now_ = Steady::now();
};

TEST_F(WriteGuardTest, TheFirstInAnEmptyPrefixOwnsIt) {
    auto ours = guard(us_);
    EXPECT_TRUE(ours.may_write(1, {}).ok());
    EXPECT_EQ(ours.view().state, State::kOurs);
    EXPECT_TRUE(has_owner());
    EXPECT_TRUE(guard(us_).may_write(1, {}).ok());
    EXPECT_TRUE(guard({kSystemIdentifier, "", ""}).may_write(1, {}).ok());
}

TEST_F(WriteGuardTest, H4_ACloneMayNotWrite) {
    ASSERT_TRUE(guard(us_).may_write(1, {}).ok());
    auto clone = guard(clone_);
    const Status refused = clone.may_write(1, {});
    EXPECT_EQ(refused.kind(), Kind::kForeign);
    EXPECT_THAT(refused.message(), HasSubstr("\"shop\""));
    EXPECT_THAT(refused.message(), HasSubstr("\"clone\""));
    EXPECT_EQ(clone.view().state, State::kForeign);
    EXPECT_EQ(clone.may_store("00000002.history", {}).kind(), Kind::kForeign);
}

TEST_F(WriteGuardTest, OurOwnBackupsOrWalWithoutRecordAreClaimed) {
    archive("000000010000000000000003", kSystemIdentifier);
    EXPECT_TRUE(guard(us_).may_write(1, {}).ok());
    EXPECT_TRUE(has_owner());
}

TEST_F(WriteGuardTest, H6_P20_WalOfAnotherSystemWithoutRecordIsForeign) {
    archive("000000010000000000000003", 4711);
    const Status refused = guard(us_).may_write(1, {});
    EXPECT_EQ(refused.kind(), Kind::kForeign);
    EXPECT_THAT(refused.message(), HasSubstr("system identifier 4711"));
    EXPECT_FALSE(has_owner());
}

TEST_F(WriteGuardTest, P20_ABackupOfAnotherSystemWithoutRecordIsForeign) {
    std::filesystem::remove_all(bucket_.path());
    copy_golden_bucket(bucket_.path());
    EXPECT_EQ(guard({4711, "", ""}).may_write(1, {}).kind(), Kind::kForeign);
    const Contents contents = look_at_contents(*repository_, {}).value();
    ASSERT_EQ(contents.kind, Contents::Kind::kCluster);
    EXPECT_TRUE(guard({contents.system_identifier, "", ""}).may_write(1, {}).ok());
}

TEST_F(WriteGuardTest, WalThatCannotBeToldIsNotClaimed) {
    ASSERT_TRUE(store_->put("wal_005/000000010000000000000003.lz4", as_bytes("nonsense"), {}).ok());
    EXPECT_EQ(guard(us_).may_write(1, {}).kind(), Kind::kForeign);
    EXPECT_FALSE(has_owner());
}

TEST_F(WriteGuardTest, AnOutageIsNeverForeignAndNotRemembered) {
    auto ours = guard(us_);
    store_->failure = Status(Kind::kUnavailable, "down");
    EXPECT_EQ(ours.may_write(1, {}).kind(), Kind::kUnavailable);
    EXPECT_EQ(ours.view().state, State::kUnchecked);
    store_->failure = Status();
    EXPECT_TRUE(ours.may_write(1, {}).ok());
}

TEST_F(WriteGuardTest, K4_CredentialsThatOnlyWriteLeaveTheOwnerUnknown) {
    store_->failure = Status(Kind::kDenied, "no").with_http(403, "AccessDenied", "1");
    auto blind = guard(us_);
    EXPECT_TRUE(blind.may_write(1, {}).ok());
    EXPECT_EQ(blind.view().state, State::kUnknown);
    store_->failure = Status(Kind::kDenied, "no").with_http(403, "InvalidAccessKeyId", "1");
    EXPECT_EQ(guard(us_).may_write(1, {}).kind(), Kind::kDenied);
}

TEST_F(WriteGuardTest, AsksAgainAfterMinutesAndAfterDoubt) {
    auto ours = guard(us_);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(ours.may_write(1, {}).ok());
    EXPECT_EQ(store_->looks, 1);
    ASSERT_TRUE(repository::adopt(*store_, clone_, "test", {}).ok());
    store_->looks = 0;
    EXPECT_TRUE(ours.may_write(1, {}).ok()) << "remembered";
    ours.doubt();
    EXPECT_EQ(ours.may_write(1, {}).kind(), Kind::kForeign);
    EXPECT_EQ(ours.may_write(1, {}).kind(), Kind::kForeign);
    EXPECT_EQ(store_->looks, 1) << "a refusal is remembered for a moment";
    ASSERT_TRUE(repository::adopt(*store_, us_, "test", {}).ok());
    now_ += seconds(6);
    EXPECT_TRUE(ours.may_write(1, {}).ok());
    now_ += std::chrono::minutes(6);
    store_->looks = 0;
    EXPECT_TRUE(ours.may_write(1, {}).ok());
    EXPECT_EQ(store_->looks, 1);
}

TEST_F(WriteGuardTest, TellsOfEachChange) {
    std::vector<State> seen;
    auto ours = guard(us_, [&seen](const WriteGuard::View& view) { seen.push_back(view.state); });
    EXPECT_TRUE(ours.may_write(1, {}).ok());
    ASSERT_TRUE(repository::adopt(*store_, clone_, "test", {}).ok());
    ours.doubt();
    EXPECT_FALSE(ours.may_write(1, {}).ok());
    EXPECT_THAT(seen, ::testing::ElementsAre(State::kOurs, State::kForeign));
}

TEST_F(WriteGuardTest, H1_ANewTimelineIsArchivedOnlyWithItsHistory) {
    write_history("pg_wal", "1\t0/3000000\tno recovery target specified\n");
    auto ours = guard(us_);
    EXPECT_TRUE(ours.may_store("000000020000000000000003", {}).ok());
    EXPECT_TRUE(repository_->read_wal_text("00000002.history", {}).ok()) << "the history goes first";
}

TEST_F(WriteGuardTest, H1_AnotherHistoryOfTheSameTimelineStopsIt) {
    write_history("pg_wal", "1\t0/3000000\tno recovery target specified\n");
    write_history("other", "1\t0/5000000\tno recovery target specified\n");
    ASSERT_TRUE(guard(us_).may_write(1, {}).ok());
    ASSERT_TRUE(
        push_wal_file(*repository_, "00000002.history", data_.path("other/00000002.history"), kMegabyte, {}).ok());
    auto ours = guard(us_);
    const Status refused = ours.may_store("000000020000000000000003", {});
    EXPECT_EQ(refused.kind(), Kind::kConflict);
    EXPECT_THAT(refused.message(), HasSubstr("timeline 2"));
    EXPECT_TRUE(ours.may_store("000000010000000000000003", {}).ok()) << "what came before is not concerned";
}

TEST_F(WriteGuardTest, WithoutIdentityEverythingIsAllowed) {
    EXPECT_TRUE(guard({}).may_write(1, {}).ok());
    EXPECT_FALSE(has_owner());
}

}  // namespace
}  // namespace forge::wal
