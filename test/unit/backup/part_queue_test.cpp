#include "core/backup/part_queue.h"

#include <gmock/gmock.h>

namespace forge::backup {
namespace {

TEST(PartQueue, LargeFilesFirstThenTheOrderOfTheWalk) {
    constexpr std::uint64_t kMega = 1 << 20;
    ScanEntries files;
    for (const auto& [name, size] : std::vector<std::pair<std::string, std::uint64_t>>{
             {"/a", 5}, {"/b", 20 * kMega}, {"/c", 10 * kMega}, {"/d", 1024 * kMega}, {"/e", 0}}) {
        ScanEntry entry;
        entry.name = name;
        entry.size = size;
        files.push_back(entry);
    }
    ScanEntry directory;
    directory.name = "/f";
    directory.type = ScanEntry::Type::kDirectory;
    files.push_front(directory);
    PartQueue queue(std::move(files));
    ASSERT_EQ(queue.headers().size(), 1U);
    EXPECT_EQ(queue.headers().front().name, "/f");
    std::string order;
    ScanEntry entry;
    while (queue.next(entry)) order += entry.name;
    EXPECT_EQ(order, "/d/b/a/c/e");
    EXPECT_FALSE(queue.next(entry));
}

}  // namespace
}  // namespace forge::backup
