// libsodium's crypto_secretstream_xchacha20poly1305 in WAL-G's framing (walg-format 5.1): 24-byte header, messages of
// exactly 8192 bytes, one shorter (possibly empty) FINAL message. The reader demands FINAL and nothing after it.
#pragma once

#include <memory>

#include "core/base/stream.h"
#include "core/crypto/key.h"

namespace forge::crypto {

std::unique_ptr<Sink> encryptor(const Key& key, std::unique_ptr<Sink> next);
// Tries the keys of the ring on the first message, and notes which one fits (key_use.h). kCorrupt names the fingerprints
// that were tried when none fits ("cannot be decrypted with any of the 2 configured keys (…)"), or where in the stream
// it broke.
std::unique_ptr<Source> decryptor(const KeyRing& ring, std::unique_ptr<Source> next);
// The same for an object that is pushed: plain bytes go to `next`. finish() fails where the final message is missing.
std::unique_ptr<Sink> decrypting_sink(const Key& key, std::unique_ptr<Sink> next);

// As much of an object as it takes to find its key: the header and the first message.
inline constexpr std::size_t kBeginning = 24 + 8192 + 17;
inline constexpr std::size_t kSmallestObject = 24 + 17;
// The key that opens `beginning`, the first kBeginning bytes of an object or all of a shorter one; null = none does.
const Key* key_of_beginning(const KeyRing& ring, ByteView beginning);

}  // namespace forge::crypto
