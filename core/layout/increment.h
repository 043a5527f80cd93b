// The increment of a file in a delta backup (walg-format 6.2): which of its pages changed, and these pages.
//
//   offset 0       4 bytes  "wi1" and 0x55
//          4       u64      size of the file in bytes when the backup looked at it
//         12       u32      number of pages that follow, N
//         16       u32 * N  their block numbers in this file, ascending
//         16 + 4N  8192 * N the pages, in the same order
//
// Integers are little-endian.
#pragma once

#include <cstdint>
#include <vector>

#include "core/base/stream.h"

namespace forge::layout {

inline constexpr std::size_t kIncrementPage = 8192;
inline constexpr std::size_t kIncrementFixedSize = 16;
// Of a file of a relation in the largest configuration of the server; more blocks are not believed.
inline constexpr std::uint32_t kIncrementMaxBlocks = 1U << 28;

struct IncrementHeader {
    std::uint64_t file_size = 0;        // bytes
    std::vector<std::uint32_t> blocks;  // ascending, none twice
};

// Bytes of an increment with so many pages, header included.
constexpr std::uint64_t increment_size(std::uint64_t pages) {
    return kIncrementFixedSize + pages * (sizeof(std::uint32_t) + kIncrementPage);
}
// Everything before the pages.
Bytes encode_increment_header(const IncrementHeader& header);
// Takes the header off `source`, whose whole increment has `member_size` bytes; the pages follow in the source.
// kCorrupt: not an increment, another version, blocks out of order, or a size that does not fit the number of pages.
Result<IncrementHeader> read_increment_header(Source& source, std::uint64_t member_size);
// The first bytes of every increment of any version. A page of a relation never begins like this by chance: its first
// eight bytes are a WAL position.
bool looks_like_increment(ByteView start);

}  // namespace forge::layout
