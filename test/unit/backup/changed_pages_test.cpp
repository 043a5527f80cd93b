#include "core/backup/changed_pages.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "test/unit/backup/fake_cluster.h"

namespace forge::backup {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr Lsn kSince = 0x5000028;

Bytes page_with(Lsn lsn) { return test::relation_pages(1, 0, lsn); }

TEST(PageState, IsThatOfTheLsnInAValidPage) {
    EXPECT_EQ(page_state(page_with(kSince - 1), kSince), PageState::kUnchanged);
    EXPECT_EQ(page_state(page_with(kSince), kSince), PageState::kChanged);
    EXPECT_EQ(page_state(page_with(0x1'0000'0000), kSince), PageState::kChanged);
    EXPECT_EQ(page_state(page_with(0xFFFF'FFFF), 0x1'0000'0000), PageState::kUnchanged);
}

TEST(PageState, NewPagesAreChanged) {
    EXPECT_EQ(page_state(Bytes(kPageSize, 0), kSince), PageState::kChanged);
    Bytes half_new = page_with(0x1000);
    store_le<std::uint16_t>(half_new.data() + 14, 0);
    EXPECT_EQ(page_state(half_new, kSince), PageState::kChanged);
}

// One field of the header wrong at a time.
TEST(PageState, WrongHeadersAreInvalid) {
    const std::pair<std::size_t, std::uint16_t> wrong[] = {{10, 8},    {12, 23},  {12, 8192 + 1}, {14, 8000},
                                                           {16, 8193}, {16, 100}, {18, 0x1004},   {18, 0x2006}};
    for (const auto& [at, value] : wrong) {
        Bytes page = page_with(0x1000);
        if (at == 14) store_le<std::uint16_t>(page.data() + 12, 8001);
        store_le<std::uint16_t>(page.data() + at, value);
        EXPECT_EQ(page_state(page, kSince), PageState::kInvalid) << at << ": " << value;
    }
    EXPECT_EQ(page_state(page_with(0), kSince), PageState::kInvalid) << "no LSN, and not new";
}

class FindChangedPages : public ::testing::Test {
protected:
    Result<std::optional<ChangedPages>> find(const Bytes& content, std::uint64_t announced = 0) {
        const std::string path = directory_ / "file";
        test::write_bytes(path, content);
        auto fd = open_file(path, O_RDONLY);
        EXPECT_TRUE(fd.ok());
        bytes_done_ = 0;
        return find_changed_pages(fd->get(), path, announced > 0 ? announced : content.size(), nullptr,
                                  {kSince, limit_, stop_, bytes_done_});
    }
    test::TestDirectory directory_;
    ReadLimit limit_{0, 1};
    CancelToken stop_;
    std::atomic<std::uint64_t> bytes_done_{0};
};

TEST_F(FindChangedPages, GivesTheirNumbers) {
    Bytes content = test::relation_pages(100);
    for (const std::size_t block : {0U, 31U, 32U, 99U})
        store_le<std::uint32_t>(content.data() + block * kPageSize + 4, kSince);
    auto pages = find(content);
    ASSERT_TRUE(pages.ok() && *pages);
    EXPECT_THAT((*pages)->blocks(), ElementsAre(0, 31, 32, 99));
    EXPECT_EQ((*pages)->count, 4U);
    EXPECT_EQ((*pages)->file_size, content.size());
    EXPECT_EQ(bytes_done_, content.size());
}

TEST_F(FindChangedPages, NothingChangedIsAnIncrementWithoutPages) {
    auto pages = find(test::relation_pages(3));
    ASSERT_TRUE(pages.ok() && *pages);
    EXPECT_THAT((*pages)->blocks(), IsEmpty());
}

TEST_F(FindChangedPages, InvalidPageOrNothingSavedMeansTheWholeFile) {
    Bytes content = test::relation_pages(100);
    content[70 * kPageSize + 10] = 0xFF;
    auto pages = find(content);
    ASSERT_TRUE(pages.ok());
    EXPECT_FALSE(*pages);
    EXPECT_EQ(bytes_done_, content.size()) << "the progress must end complete";
    pages = find(test::relation_pages(5, 0, kSince));
    ASSERT_TRUE(pages.ok());
    EXPECT_FALSE(*pages);
}

// P11
TEST_F(FindChangedPages, FileThatShrankHasTheSizeItHasNow) {
    Bytes content = test::relation_pages(40);
    content.resize(content.size() - 100);
    auto pages = find(content, 100 * kPageSize);
    ASSERT_TRUE(pages.ok() && *pages);
    EXPECT_EQ((*pages)->file_size, 39 * kPageSize);
    EXPECT_EQ(bytes_done_, 100 * kPageSize);
}

TEST_F(FindChangedPages, CancelledOneStops) {
    stop_.cancel();
    EXPECT_EQ(find(test::relation_pages(3)).status().kind(), Kind::kCancelled);
}

}  // namespace
}  // namespace forge::backup
