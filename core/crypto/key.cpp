#include "core/crypto/key.h"

#include <fcntl.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "core/base/bytes.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::crypto {

namespace {

constexpr std::size_t kKeySize = crypto_secretstream_xchacha20poly1305_KEYBYTES;
constexpr std::size_t kShortestText = 25;  // transform "none": what WAL-G accepts
constexpr std::size_t kLargestFile = 4096;
constexpr std::string_view kFingerprintContext = "forge_backup key fingerprint";

// Memory for secrets: locked where the limits allow it, left out of core dumps, wiped when freed.
class SecretBuffer {
public:
    explicit SecretBuffer(std::size_t size) : size_(size) {
        if (sodium_init() < 0) throw std::bad_alloc();
        bytes_ = static_cast<std::uint8_t*>(sodium_malloc(size));
        if (bytes_ == nullptr) throw std::bad_alloc();
        sodium_memzero(bytes_, size_);
    }
    SecretBuffer(const SecretBuffer&) = delete;
    SecretBuffer& operator=(const SecretBuffer&) = delete;
    ~SecretBuffer() { sodium_free(bytes_); }
    std::uint8_t* data() { return bytes_; }
    const std::uint8_t* data() const { return bytes_; }
    std::size_t size() const { return size_; }

private:
    std::uint8_t* bytes_ = nullptr;
    std::size_t size_;
};

bool is_hex_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

bool is_base64_character(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
}

bool looks_like_hex(std::string_view text) {
    return text.size() == 2 * kKeySize && std::all_of(text.begin(), text.end(), is_hex_digit);
}

// 32 bytes are 43 characters and one of padding.
bool looks_like_base64(std::string_view text) {
    return text.size() == 44 && text.back() == '=' && std::all_of(text.begin(), text.end() - 1, is_base64_character);
}

std::string describe(std::string_view origin) { return "encryption key of " + quoted(origin); }

Status wrong_length(std::string_view origin, std::size_t got) {
    return Status(Kind::kInvalid, describe(origin) + " has " + std::to_string(got) + " bytes, but a key has " +
                                      std::to_string(kKeySize) + " bytes");
}

Status decode_hex(std::string_view text, std::string_view origin, SecretBuffer& key) {
    if (!std::all_of(text.begin(), text.end(), is_hex_digit)) {
        return Status(Kind::kInvalid, describe(origin) + " contains characters that are no hex digits",
                      "With the transform \"hex\" a key is written as 64 hex digits.");
    }
    if (text.size() % 2 != 0) {
        return Status(Kind::kInvalid,
                      describe(origin) + " has " + std::to_string(text.size()) + " hex digits, an odd number",
                      "With the transform \"hex\" a key is written as 64 hex digits.");
    }
    if (text.size() != 2 * kKeySize) {
        return wrong_length(origin, text.size() / 2)
            .with_hint("With the transform \"hex\" a key is written as 64 hex digits.");
    }
    sodium_hex2bin(key.data(), key.size(), text.data(), text.size(), nullptr, nullptr, nullptr);
    return {};
}

Status decode_base64(std::string_view text, std::string_view origin, SecretBuffer& key) {
    constexpr std::string_view kHint =
        "With the transform \"base64\" a key is written as 44 characters, padding included.";
    SecretBuffer decoded(text.size() / 4 * 3 + 3);
    std::size_t length = 0;
    // WAL-G's decoder skips line ends inside the text.
    if (sodium_base642bin(decoded.data(), decoded.size(), text.data(), text.size(), "\r\n", &length, nullptr,
                          sodium_base64_VARIANT_ORIGINAL) != 0) {
        return Status(Kind::kInvalid, describe(origin) + " is not valid base64", std::string(kHint));
    }
    if (length != kKeySize) return wrong_length(origin, length).with_hint(std::string(kHint));
    std::memcpy(key.data(), decoded.data(), kKeySize);
    return {};
}

// The bytes of the text: padded with zero bytes, and cut after 32 as WAL-G does.
Status take_text(std::string_view text, std::string_view origin, SecretBuffer& key) {
    if (text.size() < kShortestText) {
        return Status(Kind::kInvalid,
                      describe(origin) + " has " + std::to_string(text.size()) + " bytes, but at least " +
                          std::to_string(kShortestText) + " are needed",
                      "Use a key of 32 random bytes, written as 64 hex digits, with the transform \"hex\".");
    }
    std::memcpy(key.data(), text.data(), std::min(text.size(), kKeySize));
    return {};
}

Status unknown_form(std::string_view path, std::size_t size) {
    return Status(Kind::kInvalid,
                  describe(path) + " has " + std::to_string(size) +
                      " characters, and is neither 64 hex digits nor 44 characters of base64",
                  "Correct the file. A passphrase of WAL-G has at most 32 characters: those after them never counted.");
}

}  // namespace

struct Key::Secret {
    SecretBuffer bytes{kKeySize};
    std::string fingerprint;
    std::string origin;
};

Result<KeyTransform> parse_key_transform(std::string_view name) {
    if (name == "none") return KeyTransform::kNone;
    if (name == "hex") return KeyTransform::kHex;
    if (name == "base64") return KeyTransform::kBase64;
    return Status(Kind::kInvalid, "unrecognized key transform " + quoted(name),
                  "Available transforms are \"none\", \"hex\" and \"base64\".");
}

Result<Key> Key::parse(std::string_view text, KeyTransform transform, std::string_view origin) {
    auto secret = std::make_shared<Secret>();
    switch (transform) {
        case KeyTransform::kNone: FORGE_TRY(take_text(text, origin, secret->bytes)); break;
        case KeyTransform::kHex: FORGE_TRY(decode_hex(text, origin, secret->bytes)); break;
        case KeyTransform::kBase64: FORGE_TRY(decode_base64(text, origin, secret->bytes)); break;
    }
    std::array<std::uint8_t, crypto_generichash_BYTES> digest{};
    const ByteView context = as_bytes(kFingerprintContext);
    crypto_generichash(digest.data(), digest.size(), context.data(), context.size(), secret->bytes.data(), kKeySize);
    secret->fingerprint = to_hex(ByteView(digest).first(4));
    secret->origin = origin;
    Key key;
    key.secret_ = std::move(secret);
    return key;
}

Result<Key> Key::from_file(const std::string& path, std::optional<KeyTransform> transform) {
    const auto unreadable = [](Status status) {
        return std::move(status).with_context("could not load encryption key").with_kind(Kind::kDenied);
    };
    auto fd = open_file(path, O_RDONLY);
    if (!fd.ok()) return unreadable(fd.status());
    SecretBuffer content(kLargestFile + 1);
    const auto size = read_fd(fd->get(), MutableBytes(content.data(), content.size()), path);
    if (!size.ok()) return unreadable(size.status());
    if (*size > kLargestFile) {
        return Status(Kind::kInvalid, "file " + quoted(path) + " is larger than " + std::to_string(kLargestFile) +
                                          " bytes: it holds no encryption key");
    }
    const std::string_view text = trim(as_text(ByteView(content.data(), *size)));
    if (!transform) {
        transform = looks_like_hex(text)      ? KeyTransform::kHex
                    : looks_like_base64(text) ? KeyTransform::kBase64
                                              : KeyTransform::kNone;
        // A mistyped hex key must not become another key: of a longer text nobody knows which form it was meant to
        // have.
        if (*transform == KeyTransform::kNone && text.size() > kKeySize) return unknown_form(path, text.size());
    }
    return parse(text, *transform, path);
}

const std::uint8_t* Key::data() const { return secret_->bytes.data(); }
const std::string& Key::fingerprint() const { return secret_->fingerprint; }
const std::string& Key::origin() const { return secret_->origin; }

}  // namespace forge::crypto
