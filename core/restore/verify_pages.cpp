#include "core/restore/verify_pages.h"

#include <algorithm>

#include "core/backup/page_check.h"

namespace forge::restore {
namespace {

using backup::kPageSize;

// Page header (storage/bufpage.h).
constexpr std::size_t kChecksumAt = 8;
constexpr std::size_t kUpperAt = 14;
constexpr std::size_t kListedBlocks = 10;

Lsn page_lsn(ByteView page) {
    return (static_cast<Lsn>(load_le<std::uint32_t>(page.data())) << 32) | load_le<std::uint32_t>(page.data() + 4);
}

}  // namespace

void PageJudge::feed(ByteView data) {
    if (!partial_.empty()) {
        const std::size_t begun = partial_.size();
        const std::size_t piece = std::min(data.size(), kPageSize - begun);
        partial_.resize(begun + piece);
        std::ranges::copy(data.first(piece), partial_.data() + begun);
        data = data.subspan(piece);
        if (partial_.size() < kPageSize) return;
        judge(partial_, next_block_++);
        partial_.clear();
    }
    for (; data.size() >= kPageSize; data = data.subspan(kPageSize)) judge(data.first(kPageSize), next_block_++);
    partial_.assign(data.begin(), data.end());
}

void PageJudge::judge(ByteView page, std::uint32_t block) {
    const bool is_new = load_le<std::uint16_t>(page.data() + kUpperAt) == 0;
    if (is_new) return;
    const Lsn lsn = page_lsn(page);
    if (lsn >= rules_.start && lsn <= rules_.finish) return;
    const bool good =
        load_le<std::uint16_t>(page.data() + kChecksumAt) == backup::page_checksum(page, first_block_ + block);
    if (!good && lsn < rules_.start) note(wrong_checksums_, block);
    if (good && lsn > rules_.finish) note(too_new_, block);
}

void PageJudge::note(Bad& bad, std::uint32_t block) {
    ++bad.count;
    if (bad.blocks.size() < kListedBlocks) bad.blocks.push_back(block);
}

}  // namespace forge::restore
