#include "core/backup/changed_pages.h"

#include <fcntl.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/layout/increment.h"

namespace forge::backup {
namespace {

constexpr std::size_t kBuffer = 32 * kPageSize;

// Page header (storage/bufpage.h).
constexpr std::size_t kFlagsAt = 10, kLowerAt = 12, kUpperAt = 14, kSpecialAt = 16, kSizeAndVersionAt = 18;
constexpr std::size_t kHeaderSize = 24;
constexpr std::uint16_t kKnownFlags = 7;
constexpr std::uint16_t kSizeMask = 0xFF00, kVersionMask = 0x00FF;
constexpr std::uint16_t kLastVersion = 5;

std::uint16_t field(ByteView page, std::size_t at) { return load_le<std::uint16_t>(page.data() + at); }

bool is_valid(ByteView page, Lsn lsn) {
    const std::uint16_t lower = field(page, kLowerAt);
    const std::uint16_t upper = field(page, kUpperAt);
    const std::uint16_t special = field(page, kSpecialAt);
    const std::uint16_t size_and_version = field(page, kSizeAndVersionAt);
    return (field(page, kFlagsAt) & ~kKnownFlags) == 0 && lower >= kHeaderSize && lower <= upper && upper <= special &&
           special <= kPageSize && lsn != 0 && (size_and_version & kSizeMask) == kPageSize &&
           (size_and_version & kVersionMask) <= kLastVersion;
}

// False when a page is invalid.
bool add_pages(ByteView data, Lsn since, ChangedPages& pages) {
    for (std::size_t at = 0; at + kPageSize <= data.size(); at += kPageSize) {
        const PageState state = page_state(data.subspan(at, kPageSize), since);
        if (state == PageState::kInvalid) return false;
        pages.changed.push_back(state == PageState::kChanged);
        if (state == PageState::kChanged) ++pages.count;
    }
    return true;
}

}  // namespace

std::vector<std::uint32_t> ChangedPages::blocks() const {
    std::vector<std::uint32_t> numbers;
    numbers.reserve(count);
    for (std::size_t i = 0; i < changed.size(); ++i)
        if (changed[i]) numbers.push_back(static_cast<std::uint32_t>(i));
    return numbers;
}

PageState page_state(ByteView page, Lsn since) {
    const Lsn lsn =
        (static_cast<Lsn>(load_le<std::uint32_t>(page.data())) << 32) | load_le<std::uint32_t>(page.data() + 4);
    if (is_valid(page, lsn)) return lsn >= since ? PageState::kChanged : PageState::kUnchanged;
    return field(page, kUpperAt) == 0 ? PageState::kChanged : PageState::kInvalid;
}

Result<std::optional<ChangedPages>> find_changed_pages(int fd, const std::string& path, std::uint64_t size,
                                                       PageChecker* checker, const PageSearch& search) {
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    Bytes buffer(kBuffer);
    ChangedPages pages;
    for (std::uint64_t at = 0; at < size;) {
        FORGE_TRY(search.stop.check());
        const MutableBytes block(buffer.data(), static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, size - at)));
        if (!search.limit.acquire(block.size(), search.stop)) return search.stop.check();
        const auto filled = read_fd(fd, block, path);
        if (!filled.ok() && checker == nullptr) return filled.status();
        if (!filled.ok()) {
            search.bytes_done += size - at;
            return std::optional<ChangedPages>();  // who stores it whole knows what to do about pages that are lost
        }
        const std::size_t got = *filled;
        if (checker != nullptr) checker->check(block.first(got), at, search.stop);
        at += block.size();
        search.bytes_done += block.size();
        if (!add_pages(block.first(got), search.since, pages)) {
            search.bytes_done += size - at;  // was announced and need not be read
            return std::optional<ChangedPages>();
        }
        if (got < block.size()) {
            // Truncated while it was read, which the WAL of this backup knows: it has the size it has now.
            search.bytes_done += size - at;
            break;
        }
    }
    pages.file_size = pages.changed.size() * kPageSize;
    if (layout::increment_size(pages.count) >= size) return std::optional<ChangedPages>();
    if (checker != nullptr) {
        pages.bad_count = checker->bad_count();
        pages.bad_blocks = checker->bad_blocks();
    }
    return std::optional(std::move(pages));
}

}  // namespace forge::backup
