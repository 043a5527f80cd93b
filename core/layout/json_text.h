// JSON as text: objects are cut into members without building a tree, so that a list of a million files costs no more
// than its text, and a value that must survive byte for byte (user data, walg-format W27) is just its piece of the
// text.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/base/time.h"

namespace forge::layout {

// One complete JSON value in UTF-8.
bool is_json(std::string_view text);
// "text" with quotes and escapes. `html`: also <, >, & and U+2028/9 as \u003c … (walg-format 2.1). Bytes that are no
// UTF-8 become U+FFFD, as WAL-G writes them.
std::string json_string(std::string_view text, bool html);
// JSON can hold the text as it is.
bool is_utf8(std::string_view text);

// A value inside text that is_json() accepted; points into that text. read() leaves its target alone for null (WAL-G
// reads a null as absent), and fails with kCorrupt naming the member when the type is wrong or the number does not fit.
class JsonValue {
public:
    JsonValue(std::string_view name, std::string_view text) : name_(name), text_(text) {}
    // Checks the whole text; kCorrupt `what is not valid JSON`, or `… not a JSON object`.
    static Result<JsonValue> parse_object(std::string_view text, std::string_view what);

    const std::string& name() const { return name_; }
    std::string_view text() const { return text_; }
    bool is_null() const { return text_ == "null"; }

    Status read(bool& target) const;
    Status read(int& target) const;
    Status read(std::uint32_t& target) const;
    Status read(std::uint64_t& target) const;
    Status read(std::optional<std::uint64_t>& target) const;
    Status read(std::string& target) const;
    Status read(Instant& target) const;  // "0001-01-01T00:00:00Z", no time, is Instant{}
    // Members in the order of the text, names decoded.
    Status each_member(const std::function<Status(const JsonValue&)>& visit) const;
    Status each_element(const std::function<Status(const JsonValue&)>& visit) const;

private:
    Status wrong(std::string_view expected) const;

    std::string name_;
    std::string_view text_;
};

}  // namespace forge::layout
