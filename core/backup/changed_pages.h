// Which pages of a file changed since another backup began, found by the position in the WAL that each page carries
// (walg-format 6.3).
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/backup/page_check.h"
#include "core/backup/read_limit.h"

namespace forge::backup {

// A bit for each page of a file: 16 kB for 1 GB.
struct ChangedPages {
    std::uint64_t file_size = 0;  // bytes, when it was read
    std::vector<bool> changed;    // by block number; one for each page of file_size
    std::uint32_t count = 0;      // of the changed ones
    // Pages whose checksum is wrong, changed or not, as PageChecker counts them.
    std::uint64_t bad_count = 0;
    std::vector<std::uint32_t> bad_blocks;

    std::vector<std::uint32_t> blocks() const;  // the changed ones, ascending
};

enum class PageState { kUnchanged, kChanged, kInvalid };
// A new page counts as changed. `page` has the size of a page.
PageState page_state(ByteView page, Lsn since);

struct PageSearch {
    Lsn since = 0;
    ReadLimit& limit;
    const CancelToken& stop;
    std::atomic<std::uint64_t>& bytes_done;
};
// Reads the file from its beginning to `size`, a multiple of the page size. Nothing when it has to be stored whole: a
// page is invalid, or an increment would not be smaller. `checker` may be null.
Result<std::optional<ChangedPages>> find_changed_pages(int fd, const std::string& path, std::uint64_t size,
                                                       PageChecker* checker, const PageSearch& search);

}  // namespace forge::backup
