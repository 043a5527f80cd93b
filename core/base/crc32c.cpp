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
// The instruction takes three cycles and can begin in each: three runs of bytes side by side, put together after them.
constexpr std::size_t kRun = 1024;

// kShift[i][b]: what byte i of a checksum with value b becomes by kRun zero bytes. The other bits add to it by XOR.
using Shift = std::array<std::array<std::uint32_t, 256>, 4>;

constexpr Shift make_shift() {
    std::array<std::uint32_t, 32> of_bit{};
    for (std::size_t bit = 0; bit < of_bit.size(); ++bit) {
        of_bit[bit] = 1U << bit;
        for (std::size_t i = 0; i < kRun; ++i) of_bit[bit] = (of_bit[bit] >> 8) ^ kTables[0][of_bit[bit] & 0xFF];
    }
    Shift shift{};
    for (std::size_t i = 0; i < shift.size(); ++i)
        for (std::size_t value = 0; value < 256; ++value)
            for (std::size_t bit = 0; bit < 8; ++bit)
                if ((value >> bit & 1) != 0) shift[i][value] ^= of_bit[8 * i + bit];
    return shift;
}
constexpr Shift kShift = make_shift();

std::uint64_t word_at(const std::uint8_t* at) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

std::uint32_t shifted(std::uint64_t crc) {
    return kShift[0][crc & 0xFF] ^ kShift[1][crc >> 8 & 0xFF] ^ kShift[2][crc >> 16 & 0xFF] ^
           kShift[3][crc >> 24 & 0xFF];
}

__attribute__((target("sse4.2"))) std::uint32_t update_hardware(std::uint32_t crc, const std::uint8_t* at,
                                                                std::size_t size) {
    std::uint64_t wide = crc;
    for (; size >= 3 * kRun; at += 3 * kRun, size -= 3 * kRun) {
        std::uint64_t second = 0, third = 0;
        for (std::size_t i = 0; i < kRun; i += 8) {
            wide = _mm_crc32_u64(wide, word_at(at + i));
            second = _mm_crc32_u64(second, word_at(at + kRun + i));
            third = _mm_crc32_u64(third, word_at(at + 2 * kRun + i));
        }
        wide = shifted(shifted(wide) ^ second) ^ third;
    }
    for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, word_at(at));
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
