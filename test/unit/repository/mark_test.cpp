#include "core/repository/mark.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "core/base/file.h"
#include "core/store/local_store.h"

namespace forge::repository {
namespace {

constexpr const char* kDelta1 = "base_000000010000000000000005_D_000000010000000000000003";

std::string changed(std::string_view json, bool permanent) {
    auto text = with_permanence(json, permanent);
    return text.ok() ? *text : text.status().to_string();
}

TEST(WithPermanence, ChangesNothingButTheValue) {
    EXPECT_EQ(
        changed(R"({"a": 1.0, "is_permanent" : false , "user_data":{"is_permanent":false,"n":12345678901234567890}})",
                true),
        R"({"a": 1.0, "is_permanent" : true , "user_data":{"is_permanent":false,"n":12345678901234567890}})");
    EXPECT_EQ(changed(R"({"is_permanent":true,"Is_Permanent":null})", false),
              R"({"is_permanent":false,"Is_Permanent":false})");
    EXPECT_EQ(changed(R"({"is_permanent":true})", true), R"({"is_permanent":true})");
}

TEST(WithPermanence, AddsAMissingMember) {
    EXPECT_EQ(changed("{}", true), R"({"is_permanent":true})");
    EXPECT_EQ(changed(R"({"start_lsn":1})", true), R"({"start_lsn":1,"is_permanent":true})");
}

TEST(WithPermanence, RefusesWhatIsNoObject) {
    for (const char* text : {"", "[]", "{\"a\":", "{} x"})
        EXPECT_EQ(with_permanence(text, true).status().kind(), Kind::kCorrupt) << text;
}

// A copy of the golden bucket.
class Mark : public testing::Test {
protected:
    Mark() {
        std::string name = (std::filesystem::temp_directory_path() / "forge_mark_XXXXXX").string();
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
        std::filesystem::copy(std::string(FORGE_TEST_DATA) + "/walg/main/store", directory_,
                              std::filesystem::copy_options::recursive);
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_))
            std::filesystem::permissions(entry, std::filesystem::perms::owner_write,
                                         std::filesystem::perm_options::add);
        auto store = store::open_local_store(directory_);
        EXPECT_TRUE(store.ok()) << store.status().to_string();
        settings::Settings settings;
        settings.kind = settings::StorageKind::kDirectory;
        repository_ = std::make_unique<Repository>(std::move(store).value(), settings);
    }
    ~Mark() override { std::filesystem::remove_all(directory_); }

    std::string metadata() const {
        auto text = read_file(directory_ + "/" + layout::metadata_key(kDelta1), 1 << 20);
        return text.ok() ? *text : text.status().to_string();
    }
    bool is_permanent() {
        auto entry = repository_->find_backup(kDelta1, {});
        EXPECT_TRUE(entry.ok()) << entry.status().to_string();
        return entry.ok() && entry->sentinel.is_permanent;
    }

    std::string directory_;
    std::unique_ptr<Repository> repository_;
};

TEST_F(Mark, ThereAndBackAgainIsTheSameText) {
    const std::string before = metadata();
    ASSERT_TRUE(mark_permanent(*repository_, kDelta1, true, {}).ok());
    EXPECT_TRUE(is_permanent());
    ASSERT_TRUE(mark_permanent(*repository_, kDelta1, false, {}).ok());
    EXPECT_FALSE(is_permanent());
    EXPECT_EQ(metadata(), before);
}

TEST_F(Mark, BackupWithoutMetadataGetsIt) {
    std::filesystem::remove(directory_ + "/" + layout::metadata_key(kDelta1));
    ASSERT_TRUE(mark_permanent(*repository_, kDelta1, true, {}).ok());
    EXPECT_TRUE(is_permanent());
    EXPECT_THAT(metadata(), testing::HasSubstr("\"start_lsn\":83886120"));
}

TEST_F(Mark, NoBackupAndDamagedMetadataAreErrors) {
    EXPECT_EQ(mark_permanent(*repository_, "base_000000010000000000000099", true, {}).kind(), Kind::kNotFound);
    ASSERT_TRUE(write_file_durably(directory_ + "/" + layout::metadata_key(kDelta1), as_bytes("{\"a\":")).ok());
    const Status status = mark_permanent(*repository_, kDelta1, true, {});
    EXPECT_EQ(status.kind(), Kind::kCorrupt);
    EXPECT_THAT(status.message(), testing::HasSubstr("metadata.json"));
    EXPECT_EQ(metadata(), "{\"a\":");
}

}  // namespace
}  // namespace forge::repository
