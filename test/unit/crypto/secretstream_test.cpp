#include "core/crypto/secretstream.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <random>

#include "test/unit/base/streams.h"

namespace forge::crypto {
namespace {

using test::first_bytes;
using test::hex_bytes;

constexpr std::string_view kHexKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr std::size_t kStoredChunk = 8209;

Key main_key() { return Key::parse(kHexKey, KeyTransform::kHex, "main").value(); }
Key other_key(char fill) { return Key::parse(std::string(32, fill), KeyTransform::kNone, "other").value(); }

Bytes encrypt(const Key& key, ByteView data, std::size_t step = SIZE_MAX) {
    MemorySink out;
    const auto sink = encryptor(key, std::make_unique<ForwardSink>(out));
    EXPECT_TRUE(test::write_in_steps(*sink, data, step).ok());
    return std::move(out.bytes());
}

Result<Bytes> decrypt(const KeyRing& ring, Bytes object, std::size_t step = SIZE_MAX) {
    const auto source = decryptor(ring, std::make_unique<test::SlowSource>(std::move(object), step));
    return read_all(*source, SIZE_MAX);
}

Result<Bytes> decrypt(Bytes object) { return decrypt(KeyRing({main_key()}), std::move(object)); }

std::size_t stored_size(std::size_t plain) { return 24 + plain + 17 * (plain / 8192 + 1); }

void expect_corrupt(const Result<Bytes>& result, std::string_view part) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.status().kind(), Kind::kCorrupt);
    EXPECT_NE(result.status().message().find(part), std::string::npos) << result.status().message();
}

TEST(SecretStream, RoundTripsAtEverySizeWithTheStoredSizeOfTheFormat) {
    for (const std::size_t size : {0U, 1U, 8191U, 8192U, 8193U, 16384U, 1U << 20, 20U << 20}) {
        const Bytes data = test::random_bytes(size, size);
        const Bytes object = encrypt(main_key(), data, size > 100'000 ? 100'003 : 1009);
        EXPECT_EQ(object.size(), stored_size(size));
        const auto back = decrypt(object);
        ASSERT_TRUE(back.ok()) << size << ": " << back.status().to_string();
        EXPECT_EQ(*back, data) << size;
    }
}

TEST(SecretStream, PushedObjectsAreDecryptedLikePulledOnes) {
    for (const std::size_t size : {0U, 1U, 8191U, 8192U, 8193U, 50'000U}) {
        const Bytes data = test::random_bytes(size, size + 7);
        const Bytes object = encrypt(main_key(), data);
        for (const std::size_t step : {1U, 24U, 8209U, 20'000U}) {
            MemorySink out;
            const auto sink = decrypting_sink(main_key(), std::make_unique<ForwardSink>(out));
            ASSERT_TRUE(test::write_in_steps(*sink, object, step).ok()) << size << " by " << step;
            EXPECT_EQ(out.bytes(), data);
        }
        for (const std::size_t cut : {1U, 17U, 18U, 8209U}) {  // S15
            if (cut >= object.size()) continue;
            MemorySink out;
            const auto sink = decrypting_sink(main_key(), std::make_unique<ForwardSink>(out));
            EXPECT_FALSE(test::write_in_steps(*sink, ByteView(object).first(object.size() - cut), 1009).ok());
        }
        MemorySink out;
        const auto wrong = decrypting_sink(other_key('x'), std::make_unique<ForwardSink>(out));  // R10
        EXPECT_FALSE(test::write_in_steps(*wrong, object, 1009).ok());
        EXPECT_TRUE(out.bytes().empty());
    }
}

TEST(SecretStream, TheBeginningTellsTheKey) {
    const KeyRing ring({other_key('a'), main_key(), other_key('b')});
    for (const std::size_t size : {0U, 1U, 8191U, 8192U, 8193U, 50'000U}) {
        const Bytes object = encrypt(main_key(), test::random_bytes(size, size + 9));
        const ByteView beginning = ByteView(object).first(std::min(object.size(), kBeginning));
        const Key* const key = key_of_beginning(ring, beginning);
        ASSERT_NE(key, nullptr) << size;
        EXPECT_EQ(key->fingerprint(), main_key().fingerprint());
        EXPECT_EQ(key_of_beginning(KeyRing({other_key('a')}), beginning), nullptr);
        EXPECT_EQ(key_of_beginning(ring, beginning.first(beginning.size() - 1)), nullptr);
    }
    EXPECT_EQ(key_of_beginning(ring, {}), nullptr);
}

TEST(SecretStream, PiecesOfInputAndOutputDoNotMatter) {
    const Bytes data = test::random_bytes(50'000);
    for (const std::size_t step : {1U, 17U, 8191U, 8192U, 8193U, 20'000U}) {
        const Bytes object = encrypt(main_key(), data, step);
        EXPECT_EQ(object.size(), stored_size(data.size()));
        const auto source = decryptor(KeyRing({main_key()}), std::make_unique<test::SlowSource>(object, step));
        Bytes back;
        Bytes piece(step);
        for (;;) {
            const auto n = source->read(piece);
            ASSERT_TRUE(n.ok());
            if (*n == 0) break;
            back.insert(back.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*n));
        }
        EXPECT_EQ(back, data) << step;
        EXPECT_EQ(source->read(piece).value(), 0U);
    }
}

TEST(SecretStream, ReadsTheVectorsOfTheFormat) {
    const Bytes hello = hex_bytes("8aa16a60246f7041909af1bad13387b8d0b531b537a4dc1f"
                                  "33eb27ed33eeff32d2aa22b0c135f13ec3466e01d1c3bb089a6cbf94f160fe696f");
    EXPECT_EQ(to_hex(decrypt(hello).value()), "8b058068656c6c6f2077616c2d670a03");
    const Bytes empty = hex_bytes("62212aa3f4a6ed8570736f5e5cca0d246c7ee42f674ff2e7"
                                  "4b513e528517265a9899b607515a9163c475");
    EXPECT_EQ(to_hex(decrypt(empty).value()), "3b");
}

TEST(SecretStream, SameContentIsNeverStoredTheSameTwice) {
    const Bytes data = test::counting_bytes(100);
    EXPECT_NE(encrypt(main_key(), data), encrypt(main_key(), data));
}

// S15: cut anywhere, at message boundaries and in between.
TEST(SecretStream, EveryTruncationIsRefused) {
    for (const std::size_t plain : {0U, 1U, 300U}) {
        const Bytes object = encrypt(main_key(), test::random_bytes(plain));
        for (std::size_t size = 0; size < object.size(); ++size) {
            const auto back = decrypt(first_bytes(object, size));
            ASSERT_EQ(back.status().kind(), Kind::kCorrupt) << plain << " cut to " << size;
        }
    }
    const Bytes object = encrypt(main_key(), test::random_bytes(3 * 8192 + 100));
    for (std::size_t size = 0; size < object.size(); size += size % 8209 < 60 ? 1 : 97) {
        ASSERT_EQ(decrypt(first_bytes(object, size)).status().kind(), Kind::kCorrupt) << "cut to " << size;
    }
}

TEST(SecretStream, CutsAreCalledByTheirName) {
    const Bytes object = encrypt(main_key(), test::random_bytes(2 * 8192));
    expect_corrupt(decrypt({}), "object of 0 bytes is too short to be an encrypted one");
    expect_corrupt(decrypt(first_bytes(object, 23)), "object of 23 bytes is too short");
    expect_corrupt(decrypt(first_bytes(object, 24)), "ends without final message after byte 24");
    expect_corrupt(decrypt(first_bytes(object, 40)), "incomplete message after byte 24");
    // The cut that WAL-G does not notice: exactly between two messages.
    expect_corrupt(decrypt(first_bytes(object, 24 + kStoredChunk)), "ends without final message after byte 8233");
    expect_corrupt(decrypt(first_bytes(object, 24 + 2 * kStoredChunk)), "ends without final message after byte 16442");
    expect_corrupt(decrypt(first_bytes(object, 24 + 2 * kStoredChunk - 1)),
                   "damaged or cut off in the message after byte 8233");
}

// S14: AEAD notices every bit.
TEST(SecretStream, EveryFlippedBitIsRefused) {
    const Bytes object = encrypt(main_key(), test::random_bytes(200));
    for (std::size_t bit = 0; bit < object.size() * 8; ++bit) {
        Bytes damaged = object;
        damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << (bit % 8)));
        ASSERT_EQ(decrypt(damaged).status().kind(), Kind::kCorrupt) << bit;
    }
    const Bytes large = encrypt(main_key(), test::random_bytes(1 << 20));
    std::mt19937_64 generator(11);
    for (int i = 0; i < 100; ++i) {
        Bytes damaged = large;
        const std::size_t at = generator() % damaged.size();
        damaged[at] = static_cast<std::uint8_t>(damaged[at] ^ (1U << (generator() % 8)));
        ASSERT_EQ(decrypt(damaged).status().kind(), Kind::kCorrupt) << at;
    }
}

TEST(SecretStream, MessagesCannotBeSwappedDroppedOrRepeated) {
    const Bytes object = encrypt(main_key(), test::random_bytes(3 * 8192 + 5));
    const auto message = [&](std::size_t i) {
        return object.begin() + static_cast<std::ptrdiff_t>(24 + i * kStoredChunk);
    };
    Bytes swapped = object;
    std::swap_ranges(swapped.begin() + 24, swapped.begin() + 24 + kStoredChunk, swapped.begin() + 24 + kStoredChunk);
    EXPECT_EQ(decrypt(swapped).status().kind(), Kind::kCorrupt);
    Bytes dropped(object.begin(), message(1));
    dropped.insert(dropped.end(), message(2), object.end());
    EXPECT_EQ(decrypt(dropped).status().kind(), Kind::kCorrupt);
    Bytes repeated(object.begin(), message(2));
    repeated.insert(repeated.end(), message(1), object.end());
    EXPECT_EQ(decrypt(repeated).status().kind(), Kind::kCorrupt);
}

TEST(SecretStream, BytesAfterTheFinalMessageAreRefused) {
    for (const std::size_t plain : {0U, 100U, 8191U, 8192U}) {
        Bytes object = encrypt(main_key(), test::random_bytes(plain));
        object.push_back(0);
        EXPECT_EQ(decrypt(object).status().kind(), Kind::kCorrupt) << plain;
        const Bytes twice = encrypt(main_key(), test::random_bytes(plain));
        object.pop_back();
        object.insert(object.end(), twice.begin(), twice.end());
        EXPECT_EQ(decrypt(object).status().kind(), Kind::kCorrupt) << plain;
    }
}

// A stream of messages of the sizes and tags given, made with the library itself.
Bytes hand_made(const std::vector<std::pair<std::size_t, std::uint8_t>>& messages) {
    crypto_secretstream_xchacha20poly1305_state state;
    Bytes object(24);
    crypto_secretstream_xchacha20poly1305_init_push(&state, object.data(), main_key().data());
    for (const auto& [size, tag] : messages) {
        const Bytes plain(size, 'x');
        Bytes stored(size + 17);
        crypto_secretstream_xchacha20poly1305_push(&state, stored.data(), nullptr, plain.data(), size, nullptr, 0, tag);
        object.insert(object.end(), stored.begin(), stored.end());
    }
    return object;
}

TEST(SecretStream, FramingIsFixed) {
    constexpr std::uint8_t kMessage = crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
    constexpr std::uint8_t kPush = crypto_secretstream_xchacha20poly1305_TAG_PUSH;
    constexpr std::uint8_t kFinal = crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    EXPECT_EQ(decrypt(hand_made({{8192, kMessage}, {10, kFinal}})).value(), Bytes(8202, 'x'));
    expect_corrupt(decrypt(hand_made({{8192, kMessage}, {10, kMessage}})), "its last message is not the final one");
    expect_corrupt(decrypt(hand_made({{8192, kFinal}})), "unexpected message before byte 8233");
    expect_corrupt(decrypt(hand_made({{8192, kPush}, {10, kFinal}})), "unexpected message before byte 8233");
    expect_corrupt(decrypt(hand_made({{100, kMessage}, {10, kFinal}})), "cannot be decrypted");
    expect_corrupt(decrypt(hand_made({{8192, kMessage}, {100, kMessage}, {10, kFinal}})), "after byte 8233");
}

TEST(SecretStream, EveryKeyOfTheRingDecrypts) {
    const std::vector<Key> keys{other_key('a'), other_key('b'), main_key(), other_key('c')};
    const KeyRing ring(keys);
    for (const Key& key : keys) {
        for (const std::size_t size : {0U, 10U, 8192U, 100'000U}) {
            const Bytes data = test::random_bytes(size);
            EXPECT_EQ(decrypt(ring, encrypt(key, data)).value(), data) << key.fingerprint() << " " << size;
        }
    }
}

// R10: the message says which keys were tried, by fingerprint.
TEST(SecretStream, WrongKeysAreNamedByFingerprint) {
    const Bytes object = encrypt(main_key(), test::random_bytes(10));
    const Key a = other_key('a');
    const Key b = other_key('b');
    expect_corrupt(decrypt(KeyRing({a}), object),
                   "object cannot be decrypted with the configured key (" + a.fingerprint() + ")");
    expect_corrupt(decrypt(KeyRing({a, b}), object), "cannot be decrypted with any of the 2 configured keys (" +
                                                         a.fingerprint() + ", " + b.fingerprint() + ")");
    expect_corrupt(decrypt(KeyRing({a}), test::random_bytes(100'000)), "cannot be decrypted with the configured key");
}

TEST(SecretStream, NoKeyIsAConfigurationError) {
    const auto back = decrypt(KeyRing(), encrypt(main_key(), {}));
    EXPECT_EQ(back.status().kind(), Kind::kInvalid);
    EXPECT_FALSE(back.status().hint().empty());
}

TEST(SecretStream, FailuresOfTheNextStreamAreNotHidden) {
    bool finished = false;
    const auto sink = encryptor(main_key(), std::make_unique<test::FailingSink>(10'000, finished));
    EXPECT_EQ(test::write_in_steps(*sink, Bytes(100'000), 1000).kind(), Kind::kUnavailable);
    const auto small = encryptor(main_key(), std::make_unique<test::FailingSink>(30, finished));
    EXPECT_EQ(test::write_in_steps(*small, Bytes(1), 1).kind(), Kind::kUnavailable);
    EXPECT_FALSE(finished);
    const auto source = decryptor(KeyRing({main_key()}), std::make_unique<test::FailingSource>());
    Bytes buffer(10);
    EXPECT_EQ(source->read(buffer).status().kind(), Kind::kUnavailable);
}

TEST(SecretStream, UnfinishedWriterHasNoFinalMessage) {
    MemorySink out;
    {
        const auto sink = encryptor(main_key(), std::make_unique<ForwardSink>(out));
        EXPECT_TRUE(sink->write(Bytes(10'000)).ok());
    }
    EXPECT_EQ(decrypt(std::move(out.bytes())).status().kind(), Kind::kCorrupt);
}

}  // namespace
}  // namespace forge::crypto
