// What the fuzzers share. Each *_fuzz.cpp defines one_input(), which parses what it gets and demands by require() what
// must hold of the answer, whatever the bytes were: a crash, a sanitizer's finding, a time-out, too much memory and a
// broken property all end the run and leave the input behind.
//
// A line "// fuzz: -option=value …" in a target gives libFuzzer options of its own.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/stream.h"

namespace forge::fuzz {

void one_input(ByteView data);  // defined by the target

// Ends the process, naming the property, when it does not hold.
void require(bool holds, std::string_view property);

// Gives what it holds in pieces of at most `piece` bytes, as a network does.
class PieceSource final : public Source {
public:
    PieceSource(ByteView bytes, std::size_t piece) : rest_(bytes), piece_(std::max<std::size_t>(piece, 1)) {}
    Result<std::size_t> read(MutableBytes buffer) override;

private:
    ByteView rest_;
    std::size_t piece_;
};

// What came out of a source: all of it, or what came before the error. Never more than `limit` bytes, which are then
// `too_much` and nobody's end.
struct Drained {
    Bytes bytes;
    Status status;
    bool too_much = false;
    bool complete() const { return status.ok() && !too_much; }
};
Drained drain(Source& source, std::size_t piece, std::size_t limit);

bool starts_with(ByteView whole, ByteView start);
bool equal(ByteView a, ByteView b);
Bytes to_bytes(std::string_view text);
inline Bytes rest_of(FuzzedDataProvider& input) { return input.ConsumeRemainingBytes<std::uint8_t>(); }

}  // namespace forge::fuzz
