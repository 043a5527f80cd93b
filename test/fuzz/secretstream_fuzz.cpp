// Encrypted objects: only what was written with the key, whole and in order, is ever read to its end, and what comes
// out before a refusal is a beginning of what was written. fuzz: -malloc_limit_mb=16
#include "core/crypto/secretstream.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

constexpr std::size_t kHeader = 24, kStoredChunk = 8192 + 17;
constexpr std::size_t kLimit = 1 << 20;

crypto::Key key(std::string_view text) { return crypto::Key::parse(text, crypto::KeyTransform::kNone, "test").value(); }

const crypto::KeyRing& ring() {
    static const crypto::KeyRing ring({key("the key that encrypts and reads"), key("an older key that reads only")});
    return ring;
}
// Encrypts nothing here: the fuzzer sees what is compared, and would hand us our own streams as its finding.
const crypto::KeyRing& unused_ring() {
    static const crypto::KeyRing ring({key("a key that nothing is written with")});
    return ring;
}

Drained decrypt(const crypto::KeyRing& keys, ByteView stored, std::size_t piece) {
    const auto source = crypto::decryptor(keys, std::make_unique<PieceSource>(stored, piece));
    return drain(*source, piece, kLimit);
}

Bytes encrypt(ByteView plain, std::size_t key, std::size_t step) {
    MemorySink out;
    const auto sink = crypto::encryptor(ring().keys()[key], std::make_unique<ForwardSink>(out));
    for (; !plain.empty(); plain = plain.subspan(std::min(step, plain.size())))
        require(sink->write(plain.first(std::min(step, plain.size()))).ok(), "memory takes everything");
    require(sink->finish().ok(), "the end is written");
    return std::move(out.bytes());
}

// Content of some chunks, made of a few bytes of the input.
Bytes content(FuzzedDataProvider& input) {
    const auto size =
        static_cast<std::size_t>(input.PickValueInArray({0, 1, 100, 8191, 8192, 8193, 16384, 20000, 24576}));
    Bytes pattern = input.ConsumeBytes<std::uint8_t>(32);
    if (pattern.empty()) pattern.push_back(0);
    Bytes plain(size);
    for (std::size_t i = 0; i < size; ++i) plain[i] = static_cast<std::uint8_t>(pattern[i % pattern.size()] + i / 8192);
    return plain;
}

MutableBytes chunk(Bytes& stored, std::size_t number) {
    const std::size_t at = kHeader + number * kStoredChunk;
    return MutableBytes(stored).subspan(at, std::min(kStoredChunk, stored.size() - at));
}

Bytes tampered(Bytes stored, FuzzedDataProvider& input) {
    const std::size_t whole_chunks = (stored.size() - kHeader) / kStoredChunk;
    const auto place = input.ConsumeIntegralInRange<std::size_t>(0, stored.size() - 1);
    const auto at = stored.begin() + static_cast<std::ptrdiff_t>(place);
    switch (input.ConsumeIntegralInRange<int>(0, 6)) {
        case 0: stored.resize(place); break;
        case 1: *at ^= static_cast<std::uint8_t>(1U << place % 8); break;
        case 2: stored.erase(at); break;
        case 3: stored.insert(at, static_cast<std::uint8_t>(place)); break;
        case 4: stored.push_back(input.ConsumeIntegral<std::uint8_t>()); break;
        case 5:
            // Two whole chunks change places.
            if (whole_chunks >= 2)
                std::swap_ranges(chunk(stored, 0).begin(), chunk(stored, 0).end(), chunk(stored, 1).begin());
            break;
        case 6: {
            // Everything after the header is said twice.
            const Bytes messages(stored.begin() + kHeader, stored.end());
            stored.insert(stored.end(), messages.begin(), messages.end());
            break;
        }
    }
    return stored;
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const auto piece = static_cast<std::size_t>(input.PickValueInArray({13, 24, 500, 8192, 20000, 131072}));
    if (input.ConsumeIntegralInRange<int>(0, 7) == 0)
        return require(!decrypt(unused_ring(), rest_of(input), piece).complete(), "nobody writes without the key");
    const Bytes plain = content(input);
    const Bytes stored = encrypt(plain, input.ConsumeIntegralInRange<std::size_t>(0, 1), piece);
    const Drained read = decrypt(ring(), stored, piece);
    require(read.complete() && read.bytes == plain, "what is encrypted is decrypted");
    const Bytes changed = tampered(stored, input);
    if (changed == stored) return;
    const Drained refused = decrypt(ring(), changed, piece);
    require(!refused.complete(), "what was cut, changed, moved or added to is refused");
    require(refused.status.is(Kind::kCorrupt), "the reason is damage");
    require(starts_with(plain, refused.bytes), "nothing comes out that was not written");
}

}  // namespace forge::fuzz
