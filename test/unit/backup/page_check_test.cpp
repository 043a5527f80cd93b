#include "core/backup/page_check.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "test/unit/backup/fake_cluster.h"

namespace forge::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Lsn kBackupStart = 0x2000000;

// Pages of a real server: the tar members of relations in the golden backup.
std::map<std::string, Bytes> golden_relations() {
    auto repository = test::golden_repository();
    auto source = repository->open_object(layout::parts_folder(test::kGoldenFull) + "part_003.tar.br",
                                          codec::Method::kBrotli, {});
    EXPECT_TRUE(source.ok()) << source.status().to_string();
    auto tar = read_all(**source, 64 << 20);
    EXPECT_TRUE(tar.ok()) << tar.status().to_string();
    std::map<std::string, Bytes> files;
    for (std::size_t at = 0; at + 512 <= tar->size() && (*tar)[at] != 0;) {
        const char* header = reinterpret_cast<const char*>(tar->data() + at);
        const std::size_t size = std::stoull(std::string(header + 124, 11), nullptr, 8);
        const std::string name = header;
        at += 512;
        if (size % kPageSize == 0 && size > 0 && name.starts_with("/base/") &&
            name.find_first_not_of("0123456789", 8) == std::string::npos)
            files[name] = Bytes(tar->begin() + static_cast<std::ptrdiff_t>(at),
                                tar->begin() + static_cast<std::ptrdiff_t>(at + size));
        at += (size + 511) / 512 * 512;
    }
    return files;
}

TEST(PageChecksum, OfEveryGoldenPage) {
    std::size_t pages = 0;
    for (const auto& [name, content] : golden_relations())
        for (std::uint32_t block = 0; block < content.size() / kPageSize; ++block) {
            const ByteView page = ByteView(content).subspan(block * kPageSize, kPageSize);
            if (load_le<std::uint16_t>(page.data() + 14) == 0) continue;
            ASSERT_EQ(load_le<std::uint16_t>(page.data() + 8), page_checksum(page, block))
                << name << " block " << block;
            ++pages;
        }
    EXPECT_GT(pages, 100U);
}

TEST(PageChecksum, ChangesWithEveryByteAndTheBlock) {
    Bytes page = test::relation_pages(1);
    const std::uint16_t good = page_checksum(page, 0);
    EXPECT_NE(page_checksum(page, 1), good);
    for (const std::size_t at : {0UL, 4UL, 7UL, 10UL, 11UL, 100UL, 8191UL}) {
        page[at] ^= 1;
        EXPECT_NE(page_checksum(page, 0), good) << at;
        page[at] ^= 1;
    }
}

class PageCheckerTest : public ::testing::Test {
protected:
    // Checks `read` as read from a file that holds `on_disk`.
    std::vector<std::uint32_t> bad_blocks(Bytes& read, const Bytes& on_disk, std::uint32_t first_block = 0) {
        const std::string path = directory_ / "16384";
        test::write_bytes(path, on_disk);
        auto fd = open_file(path, O_RDONLY);
        EXPECT_TRUE(fd.ok());
        PageChecker checker(fd->get(), first_block, kBackupStart);
        checker.check(read, 0, cancel_);
        count_ = checker.bad_count();
        return checker.bad_blocks();
    }
    test::TestDirectory directory_;
    CancelToken cancel_;
    std::uint64_t count_ = 0;
};

// D4
TEST_F(PageCheckerTest, FlippedByteIsFoundInItsBlock) {
    Bytes pages = test::relation_pages(5);
    pages[3 * kPageSize + 1000] ^= 1;
    const Bytes disk = pages;
    EXPECT_THAT(bad_blocks(pages, disk), ElementsAre(3));
}

TEST_F(PageCheckerTest, BlockNumbersGoOnInLaterSegments) {
    Bytes pages = test::relation_pages(3, 131072);
    EXPECT_THAT(bad_blocks(pages, Bytes(pages), 131072), IsEmpty());
    EXPECT_THAT(bad_blocks(pages, Bytes(pages), 0), ElementsAre(0, 1, 2));
}

TEST_F(PageCheckerTest, NewPagesAndPagesThatReplayOverwritesAreNotJudged) {
    Bytes pages(kPageSize, 0);  // new
    Bytes later = test::relation_pages(1, 0, kBackupStart);
    later[500] ^= 1;
    pages.insert(pages.end(), later.begin(), later.end());
    EXPECT_THAT(bad_blocks(pages, Bytes(pages)), IsEmpty());
}

// P16: torn when read first; the second reading gives the whole page, which is what goes into the backup.
TEST_F(PageCheckerTest, TornPageIsReplacedByTheSecondReading) {
    const Bytes whole = test::relation_pages(2);
    Bytes torn = whole;
    std::fill(torn.begin() + 4096, torn.begin() + 8192, std::uint8_t{0xAA});
    EXPECT_THAT(bad_blocks(torn, whole), IsEmpty());
    EXPECT_EQ(torn, whole);
}

// P16: two different bad readings mean that somebody is writing.
TEST_F(PageCheckerTest, PageThatChangesBetweenReadingsIsConcurrentNotCorrupt) {
    Bytes first = test::relation_pages(1);
    first[5000] ^= 1;
    Bytes second = first;
    second[6000] ^= 1;
    EXPECT_THAT(bad_blocks(first, second), IsEmpty());
}

TEST_F(PageCheckerTest, TruncatedMeanwhileIsNotCorrupt) {
    Bytes pages = test::relation_pages(2);
    pages[kPageSize + 100] ^= 1;
    const Bytes disk(pages.begin(), pages.begin() + kPageSize);
    EXPECT_THAT(bad_blocks(pages, disk), IsEmpty());
}

TEST_F(PageCheckerTest, CountsAllAndListsTen) {
    Bytes pages = test::relation_pages(14);
    for (std::size_t i = 0; i < 14; ++i) pages[i * kPageSize + 200] ^= 1;
    EXPECT_EQ(bad_blocks(pages, Bytes(pages)).size(), 10U);
    EXPECT_EQ(count_, 14U);
}

}  // namespace
}  // namespace forge::backup
