#include "core/layout/increment.h"

#include <algorithm>
#include <array>
#include <string>

namespace forge::layout {

namespace {

constexpr std::array<std::uint8_t, 4> kMagic{'w', 'i', '1', 0x55};
constexpr std::size_t kVersionAt = 2;
constexpr std::size_t kPiece = 16 * 1024;  // block numbers read at once

Status corrupt(const std::string& what) { return Status(Kind::kCorrupt, "the increment " + what); }

Status read_exactly(Source& source, MutableBytes buffer) {
    FORGE_ASSIGN(const std::size_t got, read_full(source, buffer));
    if (got != buffer.size()) return corrupt("is cut off");
    return {};
}

Status check_magic(ByteView start) {
    if (!looks_like_increment(start)) return corrupt("has no valid header");
    if (start[kVersionAt] != kMagic[kVersionAt]) return corrupt("has a version that is not known");
    return {};
}

}  // namespace

bool looks_like_increment(ByteView start) {
    return start.size() >= kMagic.size() && start[0] == kMagic[0] && start[1] == kMagic[1] && start[3] == kMagic[3];
}

Bytes encode_increment_header(const IncrementHeader& header) {
    Bytes bytes(kIncrementFixedSize + header.blocks.size() * sizeof(std::uint32_t));
    std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
    store_le<std::uint64_t>(bytes.data() + 4, header.file_size);
    store_le<std::uint32_t>(bytes.data() + 12, static_cast<std::uint32_t>(header.blocks.size()));
    for (std::size_t i = 0; i < header.blocks.size(); ++i)
        store_le<std::uint32_t>(bytes.data() + kIncrementFixedSize + i * sizeof(std::uint32_t), header.blocks[i]);
    return bytes;
}

Result<IncrementHeader> read_increment_header(Source& source, std::uint64_t member_size) {
    std::array<std::uint8_t, kIncrementFixedSize> fixed{};
    FORGE_TRY(read_exactly(source, fixed));
    FORGE_TRY(check_magic(fixed));
    IncrementHeader header;
    header.file_size = load_le<std::uint64_t>(fixed.data() + 4);
    const auto count = load_le<std::uint32_t>(fixed.data() + 12);
    // Before memory is spent on a number nobody checked.
    if (count > kIncrementMaxBlocks || increment_size(count) != member_size)
        return corrupt("has " + std::to_string(member_size) + " bytes, which do not fit its " + std::to_string(count) +
                       " pages");
    // Memory grows with the bytes that come, not with the number that claims to: the size of a member is a claim, too.
    Bytes numbers(kPiece * sizeof(std::uint32_t));
    while (header.blocks.size() < count) {
        const std::size_t piece = std::min(kPiece, count - header.blocks.size());
        FORGE_TRY(read_exactly(source, MutableBytes(numbers).first(piece * sizeof(std::uint32_t))));
        for (std::size_t i = 0; i < piece; ++i) {
            const auto block = load_le<std::uint32_t>(numbers.data() + i * sizeof(std::uint32_t));
            if (!header.blocks.empty() && block <= header.blocks.back()) return corrupt("has blocks out of order");
            header.blocks.push_back(block);
        }
    }
    if (!header.blocks.empty() && header.blocks.back() >= kIncrementMaxBlocks)
        return corrupt("has a block number that no file has");
    return header;
}

}  // namespace forge::layout
