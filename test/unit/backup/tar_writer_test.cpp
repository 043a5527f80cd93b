#include "core/backup/tar_writer.h"

#include <gmock/gmock.h>

#include <memory>

#include "test/unit/base/streams.h"

namespace forge::backup {
namespace {

class TarWriterTest : public ::testing::Test {
protected:
    std::unique_ptr<TarWriter> writer() {
        auto result = TarWriter::create(std::make_unique<ForwardSink>(memory_));
        EXPECT_TRUE(result.ok()) << result.status().to_string();
        return std::move(result).value();
    }
    static TarMember file(std::string name, std::uint64_t size) {
        TarMember member;
        member.name = std::move(name);
        member.size = size;
        member.mode = 0600;
        member.uid = 105;
        member.gid = 110;
        member.user = "postgres";
        member.group = "postgres";
        member.mtime_seconds = 1'795'000'000;
        return member;
    }
    std::string field(std::size_t header, std::size_t at, std::size_t size) const {
        const std::string text(as_text(ByteView(memory_.bytes()).subspan(header + at, size)));
        return text.substr(0, text.find('\0'));
    }
    mutable MemorySink memory_;
};

TEST_F(TarWriterTest, HeaderFieldsAndExactlyTwoZeroBlocksAtTheEnd) {
    auto tar = writer();
    ASSERT_TRUE(tar->begin(file("/base/5/1259", 5)).ok());
    ASSERT_TRUE(tar->write(as_bytes("hello")).ok());
    ASSERT_TRUE(tar->finish().ok());
    const Bytes& bytes = memory_.bytes();
    ASSERT_EQ(bytes.size(), 512U + 512 + 1024);
    EXPECT_EQ(field(0, 0, 100), "/base/5/1259");
    EXPECT_EQ(field(0, 100, 8).substr(0, 7), "000600 ");
    EXPECT_EQ(std::stoul(field(0, 124, 12), nullptr, 8), 5U);
    EXPECT_EQ(std::stoul(field(0, 136, 12), nullptr, 8), 1'795'000'000U);
    EXPECT_EQ(field(0, 156, 1), "0");
    EXPECT_EQ(field(0, 257, 6), "ustar");
    EXPECT_EQ(field(0, 265, 32), "postgres");
    EXPECT_EQ(field(512, 0, 512), "hello");
    EXPECT_TRUE(std::all_of(bytes.end() - 1024, bytes.end(), [](std::uint8_t byte) { return byte == 0; }));
}

TEST_F(TarWriterTest, EmptyArchiveIsTwoZeroBlocks) {
    ASSERT_TRUE(writer()->finish().ok());
    EXPECT_EQ(memory_.bytes(), Bytes(1024));
}

TEST_F(TarWriterTest, DirectoriesAndLinks) {
    auto tar = writer();
    TarMember root = file("/", 0);
    root.type = TarMember::Type::kDirectory;
    root.mode = 0700;
    TarMember link = file("/custom.conf", 0);
    link.type = TarMember::Type::kSymlink;
    link.target = "/etc/postgresql/custom.conf";
    ASSERT_TRUE(tar->begin(root).ok());
    ASSERT_TRUE(tar->begin(link).ok());
    ASSERT_TRUE(tar->finish().ok());
    EXPECT_EQ(field(0, 0, 100), "/");
    EXPECT_EQ(field(0, 156, 1), "5");
    EXPECT_EQ(field(512, 0, 100), "/custom.conf");
    EXPECT_EQ(field(512, 156, 1), "2");
    EXPECT_EQ(field(512, 157, 100), "/etc/postgresql/custom.conf");
}

// A pax header comes only where ustar cannot hold the name, and the name is in it byte for byte, whatever the locale.
TEST_F(TarWriterTest, NamesThatUstarCannotHold) {
    auto tar = writer();
    const std::string name = "/\xC3\xBC" + std::string(300, 'x');
    ASSERT_TRUE(tar->begin(file(name, 0)).ok());
    ASSERT_TRUE(tar->begin(file("/plain", 0)).ok());
    ASSERT_TRUE(tar->finish().ok());
    EXPECT_EQ(field(0, 156, 1), "x");
    EXPECT_NE(as_text(memory_.bytes()).find(" path=" + name + "\n"), std::string_view::npos);
    EXPECT_EQ(field(memory_.bytes().size() - 1024 - 512, 0, 100), "/plain");
}

TEST_F(TarWriterTest, UnfinishedOneWritesNoEnd) {
    {
        auto tar = writer();
        ASSERT_TRUE(tar->begin(file("/a", 100'000)).ok());
        ASSERT_TRUE(tar->write(Bytes(70'000, 1)).ok());
    }
    EXPECT_LT(memory_.bytes().size(), 100'000U);
}

TEST_F(TarWriterTest, FailureOfTheSinkIsPassedOn) {
    bool finished = false;
    auto tar = TarWriter::create(std::make_unique<test::FailingSink>(100'000, finished));
    ASSERT_TRUE(tar.ok());
    ASSERT_TRUE((*tar)->begin(file("/a", 1 << 20)).ok());
    Status status;
    for (int i = 0; i < 16 && status.ok(); ++i) status = (*tar)->write(Bytes(65536, 1));
    EXPECT_EQ(status.kind(), Kind::kUnavailable);
    EXPECT_EQ(status.message(), "connection lost");
    EXPECT_FALSE(finished);
}

}  // namespace
}  // namespace forge::backup
