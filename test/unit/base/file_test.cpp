#include "core/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "test/unit/base/streams.h"

namespace forge {
namespace {

class File : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "forge_file_XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    std::string path(std::string_view name) const { return join_path(directory_, name); }

    std::string directory_;
};

TEST_F(File, WritesDurablyAndReadsBack) {
    ASSERT_TRUE(write_file_durably(path("a"), as_bytes("first")).ok());
    ASSERT_TRUE(write_file_durably(path("a"), as_bytes("second")).ok());
    EXPECT_EQ(read_file(path("a"), 100).value(), "second");
    EXPECT_EQ(stat_path(path("a"))->st_mode & 0777, 0600U);
    // Nothing but the file is left behind.
    EXPECT_EQ(list_directory(directory_).value(), (std::vector<std::string>{"a"}));
}

TEST_F(File, DurableWriteThatFailsLeavesEverythingAsItWas) {
    ASSERT_TRUE(make_directories(path("taken/inside")).ok());
    const Status status = write_file_durably(path("taken"), as_bytes("x"));
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(list_directory(directory_).value(), (std::vector<std::string>{"taken"}));
    EXPECT_EQ(write_file_durably(path("no/such/file"), as_bytes("x")).kind(), Kind::kInvalid);
}

TEST_F(File, DiskFullIsExhaustedAndLeavesNothing) {
    // D2: /dev/full answers every write with ENOSPC.
    const auto full = open_file("/dev/full", O_WRONLY);
    ASSERT_TRUE(full.ok());
    const Status status = write_fd(full->get(), as_bytes("x"), "/dev/full");
    EXPECT_EQ(status.kind(), Kind::kExhausted);
    EXPECT_EQ(status.message(), "could not write to file \"/dev/full\": No space left on device");
}

TEST_F(File, ReadRespectsItsLimit) {
    ASSERT_TRUE(write_file_durably(path("a"), Bytes(1000, 'x')).ok());
    EXPECT_EQ(read_file(path("a"), 1000)->size(), 1000U);
    EXPECT_EQ(read_file(path("a"), 999).status().kind(), Kind::kExhausted);
}

TEST_F(File, MissingFilesAreNamed) {
    const auto missing = read_file(path("nothing"), 10);
    EXPECT_EQ(missing.status().kind(), Kind::kInvalid);
    EXPECT_EQ(missing.status().message(), "could not open file \"" + path("nothing") + "\": No such file or directory");
    EXPECT_TRUE(remove_file(path("nothing")).ok());
    EXPECT_FALSE(path_exists(path("nothing")));
    EXPECT_FALSE(list_directory(path("nothing")).ok());
    EXPECT_FALSE(read_file(directory_, 10).ok());
}

TEST_F(File, MakesDirectoriesWithParents) {
    EXPECT_TRUE(make_directories(path("a/b/c"), 0750).ok());
    EXPECT_TRUE(make_directories(path("a/b/c")).ok());
    EXPECT_TRUE(make_directories(path("a/b/d/")).ok());
    EXPECT_TRUE(is_directory(path("a/b/d")));
    ASSERT_TRUE(write_file_durably(path("f"), as_bytes("x")).ok());
    EXPECT_FALSE(make_directories(path("f/g")).ok());
    EXPECT_FALSE(make_directories(path("f")).ok());
}

TEST_F(File, ListsInByteOrder) {
    for (const char* name : {"b", "a", "B", ".hidden", "10", "9"}) {
        ASSERT_TRUE(write_file_durably(path(name), {}).ok());
    }
    EXPECT_EQ(list_directory(directory_).value(), (std::vector<std::string>{".hidden", "10", "9", "B", "a", "b"}));
}

TEST_F(File, DanglingLinksExistButAreNoDirectories) {
    std::filesystem::create_symlink("nowhere", path("link"));
    EXPECT_TRUE(path_exists(path("link")));
    EXPECT_FALSE(is_directory(path("link")));
    EXPECT_FALSE(stat_path(path("link")).ok());
    EXPECT_TRUE(remove_file(path("link")).ok());
    EXPECT_FALSE(path_exists(path("link")));
}

TEST_F(File, SourceAndSinkStreamAFile) {
    const Bytes data = test::random_bytes(300'000);
    auto fd = open_file(path("a"), O_WRONLY | O_CREAT | O_EXCL);
    ASSERT_TRUE(fd.ok());
    FdSink sink(fd->get(), path("a"));
    ASSERT_TRUE(test::write_in_steps(sink, data, 70'000).ok());
    auto source = FileSource::open(path("a"));
    ASSERT_TRUE(source.ok());
    EXPECT_EQ(read_all(**source, data.size()).value(), data);
    EXPECT_FALSE(FileSource::open(path("b")).ok());
}

TEST_F(File, DescriptorsAreClosedOnce) {
    auto opened = open_file("/dev/null", O_RDONLY);
    ASSERT_TRUE(opened.ok());
    const int raw = opened->get();
    EXPECT_EQ(::fcntl(raw, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    {
        Fd first = std::move(opened).value();
        Fd second;
        second = std::move(first);
        EXPECT_EQ(second.get(), raw);
    }
    EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

TEST(Path, JoinsAndTakesApart) {
    EXPECT_EQ(join_path("/a", "b"), "/a/b");
    EXPECT_EQ(join_path("/a/", "b"), "/a/b");
    EXPECT_EQ(join_path("", "b"), "b");
    EXPECT_EQ(parent_path("/a/b"), "/a");
    EXPECT_EQ(parent_path("/a/b/"), "/a");
    EXPECT_EQ(parent_path("/a"), "/");
    EXPECT_EQ(parent_path("a"), ".");
    EXPECT_EQ(parent_path("/"), "/");
    EXPECT_EQ(parent_path("a//b"), "a");
    EXPECT_EQ(base_name("/a/b"), "b");
    EXPECT_EQ(base_name("/a/b/"), "b");
    EXPECT_EQ(base_name("b"), "b");
    EXPECT_EQ(base_name("/"), "/");
}

}  // namespace
}  // namespace forge
