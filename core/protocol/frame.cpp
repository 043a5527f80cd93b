#include "core/protocol/frame.h"

#include "core/base/bytes.h"
#include "core/base/text.h"

namespace forge::protocol {

namespace {

constexpr std::size_t kLengthSize = 4;   // u32 length of the rest
constexpr std::size_t kHeaderSize = 2;   // u8 version, u8 type
constexpr std::size_t kFieldHeader = 6;  // u16 tag, u32 length
// Consumed bytes are dropped from the buffer when there are as many, so that a long conversation moves each byte at
// most a few times.
constexpr std::size_t kCompactAt = 64 * 1024;

template <typename T>
void append_le(std::string& text, T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) text += static_cast<char>((value >> (8 * i)) & 0xFF);
}

template <typename T>
T read_le(std::string_view at) {
    return load_le<T>(as_bytes(at).data());
}

bool is_known(std::uint8_t type) {
    return (type >= static_cast<std::uint8_t>(FrameType::kHello) &&
            type <= static_cast<std::uint8_t>(FrameType::kLastToHelper)) ||
           (type >= static_cast<std::uint8_t>(FrameType::kWelcome) &&
            type <= static_cast<std::uint8_t>(FrameType::kLastToServer));
}

// False when the fields do not fill the body exactly.
bool parse_fields(std::string_view body, std::vector<Frame::Field>& fields) {
    while (!body.empty()) {
        if (body.size() < kFieldHeader) return false;
        const auto tag = static_cast<Tag>(read_le<std::uint16_t>(body));
        const std::uint32_t length = read_le<std::uint32_t>(body.substr(2));
        body.remove_prefix(kFieldHeader);
        if (length > body.size()) return false;
        fields.push_back({tag, std::string(body.substr(0, length))});
        body.remove_prefix(length);
    }
    return true;
}

}  // namespace

Frame& Frame::add(Tag tag, std::string_view value) {
    fields.push_back({tag, std::string(value)});
    return *this;
}

Frame& Frame::add_number(Tag tag, std::uint64_t value) { return add(tag, std::to_string(value)); }

std::string_view Frame::text(Tag tag) const {
    for (const Field& field : fields) {
        if (field.tag == tag) return field.value;
    }
    return {};
}

std::uint64_t Frame::number(Tag tag) const { return parse_number<std::uint64_t>(text(tag)).value_or(0); }

bool Frame::has(Tag tag) const {
    for (const Field& field : fields) {
        if (field.tag == tag) return true;
    }
    return false;
}

std::vector<std::string_view> Frame::all(Tag tag) const {
    std::vector<std::string_view> values;
    for (const Field& field : fields) {
        if (field.tag == tag) values.emplace_back(field.value);
    }
    return values;
}

std::optional<std::string> encode(const Frame& frame) {
    std::size_t length = kHeaderSize;
    for (const Frame::Field& field : frame.fields) length += kFieldHeader + field.value.size();
    if (length > kMaxFrame) return std::nullopt;
    std::string bytes;
    bytes.reserve(kLengthSize + length);
    append_le(bytes, static_cast<std::uint32_t>(length));
    bytes += static_cast<char>(kProtocolVersion);
    bytes += static_cast<char>(frame.type);
    for (const Frame::Field& field : frame.fields) {
        append_le(bytes, static_cast<std::uint16_t>(field.tag));
        append_le(bytes, static_cast<std::uint32_t>(field.value.size()));
        bytes += field.value;
    }
    return bytes;
}

Decoder::Outcome Decoder::next(Frame& frame) {
    const std::string_view rest = std::string_view(buffer_).substr(at_);
    if (rest.size() < kLengthSize) return Outcome::kNeedMore;
    const std::uint32_t length = read_le<std::uint32_t>(rest);
    // Before the rest is here: a nonsense length must not make us collect gigabytes.
    if (length < kHeaderSize || length > kMaxFrame) return Outcome::kBroken;
    if (rest.size() < kLengthSize + kHeaderSize) return Outcome::kNeedMore;
    const auto version = static_cast<std::uint8_t>(rest[kLengthSize]);
    const auto type = static_cast<std::uint8_t>(rest[kLengthSize + 1]);
    if (version != kProtocolVersion || !is_known(type)) return Outcome::kBroken;
    if (rest.size() - kLengthSize < length) return Outcome::kNeedMore;
    Frame result(static_cast<FrameType>(type));
    if (!parse_fields(rest.substr(kLengthSize + kHeaderSize, length - kHeaderSize), result.fields)) {
        return Outcome::kBroken;
    }
    frame = std::move(result);
    at_ += kLengthSize + length;
    if (at_ == buffer_.size() || at_ >= kCompactAt) {
        buffer_.erase(0, at_);
        at_ = 0;
    }
    return Outcome::kFrame;
}

}  // namespace forge::protocol
