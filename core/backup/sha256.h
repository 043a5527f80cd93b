// SHA-256 of what passes, by OpenSSL.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "core/base/stream.h"

namespace forge::backup {

using Digest = std::array<std::uint8_t, 32>;

class Sha256 {
public:
    Sha256();
    ~Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    void update(ByteView data);
    // Digest of everything since construction or the last finish().
    Digest finish();

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

Digest sha256(ByteView data);

// What went through a stream.
struct StreamDigest {
    std::uint64_t size = 0;
    Sha256 hash;
};

// Passes everything on and keeps account of it in `digest`, which outlives it.
class DigestSink final : public Sink {
public:
    DigestSink(std::unique_ptr<Sink> next, StreamDigest& digest) : next_(std::move(next)), digest_(digest) {}
    Status write(ByteView data) override {
        digest_.size += data.size();
        digest_.hash.update(data);
        return next_->write(data);
    }
    Status finish() override { return next_->finish(); }

private:
    std::unique_ptr<Sink> next_;
    StreamDigest& digest_;
};

class DigestSource final : public Source {
public:
    DigestSource(std::unique_ptr<Source> next, StreamDigest& digest) : next_(std::move(next)), digest_(digest) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        auto size = next_->read(buffer);
        if (!size.ok()) return size;
        digest_.size += *size;
        digest_.hash.update(buffer.first(*size));
        return size;
    }

private:
    std::unique_ptr<Source> next_;
    StreamDigest& digest_;
};

}  // namespace forge::backup
