// Small text helpers that the standard library lacks. Numbers are parsed without locale.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forge {

std::string_view trim(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);  // keeps empty pieces
std::string to_lower(std::string_view text);
// The whole text must be a number in range.
template <typename T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return value;
}
// true/false, 1/0, t/f, on/off, yes/no, any case.
std::optional<bool> parse_bool(std::string_view text);
// "name" in double quotes. An object: of two functions, std::quoted would be the better match for a std::string.
struct Quoted {
    std::string operator()(std::string_view name) const;
};
inline constexpr Quoted quoted;
// For use in a shell command line: in single quotes where needed.
std::string shell_quoted(std::string_view word);

}  // namespace forge
