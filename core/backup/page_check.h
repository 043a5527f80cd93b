// Verifies the checksums of data pages while they are copied (postgres-hooks 15). Pages may be torn by a write that
// happens while we read: a bad page counts only when reading it again gives the same bytes several times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cancel.h"
#include "core/base/lsn.h"
#include "core/base/status.h"

namespace forge::backup {

inline constexpr std::size_t kPageSize = 8192;

// The server's checksum of a page (8192 bytes) at `block`, counted through all segments of the relation.
std::uint16_t page_checksum(ByteView page, std::uint32_t block);

class PageChecker {
public:
    // `fd` is read again where a page looks bad; it outlives the checker. `first_block` is that of the file's first
    // page. Pages with an LSN from `start_lsn` on are not judged: replay overwrites them.
    PageChecker(int fd, std::uint32_t first_block, Lsn start_lsn)
        : fd_(fd), first_block_(first_block), start_lsn_(start_lsn) {}

    // Looks at the whole pages in `data`, read from `offset` (a multiple of the page size) of the file. A page that is
    // good in a second reading replaces the one in `data`.
    void check(MutableBytes data, std::uint64_t offset, const CancelToken& cancel);

    // Reads whole pages one by one from `offset`, where reading all of them at once met an error of the disk. A page
    // that cannot be read the second time either counts as bad, and gets content that the server refuses. Returns the
    // bytes up to the end of the file or of `data`; any other failure is one of `path`.
    Result<std::size_t> read_singly(MutableBytes data, std::uint64_t offset, const std::string& path);

    // Blocks counted from the start of the file: how many, and the first ten.
    std::uint64_t bad_count() const { return bad_count_; }
    const std::vector<std::uint32_t>& bad_blocks() const { return bad_blocks_; }

private:
    void count_bad(std::uint32_t block);
    bool is_good(ByteView page, std::uint32_t block) const;
    bool survives_rereading(MutableBytes page, std::uint32_t block, const CancelToken& cancel) const;

    int fd_;
    std::uint32_t first_block_;
    Lsn start_lsn_;
    std::uint64_t bad_count_ = 0;
    std::vector<std::uint32_t> bad_blocks_;
};

}  // namespace forge::backup
