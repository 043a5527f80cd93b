// The restore points of a segment on its way into the store: none is lost, whatever fails, and none is invented.
#include <gmock/gmock.h>

#include "core/repository/restore_points.h"
#include "core/store/forwarding_store.h"
#include "core/wal/push.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Refuses to write keys that begin with `refused`, and remembers every request.
class WatchedStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    std::string refused;
    Status refusal{Kind::kUnavailable, "not now"};
    bool blind = false;
    std::vector<std::string> requests;

    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override {
        requests.push_back("put " + key.substr(0, key.find('/')));
        if (!refused.empty() && key.starts_with(refused)) return refusal;
        return next().put_if_absent(key, content, context);
    }
    Result<store::ObjectInfo> head(const std::string& key, const store::CallContext& context) override {
        requests.push_back("head " + key.substr(0, key.find('/')));
        if (blind) return Status(Kind::kDenied, "no");
        return next().head(key, context);
    }
    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<store::ByteRange> range,
                                        const store::CallContext& context) override {
        requests.push_back("get " + key.substr(0, key.find('/')));
        return next().get(key, range, context);
    }
};

class PushPointsTest : public ::testing::Test {
protected:
    PushPointsTest() {
        store_ = std::make_shared<WatchedStore>(
            std::shared_ptr<store::ObjectStore>(store::open_local_store(bucket_.path()).value()));
        repository_ = std::make_shared<repository::Repository>(store_, test_settings());
    }
    static std::string name(std::uint64_t number) { return layout::segment_name({1, number}, kMegabyte); }
    std::string path(std::uint64_t number) const { return directory_.path(name(number)); }
    void write(const WalBuilder& wal) {
        std::uint64_t number = 5;
        for (const Bytes& segment : wal.segments()) write_bytes(path(number++), segment);
    }
    Result<PushResult> push(std::uint64_t number, std::uint64_t buffer_limit = kMegabyte) {
        PushRequest request;
        request.name = name(number);
        request.path = path(number);
        request.segment_size = kMegabyte;
        request.buffer_limit = buffer_limit;
        return push_file(*repository_, request, {});
    }
    std::vector<std::string> points(std::uint64_t number) {
        const auto read = repository::read_restore_points(*repository_, name(number), {});
        std::vector<std::string> names;
        if (!read.ok()) return {std::string(kind_name(read.status().kind()))};
        for (const auto& point : read->points) names.push_back(point.name);
        return names;
    }
    bool is_stored(std::uint64_t number) { return repository_->open_wal(name(number), {}).ok(); }
    // Two segments; the second restore point begins in the first one and ends in the second one.
    static WalBuilder across_a_border() {
        WalBuilder wal(5, kMegabyte);
        wal.add_restore_point("first", 1'000'000);
        wal.add_filler(kMegabyte - 32768);
        while (wal.position() < 6 * kMegabyte - 8192) wal.add_filler(8);
        wal.fill_page(40);
        wal.add_restore_point("across", 2'000'000);
        wal.add_filler(100);
        return wal;
    }

    TemporaryDirectory directory_, bucket_;
    std::shared_ptr<WatchedStore> store_;
    std::shared_ptr<repository::Repository> repository_;
};

TEST_F(PushPointsTest, TheyAreStoredBeforeTheirSegmentAndEncrypted) {
    for (const std::uint64_t buffer_limit : {std::uint64_t{kMegabyte}, std::uint64_t{0}}) {
        WalBuilder wal(5, kMegabyte);
        wal.add_restore_point("before_upgrade", 1'000'000);
        wal.add_filler(1000);
        wal.add_restore_point("f\xFCr", 2'000'000);
        write(wal);
        ASSERT_TRUE(push(5, buffer_limit).ok());
        EXPECT_THAT(points(5), ElementsAre("before_upgrade", "f\xFCr"));
        const std::string bytes = read_text(bucket_.path(layout::restore_points_key(name(5))));
        EXPECT_EQ(bytes.find("before_upgrade"), std::string::npos) << "encrypted, as the WAL is";
        std::filesystem::remove_all(bucket_.path("wal_005"));
        std::filesystem::remove_all(bucket_.path("forge_restore_points"));
    }
}

TEST_F(PushPointsTest, WalWithoutAnyCostsNoRequestMore) {
    WalBuilder wal(5, kMegabyte);
    wal.add_commit(1, 1'000'000);
    write(wal);
    ASSERT_TRUE(push(5).ok());
    EXPECT_THAT(store_->requests, ElementsAre("put wal_005"));
    EXPECT_THAT(points(5), ElementsAre("not found"));
}

TEST_F(PushPointsTest, WhereTheyCannotBeStoredTheSegmentIsNot) {
    WalBuilder wal(5, kMegabyte);
    wal.add_restore_point("point", 1'000'000);
    write(wal);
    store_->refused = layout::kRestorePointsFolder;
    for (const std::uint64_t buffer_limit : {std::uint64_t{kMegabyte}, std::uint64_t{0}}) {
        EXPECT_TRUE(push(5, buffer_limit).status().is(Kind::kUnavailable));
        EXPECT_FALSE(is_stored(5)) << "a server that takes over archives it, and them";
    }
    store_->refused = layout::kWalFolder;
    EXPECT_FALSE(push(5).ok());
    EXPECT_THAT(points(5), ElementsAre("point"));
    store_->refused.clear();
    EXPECT_EQ(push(5)->outcome, PushOutcome::kStored) << "and once more";
    EXPECT_EQ(push(5)->outcome, PushOutcome::kIdentical) << "and again";
    EXPECT_THAT(points(5), ElementsAre("point"));
}

TEST_F(PushPointsTest, K4_CredentialsThatOnlyWriteStoreThem) {
    WalBuilder wal(5, kMegabyte);
    wal.add_restore_point("point", 1'000'000);
    write(wal);
    store_->blind = true;
    EXPECT_EQ(push(5)->outcome, PushOutcome::kStored);
    EXPECT_THAT(points(5), ElementsAre("point"));
}

TEST_F(PushPointsTest, K4_CredentialsThatDoNotWriteThemArchiveAllTheSame) {
    WalBuilder wal(5, kMegabyte);
    wal.add_restore_point("point", 1'000'000);
    write(wal);
    store_->refused = layout::kRestorePointsFolder;
    store_->refusal = Status(Kind::kDenied, "no");
    EXPECT_EQ(push(5)->outcome, PushOutcome::kStored);
    EXPECT_EQ(push(5)->outcome, PushOutcome::kIdentical);
    EXPECT_THAT(points(5), ElementsAre("not found"));
}

TEST_F(PushPointsTest, ThoseOfASegmentThatSomebodyElseStoredAreAdded) {
    WalBuilder wal(5, kMegabyte);
    wal.add_restore_point("point", 1'000'000);
    write(wal);
    ASSERT_TRUE(push(5).ok());
    std::filesystem::remove_all(bucket_.path("forge_restore_points"));
    EXPECT_EQ(push(5)->outcome, PushOutcome::kIdentical);
    EXPECT_THAT(points(5), ElementsAre("point"));
}

TEST_F(PushPointsTest, WhereAnotherSegmentOfThatNameIsNothingIsWritten) {
    write_bytes(path(5), make_segment(name(5), kMegabyte));
    ASSERT_TRUE(push(5).ok());
    WalBuilder wal(5, kMegabyte);
    wal.add_restore_point("point", 1'000'000);
    write(wal);
    EXPECT_TRUE(push(5).status().is(Kind::kConflict));
    EXPECT_THAT(points(5), ElementsAre("not found"));
}

TEST_F(PushPointsTest, APointAcrossABorderIsFoundByTheSegmentBeside) {
    write(across_a_border());
    ASSERT_TRUE(push(6).ok()) << "ahead of the one before";
    EXPECT_THAT(points(6), ElementsAre("across"));
    ASSERT_TRUE(push(5).ok());
    EXPECT_THAT(points(5), ElementsAre("first"));
    EXPECT_EQ(std::count(store_->requests.begin(), store_->requests.end(), "get wal_005"), 0);
}

TEST_F(PushPointsTest, OrByTheArchivedOneWhereThatIsGone) {
    write(across_a_border());
    ASSERT_TRUE(push(5).ok());
    std::filesystem::remove(path(5));
    ASSERT_TRUE(push(6).ok());
    EXPECT_THAT(points(6), ElementsAre("across"));
}

TEST_F(PushPointsTest, WhereNobodyHasTheSegmentBeforeThatDelaysNothing) {
    write(across_a_border());
    std::filesystem::remove(path(5));
    ASSERT_TRUE(push(6).ok());
    EXPECT_THAT(points(6), ElementsAre("not found"));
    // Nor does a damaged one.
    std::filesystem::remove_all(bucket_.path("wal_005"));
    write_text(bucket_.path("wal_005/" + name(5) + ".lz4"), "nonsense");
    ASSERT_TRUE(push(6).ok());
    EXPECT_THAT(points(6), ElementsAre("not found"));
}

}  // namespace
}  // namespace forge::wal
