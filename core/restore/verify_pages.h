// Judges the pages of relation files as they pass: the server's checksum, and a position that the backup can hold.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/lsn.h"

namespace forge::restore {

// Of one backup.
struct PageRules {
    Lsn start = 0;            // pages from here on may be torn and are overwritten by replay: not judged
    Lsn finish = UINT64_MAX;  // no page of the backup is newer
};

class PageJudge {
public:
    // `first_block`: of the file's first page, counted through all segments of the relation.
    PageJudge(const PageRules& rules, std::uint32_t first_block) : rules_(rules), first_block_(first_block) {}

    // Pieces of a file, from its start.
    void feed(ByteView data);
    // One page, at `block` of the file.
    void judge(ByteView page, std::uint32_t block);

    struct Bad {
        std::uint64_t count = 0;
        std::vector<std::uint32_t> blocks;  // of the file; the first ten
    };
    const Bad& wrong_checksums() const { return wrong_checksums_; }
    const Bad& too_new() const { return too_new_; }

private:
    static void note(Bad& bad, std::uint32_t block);

    PageRules rules_;
    std::uint32_t first_block_;
    std::uint32_t next_block_ = 0;
    Bytes partial_;  // begin of a page that goes on in the next piece
    Bad wrong_checksums_, too_new_;
};

}  // namespace forge::restore
