// global/pg_control: with a wrong checksum refused, with a right one no number that others divide or count by.
#include <bit>

#include "core/backup/control_file.h"
#include "core/base/crc32c.h"
#include "core/layout/names.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

constexpr std::size_t kCrcOf15 = 288, kCrcOf18 = 292;

// As the server would have sealed it.
Bytes sealed(Bytes raw) {
    if (raw.size() < kCrcOf18 + 4) return raw;
    const std::size_t at = load_le<std::uint32_t>(&raw[8]) == 1800 ? kCrcOf18 : kCrcOf15;
    store_le(&raw[at], crc32c(ByteView(raw).first(at)));
    return raw;
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const bool seal = input.ConsumeBool();
    const auto flip = input.ConsumeIntegral<std::uint16_t>();
    Bytes raw = rest_of(input);
    if (seal) raw = sealed(std::move(raw));
    const auto control = backup::parse_control_file(raw);
    if (!control.ok()) {
        require(control.status().is(Kind::kCorrupt) || control.status().is(Kind::kInvalid), "it is damaged or unknown");
        return;
    }
    require(layout::is_valid_segment_size(control->segment_size), "the segment size is one the server has");
    require(std::has_single_bit(control->block_size) && control->relation_segment_blocks > 0, "so are the blocks");
    require(control->raw == raw, "the file is kept as it was");
    static_cast<void>(backup::major_version_of(*control));
    raw[flip / 8 % kCrcOf15] ^= static_cast<std::uint8_t>(1U << flip % 8);
    require(!backup::parse_control_file(raw).ok(), "one bit that changed is noticed");
}

}  // namespace forge::fuzz
