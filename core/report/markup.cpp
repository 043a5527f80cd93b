#include "core/report/markup.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace forge::report {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of the character that begins there; 0 = no UTF-8.
std::size_t length_of_character(std::string_view text) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned char first = byte(0);
    const std::size_t length = first < 0x80                     ? 1
                               : first >= 0xC2 && first < 0xE0  ? 2
                               : first >= 0xE0 && first < 0xF0  ? 3
                               : first >= 0xF0 && first <= 0xF4 ? 4
                                                                : 0;
    if (length == 0 || length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xC0) != 0x80) return 0;
    if (first == 0xE0 && byte(1) < 0xA0) return 0;   // longer than needed
    if (first == 0xED && byte(1) >= 0xA0) return 0;  // half of a pair
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) >= 0x90) return 0;
    return length;
}

bool is_unwanted(std::string_view character) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(character[at]); };
    if (character.size() == 1) return (byte(0) < 0x20 && character != "\n" && character != "\t") || byte(0) == 0x7F;
    if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;  // C1
    if (character.size() != 3 || byte(0) != 0xE2) return false;
    const bool marks = byte(1) == 0x80 && (byte(2) == 0x8E || byte(2) == 0x8F);   // U+200E, U+200F
    const bool embeds = byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE;    // U+2028 … U+202E
    const bool isolates = byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9;  // U+2066 … U+2069
    return marks || embeds || isolates;
}

std::string_view entity(char c) {
    switch (c) {
        case '&': return "&amp;";
        case '<': return "&lt;";
        case '>': return "&gt;";
        case '"': return "&quot;";
        case '\'': return "&#39;";
        default: return {};
    }
}

}  // namespace

std::string escaped(std::string_view text, std::size_t most) {
    std::string out;
    std::size_t characters = 0;
    while (!text.empty()) {
        if (characters++ == most) return out + "…";
        const std::size_t length = length_of_character(text);
        const std::string_view character = text.substr(0, std::max<std::size_t>(length, 1));
        if (length == 0 || is_unwanted(character))
            out += kReplacement;
        else if (const std::string_view replaced = entity(character[0]); !replaced.empty())
            out += replaced;
        else
            out += character;
        text.remove_prefix(character.size());
    }
    return out;
}

std::string in_ascii(std::string_view markup) {
    std::string out;
    out.reserve(markup.size());
    while (!markup.empty()) {
        const std::size_t length = std::max<std::size_t>(length_of_character(markup), 1);
        if (length == 1) {
            out += static_cast<unsigned char>(markup[0]) < 0x80 ? markup[0] : '?';
        } else {
            std::uint32_t code = static_cast<unsigned char>(markup[0]) & (0xFFU >> (length + 1));
            for (std::size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(markup[i]) & 0x3FU);
            out += "&#" + std::to_string(code) + ";";
        }
        markup.remove_prefix(length);
    }
    return out;
}

std::string span_text(double seconds) {
    if (!(seconds > 0)) return "0 s";
    if (seconds < 1) return "< 1 s";
    struct Unit {
        double seconds;
        const char* name;
    };
    constexpr std::array<Unit, 5> units{{{365 * 86400.0, "y"}, {86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}}};
    std::size_t at = 0;
    while (seconds < units[at].seconds) ++at;
    const double whole = std::floor(seconds / units[at].seconds);
    std::string text = std::to_string(static_cast<std::int64_t>(whole)) + " " + units[at].name;
    if (at + 1 == units.size()) return text;
    const double rest = std::floor((seconds - whole * units[at].seconds) / units[at + 1].seconds);
    if (rest > 0) text += " " + std::to_string(static_cast<std::int64_t>(rest)) + " " + units[at + 1].name;
    return text;
}

std::string time_text(Instant at) {
    if (at == Instant{}) return "–";
    const std::time_t seconds = at.seconds();
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%-d %b %Y %H:%M", &parts);
    return text.data();
}

std::string count_text(std::uint64_t count) {
    std::string text = std::to_string(count);
    for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, ",");
    return text;
}

std::string plural(std::uint64_t count, std::string_view one, std::string_view many) {
    return count_text(count) + " " + std::string(count == 1 ? one : many);
}

std::string coordinate(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.3f", value);
    std::string out = text.data();
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
    return out == "-0" ? "0" : out;
}

double seconds_between(Instant from, Instant to) { return static_cast<double>(to.nanos - from.nanos) / 1e9; }

}  // namespace forge::report
