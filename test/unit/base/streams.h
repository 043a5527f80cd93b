// Sources, sinks and data that the unit tests share.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>

#include "core/base/stream.h"

namespace forge::test {

// Hands out at most `step` bytes a read, as a network does.
class SlowSource final : public Source {
public:
    SlowSource(Bytes bytes, std::size_t step) : bytes_(std::move(bytes)), step_(step) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        const std::size_t n = std::min({buffer.size(), step_, bytes_.size() - at_});
        std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at_), n, buffer.begin());
        at_ += n;
        return n;
    }

private:
    Bytes bytes_;
    std::size_t step_;
    std::size_t at_ = 0;
};

// Fails every read.
class FailingSource final : public Source {
public:
    Result<std::size_t> read(MutableBytes) override { return Status(Kind::kUnavailable, "connection lost"); }
};

// Takes `limit` bytes, then fails; says whether it was finished.
class FailingSink final : public Sink {
public:
    FailingSink(std::size_t limit, bool& finished) : limit_(limit), finished_(finished) {}
    Status write(ByteView data) override {
        if (data.size() > limit_) return Status(Kind::kUnavailable, "connection lost");
        limit_ -= data.size();
        return {};
    }
    Status finish() override {
        finished_ = true;
        return {};
    }

private:
    std::size_t limit_;
    bool& finished_;
};

inline std::unique_ptr<Source> source_of(Bytes bytes) { return std::make_unique<MemorySource>(std::move(bytes)); }

// Bytes that no method can make smaller. Made eight at a time: tests ask for megabytes of them.
inline Bytes random_bytes(std::size_t size, std::uint64_t seed = 1) {
    Bytes bytes(size + 8);
    for (std::size_t i = 0; i < size; i += 8) {
        seed += 0x9E3779B97F4A7C15;
        std::uint64_t value = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        value ^= value >> 31;
        std::memcpy(bytes.data() + i, &value, 8);
    }
    bytes.resize(size);
    return bytes;
}

// Half text, half noise: what pages of a table look like to a compressor.
inline Bytes page_like_bytes(std::size_t size, std::uint64_t seed = 1) {
    constexpr std::string_view kText = "the quick brown fox jumps over the lazy dog, and over it again; ";
    static_assert(kText.size() == 64);
    Bytes bytes = random_bytes(size, seed);
    for (std::size_t i = 0; i + 64 <= size; i += 128) std::memcpy(bytes.data() + i, kText.data(), 64);
    return bytes;
}

// Byte i is i mod 251, as in the golden data.
inline Bytes counting_bytes(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
    return bytes;
}

inline Bytes first_bytes(const Bytes& bytes, std::size_t size) {
    return Bytes(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
}

inline Bytes hex_bytes(std::string_view text) { return from_hex(text).value(); }

// Writes in pieces of `step` and finishes.
inline Status write_in_steps(Sink& sink, ByteView data, std::size_t step) {
    while (!data.empty()) {
        const std::size_t n = std::min(step, data.size());
        FORGE_TRY(sink.write(data.first(n)));
        data = data.subspan(n);
    }
    return sink.finish();
}

}  // namespace forge::test
