// The example bytes of docs/format.md are what they are said to be.
#include <gtest/gtest.h>

#include <regex>

#include "core/base/file.h"
#include "core/codec/codec.h"
#include "core/crypto/secretstream.h"

namespace forge::repository {
namespace {

constexpr const char* kPlain = "hello wal-g\n";

class FormatManual : public testing::Test {
protected:
    void SetUp() override {
        auto text = read_file(std::string(FORGE_TEST_DATA) + "/../../docs/format.md", 1 << 20);
        ASSERT_TRUE(text.ok()) << text.status().to_string();
        manual_ = *text;
    }
    // The hex digits of the first match, blanks dropped.
    Bytes bytes_of(const char* pattern) {
        std::smatch match;
        if (!std::regex_search(manual_, match, std::regex(pattern))) return {};
        std::string digits = match[1];
        std::erase(digits, ' ');
        return from_hex(digits).value_or(Bytes());
    }
    static std::string text_of(Result<std::unique_ptr<Source>> source) {
        if (!source.ok()) return source.status().to_string();
        auto text = read_all_text(**source, 1 << 20);
        return text.ok() ? *text : text.status().to_string();
    }

    std::string manual_;
};

TEST_F(FormatManual, EncryptedExample) {
    const std::string key_text = to_hex(bytes_of("Key, as hex: `([0-9a-f]{64})`"));
    auto key = crypto::Key::parse(key_text, crypto::KeyTransform::kHex, "manual");
    ASSERT_TRUE(key.ok()) << key.status().to_string();
    Bytes object = bytes_of("\n([0-9a-f]{48}) +header");
    const Bytes message = bytes_of("\n([0-9a-f]+) +final, 16 \\+ 17 bytes");
    ASSERT_EQ(object.size(), 24U);
    ASSERT_EQ(message.size(), 33U);
    object.insert(object.end(), message.begin(), message.end());
    const crypto::KeyRing ring({*key});
    EXPECT_EQ(text_of(crypto::decryptor(ring, std::make_unique<MemorySource>(object))),
              as_text(bytes_of("decrypts to the brotli stream `([0-9a-f]+)`")));
    EXPECT_EQ(text_of(codec::decompressor(codec::Method::kBrotli,
                                          crypto::decryptor(ring, std::make_unique<MemorySource>(object)))),
              kPlain);
}

TEST_F(FormatManual, CompressedExample) {
    const Bytes frame = bytes_of("\n(28b52ffd[0-9a-f ]+)\n");
    ASSERT_FALSE(frame.empty());
    EXPECT_EQ(text_of(codec::decompressor(codec::Method::kZstd, std::make_unique<MemorySource>(frame))), kPlain);
}

}  // namespace
}  // namespace forge::repository
