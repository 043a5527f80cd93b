// What is particular to the directory store; the rest is in contract_test.cpp.
#include "core/store/local_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "test/unit/store/support.h"

namespace forge::store {

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::UnorderedElementsAre;

namespace fs = std::filesystem;

class LocalStore : public testing::Test {
protected:
    void SetUp() override { store_ = must(open_local_store(root())); }
    std::string root() const { return directory_.path() + "/store"; }
    void write_raw(const std::string& name, const std::string& text = "x") {
        fs::create_directories(fs::path(root() + "/" + name).parent_path());
        std::ofstream(root() + "/" + name) << text;
    }
    std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::recursive_directory_iterator(root()))
            names.push_back(fs::relative(entry.path(), root()));
        std::sort(names.begin(), names.end());
        return names;
    }

    TemporaryDirectory directory_;
    CallContext context_;
    std::unique_ptr<ObjectStore> store_;
};

TEST_F(LocalStore, IsCreatedInAnExistingParentOnly) {
    EXPECT_TRUE(fs::is_directory(root()));
    EXPECT_EQ(store_->url(), "file://" + root());
    const Status status = open_local_store(directory_.path() + "/none/store").status();
    EXPECT_TRUE(status.is(Kind::kInvalid));
    EXPECT_FALSE(status.hint().empty());
    EXPECT_TRUE(open_local_store("relative/path").status().is(Kind::kInvalid));
    EXPECT_EQ(must(open_local_store(root() + "/"))->url(), "file://" + root());
}

TEST_F(LocalStore, WritesUnderATemporaryNameOfTheSharedForm) {
    const auto sink = must(store_->create("wal_005/segment.zst", context_));
    expect_ok(sink->write(as_bytes("content")));
    EXPECT_THAT(files(),
                ElementsAre("wal_005", MatchesRegex("wal_005/segment.zst.tmp.[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}")));
    EXPECT_TRUE(must(list_all(*store_, "", context_)).empty());
    EXPECT_TRUE(must(store_->list_folder("wal_005/", context_)).objects.empty());
    expect_ok(sink->finish());
    EXPECT_THAT(files(), ElementsAre("wal_005", "wal_005/segment.zst"));
}

TEST_F(LocalStore, NamesThatOnlyResembleTemporaryOnesAreObjects) {
    for (const char* key : {"a.tmp.x", "b.tmp.20261122T091734Z-0123456789ABCDEF",
                            "c.tmp.20261122T091734Z-0123456789abcde", "d.tmp.20261122-091734Z-0123456789abcdef"}) {
        expect_ok(store_->put(key, as_bytes("x"), context_));
    }
    EXPECT_EQ(must(list_all(*store_, "", context_)).size(), 4U);
    EXPECT_TRUE(store_->put("e.tmp.20261122T091734Z-0123456789abcdef", as_bytes("x"), context_).is(Kind::kInvalid));
}

TEST_F(LocalStore, FailedWriteLeavesTheOldObject) {  // C2
    expect_ok(store_->put("key", as_bytes("old"), context_));
    {
        const auto sink = must(store_->create("key", context_));
        expect_ok(sink->write(as_bytes("new")));
    }
    EXPECT_THAT(files(), ElementsAre("key"));
    EXPECT_EQ(must(store_->head("key", context_)).size, 3U);
}

TEST_F(LocalStore, RemovalTakesEmptyFoldersAlong) {
    expect_ok(store_->put("a/b/c/one", as_bytes("x"), context_));
    expect_ok(store_->put("a/two", as_bytes("x"), context_));
    expect_ok(store_->remove({"a/b/c/one"}, context_));
    EXPECT_THAT(files(), ElementsAre("a", "a/two"));
    expect_ok(store_->remove({"a/two"}, context_));
    EXPECT_THAT(files(), ElementsAre());
    EXPECT_TRUE(fs::is_directory(root()));
}

TEST_F(LocalStore, LeftoversAreTemporaryFilesOfSomeAge) {
    write_raw("wal_005/a.tmp.20261122T091734Z-0123456789abcdef");
    write_raw("other/b.tmp.20261122T091734Z-0123456789abcdef");
    write_raw("wal_005/kept.tmp");
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(3600), context_)), 0);
    const std::string old = root() + "/wal_005/a.tmp.20261122T091734Z-0123456789abcdef";
    fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(2));
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(3600), context_)), 1);
    EXPECT_EQ(must(store_->remove_leftovers("wal_005/", seconds(0), context_)), 0);
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(0), context_)), 1);
    EXPECT_THAT(files(), ElementsAre("wal_005", "wal_005/kept.tmp"));
}

TEST_F(LocalStore, MissingDirectoryIsNotAnEmptyStore) {  // an unmounted disk
    fs::remove_all(root());
    for (const Status& status :
         {store_->get("key", std::nullopt, context_).status(), store_->head("key", context_).status(),
          list_all(*store_, "", context_).status(), store_->list_folder("", context_).status(),
          store_->put("key", as_bytes("x"), context_), store_->put("a/b", as_bytes("x"), context_),
          store_->remove({"key"}, context_)}) {
        EXPECT_TRUE(status.is(Kind::kInvalid)) << status.to_string();
        EXPECT_THAT(status.message(), HasSubstr("does not exist"));
    }
    EXPECT_FALSE(fs::exists(root()));
}

TEST_F(LocalStore, ShorteningWhileReadingIsCorrupt) {
    expect_ok(store_->put("key", as_bytes(random_text(10000)), context_));
    const auto source = must(store_->get("key", std::nullopt, context_));
    Bytes buffer(100);
    EXPECT_EQ(must(source->read(buffer)), 100U);
    fs::resize_file(root() + "/key", 5000);
    EXPECT_TRUE(read_all(*source, 1 << 20).status().is(Kind::kCorrupt));
}

TEST_F(LocalStore, SpecialFilesAndLinkLoopsAreNotFollowed) {
    ASSERT_EQ(::mkfifo((root() + "/pipe").c_str(), 0600), 0);
    fs::create_directory_symlink(root(), root() + "/loop");
    expect_ok(store_->put("key", as_bytes("x"), context_));
    const auto objects = must(list_all(*store_, "", context_));
    ASSERT_EQ(objects.size(), 1U);
    EXPECT_EQ(objects[0].key, "key");
    EXPECT_TRUE(store_->get("pipe", std::nullopt, context_).status().is(Kind::kNotFound));
}

TEST_F(LocalStore, FilesAreForTheOwnerOnly) {
    expect_ok(store_->put("folder/key", as_bytes("x"), context_));
    struct ::stat st {};
    ASSERT_EQ(::stat((root() + "/folder/key").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600U);
    ASSERT_EQ(::stat((root() + "/folder").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0700U);
}

}  // namespace

}  // namespace forge::store
