// Increments: a header that is accepted is the one the writer makes, and costs no more memory than its bytes.
// fuzz: -malloc_limit_mb=16
#include "core/layout/increment.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

void read_foreign(ByteView data, std::uint64_t member_size, std::size_t piece) {
    PieceSource source(data, piece);
    const auto header = layout::read_increment_header(source, member_size);
    if (!header.ok()) {
        require(header.status().is(Kind::kCorrupt), "what is no increment is damage");
        return;
    }
    require(layout::looks_like_increment(data), "an increment looks like one");
    require(layout::increment_size(header->blocks.size()) == member_size, "its size fits the number of pages");
    require(starts_with(data, layout::encode_increment_header(*header)), "the header is read and written alike");
    require(std::adjacent_find(header->blocks.begin(), header->blocks.end(), std::greater_equal<>()) ==
                header->blocks.end(),
            "blocks ascend");
}

void write_and_cut(FuzzedDataProvider& input) {
    layout::IncrementHeader header;
    header.file_size = input.ConsumeIntegral<std::uint64_t>();
    std::uint64_t block = 0;
    while (input.remaining_bytes() > 2) {
        block += input.ConsumeIntegral<std::uint16_t>() + 1U;
        if (block >= layout::kIncrementMaxBlocks) break;
        header.blocks.push_back(static_cast<std::uint32_t>(block));
    }
    const Bytes written = layout::encode_increment_header(header);
    const std::uint64_t member_size = layout::increment_size(header.blocks.size());
    PieceSource whole(written, 7);
    const auto read = layout::read_increment_header(whole, member_size);
    require(read.ok() && read->file_size == header.file_size && read->blocks == header.blocks,
            "what is written is read back");
    const std::size_t cut = input.ConsumeIntegralInRange<std::size_t>(0, written.size() - 1);
    PieceSource part(ByteView(written).first(cut), 64);
    require(!layout::read_increment_header(part, member_size).ok(), "a header that was cut is refused");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    if (input.ConsumeBool()) return write_and_cut(input);
    const std::uint64_t claimed = input.ConsumeIntegral<std::uint64_t>();
    const auto pages = input.ConsumeIntegral<std::uint32_t>();
    const bool fitting = input.ConsumeBool();
    const std::size_t piece = input.ConsumeIntegralInRange<std::size_t>(1, 300);
    read_foreign(rest_of(input), fitting ? layout::increment_size(pages) : claimed, piece);
}

}  // namespace forge::fuzz
