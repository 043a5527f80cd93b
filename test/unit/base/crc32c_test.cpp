#include "core/base/crc32c.h"

#include <gtest/gtest.h>

namespace forge {
namespace {

// Values of RFC 3720, appendix B.4.
TEST(Crc32c, KnownValues) {
    EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
    EXPECT_EQ(crc32c(Bytes(32, 0x00)), 0x8A9136AAU);
    EXPECT_EQ(crc32c(Bytes(32, 0xFF)), 0x62A8AB43U);
    EXPECT_EQ(crc32c(ByteView{}), 0U);
}

TEST(Crc32c, PortableFormAgreesAtEveryLengthAndAlignment) {
    Bytes data(300);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * 37 + 11);
    for (std::size_t from = 0; from < 9; ++from)
        for (std::size_t size = 0; size + from <= data.size(); size += 7) {
            const ByteView part = ByteView(data).subspan(from, size);
            ASSERT_EQ(crc32c(part), crc32c_portable(part)) << from << "+" << size;
        }
}

// Where runs of the data are worked on side by side.
TEST(Crc32c, PortableFormAgreesOnLongData) {
    Bytes data(20'000);
    for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * i / 7 + i);
    for (std::size_t size = 3000; size <= data.size(); size += 71) {
        const ByteView part = ByteView(data).first(size);
        ASSERT_EQ(crc32c(part, 0x12345678), crc32c_portable(part, 0x12345678)) << size;
    }
}

TEST(Crc32c, ContinuesOverPieces) {
    const std::string_view text = "the quick brown fox";
    EXPECT_EQ(crc32c(as_bytes(text.substr(7)), crc32c(as_bytes(text.substr(0, 7)))), crc32c(as_bytes(text)));
}

}  // namespace
}  // namespace forge
