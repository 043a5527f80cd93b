// The two ends every pipeline is made of. Data is pushed into a Sink (file -> tar -> compress -> encrypt -> store) and
// pulled out of a Source (store -> decrypt -> decompress -> untar). A filter is a Sink or Source that owns the next
// one, so a whole chain is one object and ends with it.
//
// Not thread-safe: one thread at a time uses a chain.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "core/base/bytes.h"
#include "core/base/status.h"

namespace forge {

class Sink {
public:
    virtual ~Sink() = default;
    // Takes all of `data` or fails. After a failure only destruction is allowed.
    virtual Status write(ByteView data) = 0;
    // Flushes what is buffered and finishes the sinks behind this one. For the writer of a store object this is the
    // commit: only after success is the object durable and visible. Destroyed without finish(), nothing is left behind.
    virtual Status finish() = 0;
};

class Source {
public:
    virtual ~Source() = default;
    // Fills up to buffer.size() bytes (> 0) and returns how many; fewer is normal, 0 means the end. An incomplete or
    // damaged stream is an error (Kind::kCorrupt), never an early end.
    virtual Result<std::size_t> read(MutableBytes buffer) = 0;
};

// A Sink that collects into memory; fails with kExhausted beyond `limit` bytes.
class MemorySink final : public Sink {
public:
    explicit MemorySink(std::size_t limit = SIZE_MAX) : limit_(limit) {}
    Status write(ByteView data) override;
    Status finish() override { return {}; }
    Bytes& bytes() { return bytes_; }

private:
    Bytes bytes_;
    std::size_t limit_;
};

// A Sink that passes everything on to another one that somebody else owns and outlives this.
class ForwardSink final : public Sink {
public:
    explicit ForwardSink(Sink& next) : next_(next) {}
    Status write(ByteView data) override { return next_.write(data); }
    Status finish() override { return next_.finish(); }

private:
    Sink& next_;
};

// Counts what passes.
class CountingSink final : public Sink {
public:
    CountingSink(std::unique_ptr<Sink> next, std::uint64_t& count) : next_(std::move(next)), count_(count) {}
    Status write(ByteView data) override {
        count_ += data.size();
        return next_->write(data);
    }
    Status finish() override { return next_->finish(); }

private:
    std::unique_ptr<Sink> next_;
    std::uint64_t& count_;
};

class MemorySource final : public Source {
public:
    explicit MemorySource(Bytes bytes) : bytes_(std::move(bytes)) {}
    Result<std::size_t> read(MutableBytes buffer) override;

private:
    Bytes bytes_;
    std::size_t at_ = 0;
};

// Reads to the end; kExhausted if there are more than `limit` bytes.
Result<Bytes> read_all(Source& source, std::size_t limit);
Result<std::string> read_all_text(Source& source, std::size_t limit);
// Reads until `buffer` is full or the source ends; returns the bytes read.
Result<std::size_t> read_full(Source& source, MutableBytes buffer);
// Everything from source into sink (without finish()); returns the number of bytes.
Result<std::uint64_t> copy_stream(Source& source, Sink& sink);

}  // namespace forge
