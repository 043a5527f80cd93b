#include "core/base/lsn.h"

#include <array>
#include <cstdio>

#include "core/base/text.h"

namespace forge {

std::string format_lsn(Lsn lsn) {
    std::array<char, 24> text{};
    std::snprintf(text.data(), text.size(), "%X/%X", static_cast<unsigned>(lsn >> 32),
                  static_cast<unsigned>(lsn & 0xFFFFFFFFU));
    return text.data();
}

std::optional<Lsn> parse_lsn(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos || slash > 8 || text.size() - slash - 1 > 8) return std::nullopt;
    const auto high = parse_number<std::uint32_t>(text.substr(0, slash), 16);
    const auto low = parse_number<std::uint32_t>(text.substr(slash + 1), 16);
    if (!high || !low) return std::nullopt;
    return (static_cast<Lsn>(*high) << 32) | *low;
}

}  // namespace forge
