#include "core/layout/json_text.h"

#include <nlohmann/json.hpp>

#include "core/base/text.h"

namespace forge::layout {

namespace {

// Walks text that is known to be valid JSON.
class Cursor {
public:
    explicit Cursor(std::string_view text) : text_(text) {}

    void skip_space() {
        while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
    }
    // Takes `c` after blanks; false (and nothing but blanks taken) if something else is there.
    bool take(char c) {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    std::string_view take_value() {
        skip_space();
        const std::size_t start = at_;
        if (at_ < text_.size() && text_[at_] == '"') {
            skip_string();
        } else if (at_ < text_.size() && (text_[at_] == '{' || text_[at_] == '[')) {
            skip_nested();
        } else {
            at_ = std::min(text_.find_first_of(",]} \t\r\n", at_), text_.size());
        }
        return text_.substr(start, at_ - start);
    }

private:
    void skip_string() {
        for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
            if (text_[at_] == '\\') ++at_;
        }
        at_ = std::min(at_ + 1, text_.size());
    }
    void skip_nested() {
        std::size_t depth = 0;
        do {
            const char c = text_[at_];
            if (c == '"') {
                skip_string();
                continue;
            }
            if (c == '{' || c == '[') ++depth;
            if (c == '}' || c == ']') --depth;
            ++at_;
        } while (depth > 0 && at_ < text_.size());
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

std::string decode_string(std::string_view literal) {
    if (literal.find('\\') == std::string_view::npos) return std::string(literal.substr(1, literal.size() - 2));
    const auto value = nlohmann::json::parse(literal.begin(), literal.end(), nullptr, false);
    return value.is_string() ? value.get<std::string>() : std::string();
}

template <typename T>
bool read_number(std::string_view text, T& target) {
    const auto number = parse_number<T>(text);
    if (number) target = *number;
    return number.has_value();
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
}

}  // namespace

bool is_json(std::string_view text) {
    // The library reads a zero byte as the end, whatever follows, and skips a byte order mark. Neither may pass: the
    // text may become part of another one.
    if (text.find('\0') != std::string_view::npos || text.starts_with("\xEF\xBB\xBF")) return false;
    return nlohmann::json::accept(text.begin(), text.end());
}

std::string json_string(std::string_view text, bool html) {
    std::string literal = nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (html) {
        replace_all(literal, "<", "\\u003c");
        replace_all(literal, ">", "\\u003e");
        replace_all(literal, "&", "\\u0026");
        replace_all(literal, "\xE2\x80\xA8", "\\u2028");
        replace_all(literal, "\xE2\x80\xA9", "\\u2029");
    }
    return literal;
}

bool is_utf8(std::string_view text) {
    try {
        static_cast<void>(nlohmann::json(text).dump());
        return true;
    } catch (const nlohmann::json::exception&) {
        return false;
    }
}

Result<JsonValue> JsonValue::parse_object(std::string_view text, std::string_view what) {
    if (!is_json(text)) return Status(Kind::kCorrupt, std::string(what) + " is not valid JSON");
    Cursor cursor(text);
    const std::string_view value = cursor.take_value();
    if (!value.starts_with('{')) return Status(Kind::kCorrupt, std::string(what) + " is not a JSON object");
    return JsonValue(what, value);
}

Status JsonValue::wrong(std::string_view expected) const {
    return Status(Kind::kCorrupt, "member " + forge::quoted(name_) + " is not " + std::string(expected));
}

Status JsonValue::read(bool& target) const {
    if (is_null()) return {};
    if (text_ != "true" && text_ != "false") return wrong("a boolean");
    target = text_ == "true";
    return {};
}

Status JsonValue::read(int& target) const {
    return is_null() || read_number(text_, target) ? Status() : wrong("an integer");
}

Status JsonValue::read(std::uint32_t& target) const {
    return is_null() || read_number(text_, target) ? Status() : wrong("an unsigned 32-bit integer");
}

Status JsonValue::read(std::uint64_t& target) const {
    return is_null() || read_number(text_, target) ? Status() : wrong("an unsigned 64-bit integer");
}

Status JsonValue::read(std::optional<std::uint64_t>& target) const {
    if (is_null()) return {};
    std::uint64_t number = 0;
    FORGE_TRY(read(number));
    target = number;
    return {};
}

Status JsonValue::read(std::string& target) const {
    if (is_null()) return {};
    if (!text_.starts_with('"')) return wrong("a string");
    target = decode_string(text_);
    return {};
}

Status JsonValue::read(Instant& target) const {
    if (is_null()) return {};
    std::string text;
    FORGE_TRY(read(text));
    if (text.starts_with("0001-01-01T00:00:00")) {
        target = Instant{};
        return {};
    }
    const Result<Instant> time = parse_time(text);
    if (!time.ok()) return wrong("a time in RFC 3339 form");
    target = *time;
    return {};
}

Status JsonValue::each_member(const std::function<Status(const JsonValue&)>& visit) const {
    if (is_null()) return {};
    if (!text_.starts_with('{')) return wrong("an object");
    Cursor cursor(text_);
    cursor.take('{');
    while (!cursor.take('}')) {
        const std::string name = decode_string(cursor.take_value());
        cursor.take(':');
        FORGE_TRY(visit(JsonValue(name, cursor.take_value())));
        cursor.take(',');
    }
    return {};
}

Status JsonValue::each_element(const std::function<Status(const JsonValue&)>& visit) const {
    if (is_null()) return {};
    if (!text_.starts_with('[')) return wrong("an array");
    Cursor cursor(text_);
    cursor.take('[');
    while (!cursor.take(']')) {
        FORGE_TRY(visit(JsonValue(name_, cursor.take_value())));
        cursor.take(',');
    }
    return {};
}

}  // namespace forge::layout
