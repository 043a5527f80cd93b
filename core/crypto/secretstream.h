// libsodium's crypto_secretstream_xchacha20poly1305 in WAL-G's framing (walg-format 5.1): 24-byte header, messages of
// exactly 8192 bytes, one shorter (possibly empty) FINAL message. The reader demands FINAL and nothing after it.
#pragma once

#include <memory>

#include "core/base/stream.h"
#include "core/crypto/key.h"

namespace forge::crypto {

std::unique_ptr<Sink> encryptor(const Key& key, std::unique_ptr<Sink> next);
// Tries the keys of the ring on the first message. kCorrupt names the fingerprints that were tried when none fits
// ("cannot be decrypted with any of the 2 configured keys (…)"), or where in the stream it broke.
std::unique_ptr<Source> decryptor(const KeyRing& ring, std::unique_ptr<Source> next);

}  // namespace forge::crypto
