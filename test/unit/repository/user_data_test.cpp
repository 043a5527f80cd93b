#include "core/repository/user_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/store/local_store.h"

namespace forge::repository {
namespace {

using testing::HasSubstr;

TEST(SameUserData, ComparesValues) {
    EXPECT_TRUE(same_user_data(R"({"a":1,"b":[true]})", R"({ "b": [true], "a": 1.0 })"));
    EXPECT_FALSE(same_user_data(R"({"a":1})", R"({"a":"1"})"));
    EXPECT_FALSE(same_user_data(R"({"a":12345678901234567890})", R"({"a":12345678901234567891})")) << "W27";
    EXPECT_FALSE(same_user_data("nonsense", "nonsense"));
}

class FindByUserData : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "forge_user_data_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
        auto store = store::open_local_store(directory_);
        ASSERT_TRUE(store.ok());
        repository_ = std::make_unique<Repository>(std::shared_ptr<store::ObjectStore>(std::move(store).value()),
                                                   settings::Settings());
        add("base_000000010000000000000003", R"({"job":"nightly","n":1})");
        add("base_000000010000000000000005", R"("before the upgrade")");
        add("base_000000010000000000000007", R"({"job":"nightly","n":2})");
        add("base_000000010000000000000009", R"({"n":2,"job":"nightly"})");
        add("base_00000001000000000000000B", "");
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    void add(const std::string& name, const std::string& user_data) {
        layout::Sentinel sentinel;
        sentinel.user_data = user_data;
        for (const auto& [key, json] : {std::pair(layout::sentinel_key(name), layout::sentinel_json(sentinel)),
                                        std::pair(layout::metadata_key(name), layout::metadata_json(sentinel))})
            ASSERT_TRUE(repository_->store().put(key, as_bytes(json), context_).ok());
    }

    std::string directory_;
    std::unique_ptr<Repository> repository_;
    store::CallContext context_;
};

TEST_F(FindByUserData, FindsTheOne) {
    const auto found = find_by_user_data(*repository_, R"({"n": 1, "job": "nightly"})", context_);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    EXPECT_EQ(found->name, "base_000000010000000000000003");
    const auto text = find_by_user_data(*repository_, R"("before the upgrade")", context_);
    ASSERT_TRUE(text.ok());
    EXPECT_EQ(text->name, "base_000000010000000000000005");
}

TEST_F(FindByUserData, RefusesNoneAndSeveral) {
    const Status none = find_by_user_data(*repository_, R"({"n":3})", context_).status();
    EXPECT_TRUE(none.is(Kind::kInvalid));
    const Status several = find_by_user_data(*repository_, R"({"job":"nightly","n":2})", context_).status();
    EXPECT_THAT(several.message(),
                HasSubstr("2 backups have the user data {\"job\":\"nightly\",\"n\":2}: base_000000010000000000000007, "
                          "base_000000010000000000000009"));
    EXPECT_TRUE(find_by_user_data(*repository_, "before the upgrade", context_).status().is(Kind::kInvalid));
}

}  // namespace
}  // namespace forge::repository
