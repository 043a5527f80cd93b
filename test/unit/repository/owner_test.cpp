#include "core/repository/owner.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "core/store/forwarding_store.h"
#include "core/store/local_store.h"

namespace forge::repository {
namespace {

using ::testing::HasSubstr;

const Identity kShop{7710922509866642591ULL, "shop", "prod"};

TEST(Identity, H4_ACopyHasAnotherName) {
    EXPECT_TRUE(is_same_cluster(kShop, kShop));
    EXPECT_FALSE(is_same_cluster(kShop, {kShop.system_identifier, "shop-clone", "prod"}));
    EXPECT_FALSE(is_same_cluster(kShop, {kShop.system_identifier, "shop", "staging"}));
}

TEST(Identity, H6_P20_AnotherSystemIdentifierIsAnotherCluster) {
    EXPECT_FALSE(is_same_cluster(kShop, {1, "shop", "prod"}));
    EXPECT_FALSE(is_same_cluster({1, "", ""}, {2, "", ""}));
}

TEST(Identity, ANameThatOneSideLacksIsNotCompared) {
    EXPECT_TRUE(is_same_cluster(kShop, {kShop.system_identifier, "", "prod"}));
    EXPECT_TRUE(is_same_cluster({kShop.system_identifier, "shop", ""}, kShop));
}

TEST(Owner, ComesBackFromItsText) {
    const OwnerRecord record = new_owner(kShop, "forge_backup 1.0");
    EXPECT_EQ(record.id.size(), 32U);
    const auto back = parse_owner(owner_json(record));
    ASSERT_TRUE(back.ok()) << back.status().to_string();
    EXPECT_EQ(back->cluster, kShop);
    EXPECT_EQ(back->id, record.id);
    EXPECT_EQ(back->created_by, "forge_backup 1.0");
    EXPECT_EQ(back->created_at.seconds(), record.created_at.seconds());
}

constexpr std::string_view kMembers = R"("id":"a1","system_identifier":18446744073709551615,"cluster_name":"shop")";
std::string record_with(std::string_view more) { return "{" + std::string(more) + "," + std::string(kMembers) + "}"; }

TEST(Owner, H11_IgnoresWhatIsOptional) {
    const auto read = parse_owner(record_with(R"("format":1,"requires":[],"new_member":{"a":[1]},"namespace":null)"));
    ASSERT_TRUE(read.ok()) << read.status().to_string();
    EXPECT_EQ(read->cluster.system_identifier, UINT64_MAX);
    EXPECT_EQ(read->cluster.name_space, "");
}

TEST(Owner, H11_RefusesWhatItMustKnow) {
    const auto flag = parse_owner(record_with(R"("format":1,"requires":["split-parts"])"));
    EXPECT_EQ(flag.status().kind(), Kind::kInvalid);
    EXPECT_THAT(flag.status().to_string(), HasSubstr("requires \"split-parts\""));
    EXPECT_THAT(flag.status().hint(), HasSubstr("newer version"));
    EXPECT_EQ(parse_owner(record_with(R"("format":2)")).status().kind(), Kind::kInvalid);
}

TEST(Owner, RefusesWhatIsNoRecord) {
    for (const std::string text : {"", "[]", "{}", R"({"format":1,"id":"a"})", R"({"format":"1"})"})
        EXPECT_EQ(parse_owner(text).status().kind(), Kind::kCorrupt) << text;
}

TEST(Owner, ForeignNamesBothAndSaysWhatToDo) {
    const Status copy = foreign_prefix("s3://b/p", kShop, {kShop.system_identifier, "clone", ""});
    EXPECT_EQ(copy.kind(), Kind::kForeign);
    EXPECT_THAT(copy.message(), HasSubstr("cluster name \"shop\""));
    EXPECT_THAT(copy.message(), HasSubstr("cluster name \"clone\""));
    EXPECT_THAT(copy.hint(), HasSubstr("copy"));
    EXPECT_THAT(copy.hint(), HasSubstr("adopt_prefix()"));
    EXPECT_THAT(foreign_prefix("s3://b/p", kShop, {1, "shop", ""}).hint(), HasSubstr("use a new prefix"));
}

// Two clusters that look at the same moment: the store has no conditional write.
class RacingStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    OwnerRecord other = new_owner({1, "other", ""}, "forge_backup");
    store::StoreFeatures features() override { return {.conditional_put = false}; }
    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override {
        FORGE_TRY(next().put(key, content, context));
        FORGE_TRY(next().put(key, as_bytes(owner_json(other)), context));
        return store::PutOutcome::kStored;
    }
};

class OwnerInStore : public testing::Test {
protected:
    OwnerInStore() {
        std::string name = (std::filesystem::temp_directory_path() / "forge_owner_XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
        store_ = store::open_local_store(directory_).value();
    }
    ~OwnerInStore() override { std::filesystem::remove_all(directory_); }

    std::string directory_;
    std::unique_ptr<store::ObjectStore> store_;
};

TEST_F(OwnerInStore, IsClaimedOnce) {
    EXPECT_FALSE(read_owner(*store_, {}).value().has_value());
    const OwnerRecord first = new_owner(kShop, "a");
    EXPECT_EQ(claim(*store_, first, {}).value().id, first.id);
    EXPECT_EQ(claim(*store_, new_owner({1, "", ""}, "b"), {}).value().id, first.id);
    EXPECT_EQ(read_owner(*store_, {}).value()->id, first.id);
}

TEST_F(OwnerInStore, ALostRaceIsSeenByReadingAgain) {
    RacingStore racing(*store_);
    EXPECT_EQ(claim(racing, new_owner(kShop, "a"), {}).value().id, racing.other.id);
}

TEST_F(OwnerInStore, IsAdopted) {
    const OwnerRecord first = claim(*store_, new_owner({1, "old", ""}, "a"), {}).value();
    const Adoption adoption = adopt(*store_, kShop, "b", {}).value();
    ASSERT_TRUE(adoption.before.has_value());
    EXPECT_EQ(adoption.before->id, first.id);
    EXPECT_NE(adoption.after.id, first.id);
    EXPECT_EQ(read_owner(*store_, {}).value()->cluster, kShop);
    EXPECT_EQ(adopt(*store_, kShop, "b", {}).value().after.id, adoption.after.id) << "again changes nothing";
}

TEST_F(OwnerInStore, ADamagedRecordIsAdoptedToo) {
    ASSERT_TRUE(store_->put(std::string(kOwnerKey), as_bytes("{"), {}).ok());
    EXPECT_EQ(read_owner(*store_, {}).status().kind(), Kind::kCorrupt);
    EXPECT_FALSE(owner_for_reading(*store_, {}).value().has_value());
    EXPECT_FALSE(adopt(*store_, kShop, "b", {}).value().before.has_value());
    EXPECT_EQ(read_owner(*store_, {}).value()->cluster, kShop);
}

TEST_F(OwnerInStore, H11_TheRecordOfALaterVersionIsNotReplaced) {
    ASSERT_TRUE(store_->put(std::string(kOwnerKey), as_bytes(record_with(R"("format":9)")), {}).ok());
    EXPECT_EQ(adopt(*store_, kShop, "b", {}).status().kind(), Kind::kInvalid);
    EXPECT_EQ(owner_for_reading(*store_, {}).status().kind(), Kind::kInvalid);
}

}  // namespace
}  // namespace forge::repository
