#include "core/base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace forge {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78;  // reflected

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t crc = i;
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
        tables[0][i] = crc;
    }
    for (std::uint32_t i = 0; i < 256; ++i)
        for (std::size_t t = 1; t < 8; ++t) tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFF];
    return tables;
}
constexpr Tables kTables = make_tables();

// Eight bytes a step.
std::uint32_t update_portable(std::uint32_t crc, const std::uint8_t* at, std::size_t size) {
    for (; size >= 8; at += 8, size -= 8) {
        const std::uint64_t word = load_le<std::uint64_t>(at) ^ crc;
        crc = 0;
        for (std::size_t i = 0; i < 8; ++i) crc ^= kTables[7 - i][(word >> (8 * i)) & 0xFF];
    }
    for (; size > 0; ++at, --size) crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xFF];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t update_hardware(std::uint32_t crc, const std::uint8_t* at,
                                                                std::size_t size) {
    std::uint64_t wide = crc;
    for (; size >= 8; at += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof(word));
        wide = _mm_crc32_u64(wide, word);
    }
    crc = static_cast<std::uint32_t>(wide);
    for (; size > 0; ++at, --size) crc = _mm_crc32_u8(crc, *at);
    return crc;
}
bool has_hardware() {
    static const bool has = __builtin_cpu_supports("sse4.2") != 0;
    return has;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
std::uint32_t update_hardware(std::uint32_t crc, const std::uint8_t* at, std::size_t size) {
    for (; size >= 8; at += 8, size -= 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof(word));
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; ++at, --size) crc = __crc32cb(crc, *at);
    return crc;
}
bool has_hardware() { return true; }
#else
std::uint32_t update_hardware(std::uint32_t crc, const std::uint8_t* at, std::size_t size) {
    return update_portable(crc, at, size);
}
bool has_hardware() { return false; }
#endif

}  // namespace

std::uint32_t crc32c(ByteView data, std::uint32_t previous) {
    if (!has_hardware()) return crc32c_portable(data, previous);
    return ~update_hardware(~previous, data.data(), data.size());
}

std::uint32_t crc32c_portable(ByteView data, std::uint32_t previous) {
    return ~update_portable(~previous, data.data(), data.size());
}

}  // namespace forge
