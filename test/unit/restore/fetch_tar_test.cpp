#include "core/restore/fetch_tar.h"

#include <gmock/gmock.h>

#include <cstdio>

namespace forge::restore {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kBlock = 512;

std::string header(const std::string& name, char type, std::size_t size) {
    std::string block(kBlock, '\0');
    const auto put = [&](std::size_t at, const std::string& text) { block.replace(at, text.size(), text); };
    char digits[16];
    put(0, name);
    put(100, "0000600");
    std::snprintf(digits, sizeof(digits), "%011zo", size);
    put(124, digits);
    put(136, "00000000000");
    put(148, "        ");
    put(156, std::string(1, type));
    put(257, "ustar");
    put(263, "00");
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    std::snprintf(digits, sizeof(digits), "%06o", sum);
    put(148, digits);
    return block;
}

std::string member(const std::string& name, char type, const std::string& content) {
    std::string padded = content;
    padded.resize((content.size() + kBlock - 1) / kBlock * kBlock);
    return header(name, type, content.size()) + padded;
}

std::string pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string text;
    for (const auto& [name, value] : records) {
        const std::string rest = " " + name + "=" + value + "\n";
        text += std::to_string(rest.size() + 2) + rest;  // all of them have 10 to 99 bytes
    }
    return member("PaxHeader", 'x', text);
}

Status read_through(const std::string& tar, std::size_t limit = 1 << 20) {
    FORGE_ASSIGN(const auto reader, TarReader::open(std::make_unique<MemorySource>(Bytes(tar.begin(), tar.end()))));
    Bytes buffer(4096);
    std::size_t total = 0;
    for (TarEntry entry;;) {
        FORGE_ASSIGN(const bool more, reader->next(entry));
        if (!more) return reader->finish();
        for (std::size_t size = 1; size > 0;) {
            FORGE_ASSIGN(size, reader->read(buffer));
            total += size;
            if (total > limit) return Status(Kind::kExhausted, "there is no end");
        }
    }
}

const std::string kZeroBlock(kBlock, '\0');

TEST(TarReader, EndMarksOfAnyLengthAreAccepted) {
    const std::string tar = member("a", '0', "abc") + member("b", '0', std::string(1000, '\0'));
    for (std::size_t blocks = 0; blocks < 40; ++blocks) {
        std::string whole = tar;
        for (std::size_t i = 0; i < blocks; ++i) whole += kZeroBlock;
        EXPECT_TRUE(read_through(whole).ok()) << blocks;
    }
}

// The library takes the second block of the end mark without a look: a member there was passed over in silence.
TEST(TarReader, NothingMayFollowAZeroBlock) {
    const std::string tar = member("a", '0', "abc") + kZeroBlock;
    EXPECT_THAT(read_through(tar + member("lost", '0', "")).message(), HasSubstr("behind the end"));
    EXPECT_THAT(read_through(tar + kZeroBlock + "x").message(), HasSubstr("behind the end"));
    EXPECT_THAT(read_through(tar + "x").message(), HasSubstr("behind the end"));
}

// A header of a few bytes stood for any number of zeroes, all of them written to disk.
TEST(TarReader, SparseMembersAreCorrupt) {
    const std::string content = member("s", '0', std::string(100, 'x')) + kZeroBlock + kZeroBlock;
    const std::string with_map = pax({{"GNU.sparse.size", "1000000000"}, {"GNU.sparse.map", "0,100"}}) + content;
    EXPECT_EQ(read_through(with_map).kind(), Kind::kCorrupt);
    EXPECT_THAT(read_through(with_map).message(), HasSubstr("sparse"));
    for (const char* name : {"GNU.sparse.realsize", "SCHILY.realsize"}) {
        const Status status = read_through(pax({{name, "1000000000"}}) + content);
        EXPECT_EQ(status.kind(), Kind::kCorrupt) << name << ": " << status.to_string();
        const Status nothing = read_through(pax({{name, "1000000000"}}) + member("s", '0', ""));
        EXPECT_EQ(nothing.kind(), Kind::kCorrupt) << name << ": " << nothing.to_string();
    }
}

}  // namespace
}  // namespace forge::restore
