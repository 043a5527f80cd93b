// libsodium keys. A key never appears in a message: only its fingerprint does. Memory is wiped on destruction.
// Immutable after construction: safe to share between threads.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"

namespace forge::crypto {

enum class KeyTransform { kNone, kHex, kBase64 };  // WALG_LIBSODIUM_KEY_TRANSFORM, walg-format 5.2
Result<KeyTransform> parse_key_transform(std::string_view name);

class Key {
public:
    // The text of a key by the rules of walg-format 5.2, surrounding whitespace already trimmed where it came from a
    // file. `origin` names where it came from (a variable or file) for error messages.
    static Result<Key> parse(std::string_view text, KeyTransform transform, std::string_view origin);
    // Reads a key file: trims, and where `transform` is not given finds the form itself (64 hex digits, 44 base64
    // characters, or a text of 25 to 32 bytes as it is). kDenied when it cannot be read, kInvalid when it is no key.
    static Result<Key> from_file(const std::string& path, std::optional<KeyTransform> transform);

    const std::uint8_t* data() const;  // 32 bytes
    // First 8 hex digits of a keyed digest: enough to tell keys apart, useless for finding the key.
    const std::string& fingerprint() const;
    const std::string& origin() const;

private:
    struct Secret;
    std::shared_ptr<const Secret> secret_;
};

// Ordered: the first encrypts, all decrypt. Empty = no encryption.
class KeyRing {
public:
    KeyRing() = default;
    explicit KeyRing(std::vector<Key> keys) : keys_(std::move(keys)) {}
    bool empty() const { return keys_.empty(); }
    const Key& active() const { return keys_.front(); }
    const std::vector<Key>& keys() const { return keys_; }

private:
    std::vector<Key> keys_;
};

}  // namespace forge::crypto
