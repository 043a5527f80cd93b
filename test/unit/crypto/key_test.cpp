#include "core/crypto/key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "core/base/bytes.h"
#include "core/base/file.h"

namespace forge::crypto {
namespace {

constexpr std::string_view kHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::string_view kBase64 = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

std::string bytes_of(const Key& key) { return to_hex(ByteView(key.data(), 32)); }

std::string parsed(std::string_view text, KeyTransform transform) {
    const auto key = Key::parse(text, transform, "TEST_KEY");
    return key.ok() ? bytes_of(*key) : key.status().message();
}

TEST(Key, HexTakesBothCasesAnd32BytesOnly) {
    EXPECT_EQ(parsed(kHex, KeyTransform::kHex), kHex);
    EXPECT_EQ(parsed("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", KeyTransform::kHex), kHex);
    EXPECT_EQ(parsed(kHex.substr(2), KeyTransform::kHex),
              "encryption key of \"TEST_KEY\" has 31 bytes, but a key has 32 bytes");
    EXPECT_EQ(parsed(std::string(kHex) + "20", KeyTransform::kHex),
              "encryption key of \"TEST_KEY\" has 33 bytes, but a key has 32 bytes");
    EXPECT_EQ(parsed(kHex.substr(1), KeyTransform::kHex),
              "encryption key of \"TEST_KEY\" has 63 hex digits, an odd number");
    EXPECT_EQ(parsed("xyz", KeyTransform::kHex),
              "encryption key of \"TEST_KEY\" contains characters that are no hex digits");
    EXPECT_EQ(parsed("", KeyTransform::kHex), "encryption key of \"TEST_KEY\" has 0 bytes, but a key has 32 bytes");
    EXPECT_EQ(parsed(std::string(kHex) + "\n", KeyTransform::kHex),
              "encryption key of \"TEST_KEY\" contains characters that are no hex digits");
}

TEST(Key, Base64TakesTheStandardAlphabetAnd32BytesOnly) {
    EXPECT_EQ(parsed(kBase64, KeyTransform::kBase64),
              "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f");
    EXPECT_EQ(
        parsed(std::string(kBase64.substr(0, 20)) + "\n" + std::string(kBase64.substr(20)), KeyTransform::kBase64),
        parsed(kBase64, KeyTransform::kBase64));
    EXPECT_EQ(parsed(kBase64.substr(0, 43), KeyTransform::kBase64),
              "encryption key of \"TEST_KEY\" is not valid base64");
    EXPECT_EQ(parsed("ICEiIyQl", KeyTransform::kBase64),
              "encryption key of \"TEST_KEY\" has 6 bytes, but a key has 32 bytes");
    EXPECT_EQ(parsed("-_-_", KeyTransform::kBase64), "encryption key of \"TEST_KEY\" is not valid base64");
    EXPECT_EQ(parsed(std::string(8000, 'A'), KeyTransform::kBase64),
              "encryption key of \"TEST_KEY\" has 6000 bytes, but a key has 32 bytes");
}

TEST(Key, TextIsPaddedOrCutAsWalGDoes) {
    EXPECT_EQ(parsed(std::string(24, 'a'), KeyTransform::kNone),
              "encryption key of \"TEST_KEY\" has 24 bytes, but at least 25 are needed");
    EXPECT_EQ(parsed(std::string(25, 'a'), KeyTransform::kNone),
              to_hex(as_bytes(std::string(25, 'a'))) + "00000000000000");
    EXPECT_EQ(parsed(std::string(32, 'a'), KeyTransform::kNone), to_hex(as_bytes(std::string(32, 'a'))));
    EXPECT_EQ(parsed(std::string(32, 'a') + "b", KeyTransform::kNone), to_hex(as_bytes(std::string(32, 'a'))));
    // The mistake that works: a hex key without transform counts as its first 32 characters.
    EXPECT_EQ(parsed(kHex, KeyTransform::kNone), to_hex(as_bytes(kHex.substr(0, 32))));
}

TEST(Key, TransformNames) {
    EXPECT_EQ(parse_key_transform("none").value(), KeyTransform::kNone);
    EXPECT_EQ(parse_key_transform("hex").value(), KeyTransform::kHex);
    EXPECT_EQ(parse_key_transform("base64").value(), KeyTransform::kBase64);
    for (const char* name : {"", "HEX", "raw"}) EXPECT_EQ(parse_key_transform(name).status().kind(), Kind::kInvalid);
}

// K2: nothing of a key, right or wrong, is in a text about it.
TEST(Key, MessagesNeverShowTheKey) {
    const std::string secret = "hunter2hunter2";
    for (const auto transform : {KeyTransform::kNone, KeyTransform::kHex, KeyTransform::kBase64}) {
        const auto key = Key::parse(secret, transform, "TEST_KEY");
        ASSERT_FALSE(key.ok());
        EXPECT_EQ(key.status().kind(), Kind::kInvalid);
        EXPECT_EQ(key.status().to_string().find("hunter2"), std::string::npos);
        EXPECT_FALSE(key.status().hint().empty());
    }
}

TEST(Key, FingerprintTellsKeysApartWithoutShowingThem) {
    const auto first = Key::parse(kHex, KeyTransform::kHex, "a").value();
    const auto same = Key::parse(kHex, KeyTransform::kHex, "b").value();
    const auto other = Key::parse(kBase64, KeyTransform::kBase64, "c").value();
    EXPECT_EQ(first.fingerprint().size(), 8U);
    EXPECT_EQ(first.fingerprint(), same.fingerprint());
    EXPECT_NE(first.fingerprint(), other.fingerprint());
    EXPECT_EQ(bytes_of(first).find(first.fingerprint()), std::string::npos);
    EXPECT_EQ(first.origin(), "a");
}

class KeyFile : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name = ::testing::TempDir() + "forge_key_XXXXXX";
        ASSERT_NE(::mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }
    std::string file(std::string_view content) const {
        const std::string path = join_path(directory_, "key");
        EXPECT_TRUE(write_file_durably(path, as_bytes(content)).ok());
        return path;
    }
    std::string loaded(std::string_view content, std::optional<KeyTransform> transform = {}) const {
        const auto key = Key::from_file(file(content), transform);
        return key.ok() ? bytes_of(*key) : key.status().message();
    }

    std::string directory_;
};

// R10: a key file usually ends with a newline.
TEST_F(KeyFile, IsTrimmedAndItsFormIsFound) {
    EXPECT_EQ(loaded(std::string(kHex) + "\n"), kHex);
    EXPECT_EQ(loaded("  " + std::string(kHex) + " \r\n\n"), kHex);
    EXPECT_EQ(loaded(std::string(kBase64) + "\n"), parsed(kBase64, KeyTransform::kBase64));
    EXPECT_EQ(loaded("short-passphrase-25-chars\n"), parsed("short-passphrase-25-chars", KeyTransform::kNone));
    EXPECT_EQ(loaded(std::string(kHex) + "\n", KeyTransform::kNone), parsed(kHex, KeyTransform::kNone));
    EXPECT_EQ(loaded(kHex.substr(1), KeyTransform::kNone), parsed(kHex.substr(1), KeyTransform::kNone));
}

TEST_F(KeyFile, ErrorsNameTheFile) {
    const std::string path = join_path(directory_, "key");
    EXPECT_EQ(loaded("too short"), "encryption key of \"" + path + "\" has 9 bytes, but at least 25 are needed");
    // R10: a digit lost or mistyped must not make another key of it.
    EXPECT_EQ(loaded(kHex.substr(1)), "encryption key of \"" + path +
                                          "\" has 63 characters, and is neither 64 hex digits nor 44 "
                                          "characters of base64");
    EXPECT_THAT(loaded("g" + std::string(kHex.substr(1))), ::testing::HasSubstr("has 64 characters, and is neither"));
    EXPECT_EQ(loaded(std::string(5000, 'x')),
              "file \"" + path + "\" is larger than 4096 bytes: it holds no encryption key");
    EXPECT_EQ(loaded(""), "encryption key of \"" + path + "\" has 0 bytes, but at least 25 are needed");
}

// K1: a file that is missing or cannot be read is told from one that holds no key; open permissions are not refused.
TEST_F(KeyFile, UnreadableIsDenied) {
    const auto missing = Key::from_file(join_path(directory_, "none"), {});
    EXPECT_EQ(missing.status().kind(), Kind::kDenied);
    EXPECT_EQ(missing.status().message(), "could not load encryption key: could not open file \"" +
                                              join_path(directory_, "none") + "\": No such file or directory");
    EXPECT_EQ(Key::from_file(directory_, {}).status().kind(), Kind::kDenied);
    const std::string path = file(kHex);
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    EXPECT_TRUE(Key::from_file(path, {}).ok());
    if (::geteuid() != 0) {
        ASSERT_EQ(::chmod(path.c_str(), 0), 0);
        EXPECT_EQ(Key::from_file(path, {}).status().kind(), Kind::kDenied);
    }
}

TEST(KeyRing, FirstKeyIsTheActiveOne) {
    EXPECT_TRUE(KeyRing().empty());
    const KeyRing ring({Key::parse(kHex, KeyTransform::kHex, "new").value(),
                        Key::parse(kBase64, KeyTransform::kBase64, "old").value()});
    EXPECT_FALSE(ring.empty());
    EXPECT_EQ(ring.active().origin(), "new");
    EXPECT_EQ(ring.keys().size(), 2U);
}

}  // namespace
}  // namespace forge::crypto
