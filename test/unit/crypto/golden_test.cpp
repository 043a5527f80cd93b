// Reads the objects that WAL-G wrote (test/data/walg/README.md), encrypted and compressed in every way it knows.
#include <gtest/gtest.h>
#include <sodium.h>

#include <map>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/codec/codec.h"
#include "core/crypto/secretstream.h"

namespace forge::crypto {
namespace {

const std::string kData = FORGE_TEST_DATA "/walg";

struct Plaintext {
    std::size_t size;
    std::string sha256;
};

const std::map<std::string, Plaintext>& plaintexts() {
    static const std::map<std::string, Plaintext> all{
        {"00000001000000000000000B", {1048576, "e80e01865976ed0899c35549632a775fc0a692658111fb55b56961abeb953efc"}},
        {"00000002.history", {41, "bba070683d728fe28dccdb22f0482f2f1c3bc51be8f84c1b84254dea50fb7da6"}},
        {"edge_00000", {0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}},
        {"edge_00001", {1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"}},
        {"edge_08191", {8191, "a7ff4cc384f150c0763c051418a0084ded32bfa5863717ab5f35d3f43a5ffe1c"}},
        {"edge_08192", {8192, "25df2449b2e5a35fea14e02a7158e283801a1069c9f84631b9a9dacb2f809a7f"}},
        {"edge_08193", {8193, "7e3691790cd64b19d4edb1a80e988214515abeb53aa0f34ffbfe4b4bf405d120"}},
        {"edge_16384", {16384, "4348e3b98e8a327b34ced39c1da9e67cdb4cd5e48e4d7960607a3ae403d35f0c"}},
    };
    return all;
}

struct Variant {
    std::string directory;
    codec::Method method;
    std::optional<KeyTransform> transform;  // nothing = not encrypted
    std::string key;
    std::size_t objects;
};

const std::vector<Variant>& variants() {
    using codec::Method;
    static const std::string base64 = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    static const std::vector<Variant> all{
        {"plain-brotli", Method::kBrotli, {}, "", 2},
        {"plain-lz4", Method::kLz4, {}, "", 2},
        {"plain-lzma", Method::kLzma, {}, "", 2},
        {"plain-zstd", Method::kZstd, {}, "", 2},
        {"plain-none", Method::kNone, {}, "", 3},
        {"sodium-base64-lz4", Method::kLz4, KeyTransform::kBase64, base64, 2},
        {"sodium-base64-lzma", Method::kLzma, KeyTransform::kBase64, base64, 2},
        {"sodium-base64-zstd", Method::kZstd, KeyTransform::kBase64, base64, 2},
        {"sodium-hex-none", Method::kNone, KeyTransform::kHex,
         "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20", 7},
        {"sodium-none-padded", Method::kBrotli, KeyTransform::kNone, "short-passphrase-25-chars", 3},
        {"sodium-none-truncated", Method::kBrotli, KeyTransform::kNone, "a-passphrase-that-is-longer-than-32-bytes", 3},
    };
    return all;
}

KeyRing ring_of(const Variant& variant) {
    if (!variant.transform) return KeyRing();
    return KeyRing({Key::parse(variant.key, *variant.transform, variant.directory).value()});
}

Result<Bytes> read_object(const std::string& path, const KeyRing& ring, codec::Method method) {
    FORGE_ASSIGN(std::unique_ptr<Source> source, FileSource::open(path));
    if (!ring.empty()) source = decryptor(ring, std::move(source));
    FORGE_ASSIGN(source, codec::decompressor(method, std::move(source)));
    return read_all(*source, 64 << 20);
}

std::string sha256(ByteView data) {
    Bytes digest(crypto_hash_sha256_BYTES);
    crypto_hash_sha256(digest.data(), data.data(), data.size());
    return to_hex(digest);
}

TEST(GoldenData, EveryVariantIsReadByteExactly) {
    for (const Variant& variant : variants()) {
        const std::string folder = kData + "/variants/" + variant.directory + "/wal_005";
        const KeyRing ring = ring_of(variant);
        const auto names = list_directory(folder).value();
        EXPECT_EQ(names.size(), variant.objects) << variant.directory;
        for (const std::string& name : names) {
            std::string plain_name = name;
            const std::string_view extension = codec::extension(variant.method);
            if (!extension.empty()) plain_name.resize(name.size() - extension.size() - 1);
            const Plaintext& expected = plaintexts().at(plain_name);
            const auto content = read_object(join_path(folder, name), ring, variant.method);
            if (variant.directory == "sodium-hex-none" && name == "edge_00000") {
                // 17 bytes without header, which nobody can decrypt.
                EXPECT_EQ(content.status().kind(), Kind::kCorrupt);
                continue;
            }
            ASSERT_TRUE(content.ok()) << variant.directory << "/" << name << ": " << content.status().to_string();
            EXPECT_EQ(content->size(), expected.size) << variant.directory << "/" << name;
            EXPECT_EQ(sha256(*content), expected.sha256) << variant.directory << "/" << name;
        }
    }
}

// A new active key in front, the old ones behind it: the whole bucket stays readable.
TEST(GoldenData, OneRingReadsObjectsOfEveryKey) {
    std::vector<Key> keys{Key::parse(std::string(32, 'n'), KeyTransform::kNone, "new").value()};
    for (const Variant& variant : variants()) {
        if (variant.transform) keys.push_back(ring_of(variant).active());
    }
    const KeyRing ring(std::move(keys));
    for (const Variant& variant : variants()) {
        if (!variant.transform) continue;
        const std::string_view extension = codec::extension(variant.method);
        const std::string suffix = extension.empty() ? "" : "." + std::string(extension);
        const std::string path = kData + "/variants/" + variant.directory + "/wal_005/00000002.history" + suffix;
        const auto content = read_object(path, ring, variant.method);
        ASSERT_TRUE(content.ok()) << path << ": " << content.status().to_string();
        EXPECT_EQ(sha256(*content), plaintexts().at("00000002.history").sha256);
    }
}

// R10: a wrong key gives an error, never other content; so does no decryption at all.
TEST(GoldenData, WrongKeyNeverGivesContent) {
    const KeyRing wrong({Key::parse(std::string(32, 'w'), KeyTransform::kNone, "wrong").value()});
    for (const Variant& variant : variants()) {
        const std::string folder = kData + "/variants/" + variant.directory + "/wal_005";
        for (const std::string& name : list_directory(folder).value()) {
            const auto content = read_object(join_path(folder, name), wrong, variant.method);
            EXPECT_EQ(content.status().kind(), Kind::kCorrupt) << variant.directory << "/" << name;
            if (!variant.transform || variant.method == codec::Method::kNone) continue;
            EXPECT_FALSE(read_object(join_path(folder, name), KeyRing(), variant.method).ok())
                << variant.directory << "/" << name;
        }
    }
}

// S15: objects of the bucket cut to their header and to nothing.
TEST(GoldenData, CutVariantsAreRefused) {
    for (const Variant& variant : variants()) {
        if (variant.method == codec::Method::kNone && !variant.transform) continue;
        const std::string folder = kData + "/variants/" + variant.directory + "/wal_005";
        for (const std::string& name : list_directory(folder).value()) {
            const std::string object = read_file(join_path(folder, name), 64 << 20).value();
            for (const std::size_t size :
                 {std::size_t{0}, std::min<std::size_t>(24, object.size() / 2), object.size() / 2, object.size() - 1}) {
                const ByteView cut = as_bytes(object).first(size);
                std::unique_ptr<Source> source = std::make_unique<MemorySource>(Bytes(cut.begin(), cut.end()));
                if (variant.transform) source = decryptor(ring_of(variant), std::move(source));
                source = codec::decompressor(variant.method, std::move(source)).value();
                EXPECT_EQ(read_all(*source, 64 << 20).status().kind(), Kind::kCorrupt)
                    << variant.directory << "/" << name << " cut to " << size;
            }
        }
    }
}

// Every object of the main bucket against the digests recorded when it was written.
TEST(GoldenData, MainBucketIsReadByteExactly) {
    const KeyRing ring(
        {Key::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", KeyTransform::kHex, "main")
             .value()});
    const std::string table = read_file(kData + "/main/expected/plaintext.tsv", 1 << 20).value();
    int compared = 0;
    for (const std::string& line : split(table, '\n')) {
        const auto columns = split(line, '\t');
        if (columns.size() != 3 || !columns[0].ends_with(".br")) continue;
        const auto content = read_object(kData + "/main/store/" + columns[0], ring, codec::Method::kBrotli);
        ASSERT_TRUE(content.ok()) << columns[0] << ": " << content.status().to_string();
        EXPECT_EQ(std::to_string(content->size()), columns[1]) << columns[0];
        EXPECT_EQ(sha256(*content), columns[2]) << columns[0];
        ++compared;
    }
    EXPECT_EQ(compared, 27);
}

// The whole chain, both ways, at the sizes where messages end.
TEST(Chain, CompressedAndEncryptedContentComesBack) {
    const KeyRing ring({Key::parse(std::string(32, 'k'), KeyTransform::kNone, "k").value()});
    for (const codec::Method method : codec::readable_methods()) {
        if (!codec::is_writable(method)) continue;
        for (const std::size_t size : {0U, 1U, 8191U, 8192U, 8193U, 16384U, 1U << 20}) {
            Bytes data(size);
            for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * i >> 7);
            MemorySink stored;
            auto sink = codec::compressor(method, {}, encryptor(ring.active(), std::make_unique<ForwardSink>(stored)));
            ASSERT_TRUE(sink.ok());
            ASSERT_TRUE((*sink)->write(data).ok());
            ASSERT_TRUE((*sink)->finish().ok());
            auto source =
                codec::decompressor(method, decryptor(ring, std::make_unique<MemorySource>(std::move(stored.bytes()))));
            ASSERT_TRUE(source.ok());
            EXPECT_EQ(read_all(**source, SIZE_MAX).value(), data) << codec::method_name(method) << " " << size;
        }
    }
}

}  // namespace
}  // namespace forge::crypto
