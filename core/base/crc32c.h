// CRC-32C (Castagnoli), the checksum of PostgreSQL's control file and WAL records. With the processor's instruction
// where there is one.
#pragma once

#include <cstdint>

#include "core/base/bytes.h"

namespace forge {

// Checksum of `data`, or of what `previous` was the checksum of followed by `data`: crc32c(b, crc32c(a)) == crc32c(a +
// b).
std::uint32_t crc32c(ByteView data, std::uint32_t previous = 0);
// The same without special instructions; for platforms without them and for tests.
std::uint32_t crc32c_portable(ByteView data, std::uint32_t previous = 0);

}  // namespace forge
