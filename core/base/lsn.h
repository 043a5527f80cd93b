// Positions in the WAL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forge {

using Lsn = std::uint64_t;       // byte position in the WAL
using Timeline = std::uint32_t;  // from 1

std::string format_lsn(Lsn lsn);  // "0/3000028": upper-case hex, no padding
std::optional<Lsn> parse_lsn(std::string_view text);

}  // namespace forge
