#include "core/layout/increment.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

namespace forge::layout {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<IncrementHeader> read(const Bytes& bytes, std::uint64_t member_size) {
    MemorySource source(bytes);
    return read_increment_header(source, member_size);
}

Bytes with_number(Bytes bytes, std::size_t at, std::uint32_t value) {
    store_le<std::uint32_t>(bytes.data() + at, value);
    return bytes;
}

TEST(Increment, HeaderIsTheOneOfTheFormat) {
    const Bytes bytes = encode_increment_header({65536, {0, 7, 0x01020304}});
    EXPECT_EQ(to_hex(bytes), "776931550000010000000000030000000000000007000000"
                             "04030201");
    EXPECT_EQ(increment_size(3), bytes.size() + 3 * kIncrementPage);
}

TEST(Increment, ReadsWhatItWritesAndLeavesThePages) {
    Bytes bytes = encode_increment_header({3 * kIncrementPage, {1, 2}});
    bytes.resize(bytes.size() + 2 * kIncrementPage, 0x55);
    MemorySource source(bytes);
    auto header = read_increment_header(source, bytes.size());
    ASSERT_TRUE(header.ok()) << header.status().to_string();
    EXPECT_EQ(header->file_size, 3 * kIncrementPage);
    EXPECT_THAT(header->blocks, ElementsAre(1, 2));
    auto pages = read_all(source, 1 << 20);
    ASSERT_TRUE(pages.ok());
    EXPECT_EQ(*pages, Bytes(2 * kIncrementPage, 0x55));
}

// The other program writes these: no page changed, or pages came after the size was taken.
TEST(Increment, WithoutPagesAndBeyondTheSize) {
    const Bytes none = encode_increment_header({kIncrementPage, {}});
    EXPECT_EQ(none.size(), increment_size(0));
    ASSERT_TRUE(read(none, none.size()).ok());
    auto beyond = read(encode_increment_header({kIncrementPage, {0, 9}}), increment_size(2));
    ASSERT_TRUE(beyond.ok());
    EXPECT_THAT(beyond->blocks, ElementsAre(0, 9));
}

// R8: an increment that is not whole must not be applied.
TEST(Increment, EveryCutIsCorrupt) {
    const Bytes bytes = encode_increment_header({65536, {0, 7, 9}});
    for (std::size_t size = 0; size < bytes.size(); ++size)
        EXPECT_EQ(read(Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size)), increment_size(3))
                      .status()
                      .kind(),
                  Kind::kCorrupt)
            << size;
}

TEST(Increment, WrongHeadersAreCorrupt) {
    const Bytes bytes = encode_increment_header({65536, {0, 7}});
    for (const std::size_t at : {0U, 1U, 3U}) {
        Bytes changed = bytes;
        changed[at] ^= 1;
        EXPECT_THAT(read(changed, increment_size(2)).status().message(), HasSubstr("no valid header")) << at;
        EXPECT_FALSE(looks_like_increment(changed));
    }
    Bytes version = bytes;
    version[2] = '2';
    EXPECT_THAT(read(version, increment_size(2)).status().message(), HasSubstr("version that is not known"));
    EXPECT_TRUE(looks_like_increment(version));
    EXPECT_FALSE(looks_like_increment({}));
}

TEST(Increment, NumbersThatDoNotFitAreCorrupt) {
    const Bytes bytes = encode_increment_header({65536, {3, 7}});
    for (const std::uint64_t size : {increment_size(1), increment_size(3), increment_size(2) + 1, std::uint64_t{0}})
        EXPECT_THAT(read(bytes, size).status().message(), HasSubstr("do not fit its 2 pages")) << size;
    // A count that would take all memory is not believed.
    EXPECT_EQ(read(with_number(bytes, 12, UINT32_MAX), increment_size(UINT32_MAX)).status().kind(), Kind::kCorrupt);
    EXPECT_THAT(read(with_number(bytes, 20, 3), increment_size(2)).status().message(), HasSubstr("out of order"));
    EXPECT_THAT(read(with_number(bytes, 20, 2), increment_size(2)).status().message(), HasSubstr("out of order"));
    EXPECT_THAT(read(with_number(bytes, 20, kIncrementMaxBlocks), increment_size(2)).status().message(),
                HasSubstr("no file has"));
}

// A tar header may claim two terabytes: a gigabyte was taken for block numbers before the first of them was there.
TEST(Increment, MemoryGrowsWithTheBytesThatCome) {
    const std::uint32_t count = kIncrementMaxBlocks;
    Bytes start = encode_increment_header({0, {1, 2, 3}});
    store_le<std::uint32_t>(start.data() + 12, count);
    EXPECT_THAT(read(start, increment_size(count)).status().message(), HasSubstr("cut off"));
    struct rusage usage {};
    ASSERT_EQ(::getrusage(RUSAGE_SELF, &usage), 0);
    EXPECT_LT(usage.ru_maxrss, 512 * 1024);  // kB
}

// More numbers than are read at once.
TEST(Increment, LongListsAreReadWhole) {
    IncrementHeader header{1ULL << 40, {}};
    for (std::uint32_t i = 0; i < 40000; ++i) header.blocks.push_back(3 * i);
    const auto again = read(encode_increment_header(header), increment_size(header.blocks.size()));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->blocks, header.blocks);
}

}  // namespace
}  // namespace forge::layout
