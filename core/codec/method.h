// Inside codec: one pair of functions for each method, and what their readers have in common. Memory is bounded by
// fixed buffers and the window of the format: lz4 1 MiB to write and 8 MiB to read, zstd 8 MiB to write and up to
// 128 MiB to read, brotli 16 MiB, lzma 256 MiB.
#pragma once

#include <memory>

#include "core/base/stream.h"
#include "core/codec/codec.h"

namespace forge::codec {

inline constexpr std::size_t kBufferSize = 128 * 1024;

// The loop every reader needs around its library's streaming decoder: it feeds input, knows the end, and refuses an
// object that is empty, ends early or goes on after its end.
class DecoderSource : public Source {
public:
    DecoderSource(std::string_view method, bool may_repeat, std::unique_ptr<Source> next)
        : method_(method), may_repeat_(may_repeat), next_(std::move(next)), input_(kBufferSize) {}
    Result<std::size_t> read(MutableBytes buffer) final;

protected:
    struct Step {
        std::size_t consumed = 0;
        std::size_t produced = 0;
        bool ended = false;  // the stream is complete, and all of its output was produced
    };
    // Decodes what it can of `in` (which may be empty when output is pending).
    virtual Result<Step> decode(ByteView in, MutableBytes out) = 0;
    Status corrupt(std::string_view what) const;
    // The library is out of memory, or the stream wants more of it than we allow.
    Status out_of_memory() const;

private:
    Status fill();

    std::string_view method_;
    bool may_repeat_;  // several streams in a row are one object
    std::unique_ptr<Source> next_;
    Bytes input_;
    ByteView unread_;  // part of input_
    std::uint64_t consumed_ = 0;
    bool source_ended_ = false;
    bool pending_output_ = false;
    bool ended_ = false;
};

std::unique_ptr<Sink> lz4_compressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next);
std::unique_ptr<Source> lz4_decompressor(std::unique_ptr<Source> next);
std::unique_ptr<Sink> zstd_compressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next);
std::unique_ptr<Source> zstd_decompressor(std::unique_ptr<Source> next);
std::unique_ptr<PieceCompressor> brotli_compressor(int level, std::unique_ptr<Sink> next, std::uint64_t offset);
std::unique_ptr<Source> brotli_decompressor(std::unique_ptr<Source> next);
std::unique_ptr<Source> lzma_decompressor(std::unique_ptr<Source> next);
std::unique_ptr<Source> gzip_decompressor(std::unique_ptr<Source> next);

}  // namespace forge::codec
