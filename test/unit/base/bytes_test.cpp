#include "core/base/bytes.h"

#include <gtest/gtest.h>

#include <array>

namespace forge {
namespace {

TEST(Bytes, HexGoesBothWays) {
    const Bytes bytes{0x00, 0x0f, 0xa5, 0xff};
    EXPECT_EQ(to_hex(bytes), "000fa5ff");
    EXPECT_EQ(from_hex("000fA5Ff"), bytes);
    EXPECT_EQ(from_hex(""), Bytes{});
}

TEST(Bytes, HexRefusesOddCountsAndOtherCharacters) {
    EXPECT_FALSE(from_hex("abc"));
    EXPECT_FALSE(from_hex("0g"));
    EXPECT_FALSE(from_hex("0x10"));
    EXPECT_FALSE(from_hex("a "));
}

TEST(Bytes, Base64MatchesTheVectorsOfItsStandard) {
    const std::array<std::pair<std::string_view, std::string_view>, 7> vectors{{{"", ""},
                                                                                {"f", "Zg=="},
                                                                                {"fo", "Zm8="},
                                                                                {"foo", "Zm9v"},
                                                                                {"foob", "Zm9vYg=="},
                                                                                {"fooba", "Zm9vYmE="},
                                                                                {"foobar", "Zm9vYmFy"}}};
    for (const auto& [plain, encoded] : vectors) {
        EXPECT_EQ(to_base64(as_bytes(plain)), encoded);
        const auto decoded = from_base64(encoded);
        ASSERT_TRUE(decoded) << encoded;
        EXPECT_EQ(as_text(*decoded), plain);
    }
}

TEST(Bytes, Base64RefusesBadPaddingAndCharacters) {
    EXPECT_FALSE(from_base64("Zg="));
    EXPECT_FALSE(from_base64("Zg"));
    EXPECT_FALSE(from_base64("Zg==Zg=="));
    EXPECT_FALSE(from_base64("Z==="));
    EXPECT_FALSE(from_base64("Zm9-"));
    EXPECT_FALSE(from_base64("Z=g="));
}

TEST(Bytes, LittleEndianGoesBothWays) {
    std::array<std::uint8_t, 8> raw{};
    store_le(raw.data(), std::uint64_t{0x0102030405060708});
    EXPECT_EQ(raw[0], 8);
    EXPECT_EQ(raw[7], 1);
    EXPECT_EQ(load_le<std::uint64_t>(raw.data()), 0x0102030405060708U);
    EXPECT_EQ(load_le<std::uint16_t>(raw.data()), 0x0708U);
}

}  // namespace
}  // namespace forge
