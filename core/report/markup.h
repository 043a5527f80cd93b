// Pieces of the page: texts made harmless, figures as people read them.
#pragma once

#include <string>
#include <string_view>

#include "core/base/time.h"

namespace forge::report {

// For text and attribute values of HTML and SVG: markup characters as entities; bytes that are no UTF-8, control
// characters and those that turn the direction of writing as U+FFFD; at most `most` characters, then "…".
inline constexpr std::size_t kMostCharacters = 300;
std::string escaped(std::string_view text, std::size_t most = kMostCharacters);

// Markup in UTF-8 with every other character as a numeric reference: the same page in whatever encoding it is kept or
// sent.
std::string in_ascii(std::string_view markup);

// "4 d 3 h", "12 min 5 s", "0 s"; the two largest units.
std::string span_text(double seconds);
// "22 Nov 2026 09:17" in UTC; "–" for Instant{}.
std::string time_text(Instant at);
// "1,234,567".
std::string count_text(std::uint64_t count);
std::string plural(std::uint64_t count, std::string_view one, std::string_view many);  // "1 file", "3 files"
// Shortest form with up to three decimals, for coordinates.
std::string coordinate(double value);
double seconds_between(Instant from, Instant to);

}  // namespace forge::report
