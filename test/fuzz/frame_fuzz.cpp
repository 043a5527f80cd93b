// Frames between the server library and its helper: however the bytes arrive the same frames come out, and each is
// written as it was read.
#include "core/protocol/frame.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

using protocol::Decoder;
using protocol::Frame;

struct Heard {
    std::string bytes;  // of all frames, encoded again
    bool broken = false;
};

void take_frames(Decoder& decoder, Heard& heard) {
    for (;;) {
        Frame frame;
        const auto outcome = decoder.next(frame);
        heard.broken = outcome == Decoder::Outcome::kBroken;
        if (outcome != Decoder::Outcome::kFrame) return;
        const auto encoded = protocol::encode(frame);
        require(encoded.has_value(), "a frame that was read can be sent");
        heard.bytes += *encoded;
        for (const Frame::Field& field : frame.fields)
            require(frame.has(field.tag) && frame.all(field.tag).front() == frame.text(field.tag), "a field is found");
    }
}

Heard listen(std::string_view bytes, std::size_t piece) {
    Decoder decoder;
    Heard heard;
    for (; !bytes.empty() && !heard.broken; bytes.remove_prefix(std::min(piece, bytes.size()))) {
        decoder.feed(bytes.substr(0, piece));
        take_frames(decoder, heard);
    }
    return heard;
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const std::size_t piece = input.ConsumeIntegralInRange<std::size_t>(1, 40);
    const std::string bytes = input.ConsumeRemainingBytesAsString();
    const Heard whole = listen(bytes, SIZE_MAX);
    require(std::string_view(bytes).starts_with(whole.bytes), "frames are written as they were read");
    const Heard pieces = listen(bytes, piece);
    require(pieces.bytes == whole.bytes && pieces.broken == whole.broken, "the size of pieces does not matter");
}

}  // namespace forge::fuzz
