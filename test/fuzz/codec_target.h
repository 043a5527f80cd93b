// The fuzz target of a codec's reader: foreign bytes, and streams of our own that were cut or changed.
#pragma once

#include "core/codec/codec.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

struct CodecTarget {
    codec::Method method;
    // Has a checksum of its content, so that a changed stream never yields another content.
    bool has_checksum;
    Bytes (*compress)(ByteView plain);
};

// By our own writer.
template <codec::Method method>
Bytes compress_ours(ByteView plain) {
    MemorySink out;
    const auto sink = codec::compressor(method, {}, std::make_unique<ForwardSink>(out)).value();
    require(sink->write(plain).ok() && sink->finish().ok(), "memory takes everything");
    return std::move(out.bytes());
}

inline Drained decompress(const CodecTarget& target, ByteView stored, std::size_t piece) {
    // A few bytes may stand for gigabytes: nobody reads more than he wants.
    constexpr std::size_t kLimit = 2 << 20;
    const auto source = codec::decompressor(target.method, std::make_unique<PieceSource>(stored, piece)).value();
    Drained result = drain(*source, piece, kLimit);
    require(result.status.ok() || result.status.is(Kind::kCorrupt) || result.status.is(Kind::kExhausted),
            "what cannot be read is damage, or wants too much memory");
    return result;
}

inline void change_ours(const CodecTarget& target, FuzzedDataProvider& input, std::size_t piece) {
    const auto place = input.ConsumeIntegral<std::uint32_t>();
    const auto repeat = input.ConsumeIntegralInRange<std::size_t>(1, 50);
    const Bytes pattern = rest_of(input);
    Bytes plain;
    for (std::size_t i = 0; i < repeat; ++i) plain.insert(plain.end(), pattern.begin(), pattern.end());
    const Bytes stored = target.compress(plain);
    const Drained whole = decompress(target, stored, piece);
    require(whole.complete() && whole.bytes == plain, "what is compressed is decompressed");

    const std::size_t at = place % stored.size();
    require(!decompress(target, ByteView(stored).first(at), piece).complete(), "a stream that was cut is refused");
    Bytes longer = stored;
    longer.push_back(static_cast<std::uint8_t>(place >> 24));
    require(!decompress(target, longer, piece).complete(), "a byte after the end is refused");
    Bytes changed = stored;
    changed[at] ^= static_cast<std::uint8_t>(1U << (place >> 24) % 8);
    const Drained other = decompress(target, changed, piece);
    require(!target.has_checksum || !other.complete() || other.bytes == plain, "a changed stream has no other content");
}

inline void fuzz_codec(const CodecTarget& target, ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const auto piece = static_cast<std::size_t>(input.PickValueInArray({1, 17, 1000, 65536}));
    if (input.ConsumeIntegralInRange<int>(0, 7) == 0) return change_ours(target, input, piece);
    const Bytes stored = rest_of(input);
    const Drained result = decompress(target, stored, 65536);
    // Byte by byte only where that ends soon.
    if (result.bytes.size() > 10000 || stored.size() > 10000) return;
    const Drained pieces = decompress(target, stored, piece);
    require(pieces.complete() == result.complete(), "the size of pieces does not decide whether a stream is good");
    require(!result.complete() || pieces.bytes == result.bytes, "the size of pieces does not change the content");
}

}  // namespace forge::fuzz
