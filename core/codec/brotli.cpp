// Brotli streams. Written: window of 22 bits, generic mode, no size hint, as WAL-G writes them. The format has no
// checksum: only a cut or a broken symbol is noticed here, everything else is left to the encryption and to those who
// know the content.
#include <brotli/decode.h>
#include <brotli/encode.h>

#include <algorithm>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr std::uint32_t kWindowBits = 22;
constexpr std::uint64_t kMostOffset = 1 << 30;  // all from the window's size on mean the same

class BrotliCompressor final : public PieceCompressor {
public:
    BrotliCompressor(int level, std::unique_ptr<Sink> next, std::uint64_t offset)
        : level_(level), offset_(static_cast<std::uint32_t>(std::min(offset, kMostOffset))), next_(std::move(next)),
          output_(kBufferSize) {}
    BrotliCompressor(const BrotliCompressor&) = delete;
    BrotliCompressor& operator=(const BrotliCompressor&) = delete;
    ~BrotliCompressor() override { BrotliEncoderDestroyInstance(state_); }

    Status write(ByteView data) override { return compress(data, BROTLI_OPERATION_PROCESS); }

    Status finish() override {
        FORGE_TRY(compress({}, BROTLI_OPERATION_FINISH));
        return next_->finish();
    }

    // A flushed stream ends with a whole byte, and one with an offset begins there without a header.
    Status end_piece() override { return compress({}, BROTLI_OPERATION_FLUSH); }

private:
    Status start() {
        if (state_ != nullptr) return {};
        state_ = BrotliEncoderCreateInstance(nullptr, nullptr, nullptr);
        if (state_ == nullptr) return Status(Kind::kExhausted, "not enough memory to compress with brotli");
        BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, static_cast<std::uint32_t>(level_));
        BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, kWindowBits);
        BrotliEncoderSetParameter(state_, BROTLI_PARAM_STREAM_OFFSET, offset_);
        return {};
    }

    Status compress(ByteView data, BrotliEncoderOperation operation) {
        FORGE_TRY(start());
        std::size_t in_left = data.size();
        const std::uint8_t* in = data.data();
        for (;;) {
            std::size_t out_left = output_.size();
            std::uint8_t* out = output_.data();
            if (BrotliEncoderCompressStream(state_, operation, &in_left, &in, &out_left, &out, nullptr) !=
                BROTLI_TRUE) {
                return Status(Kind::kInternal, "could not compress with brotli");
            }
            const std::size_t produced = output_.size() - out_left;
            if (produced > 0) FORGE_TRY(next_->write(ByteView(output_).first(produced)));
            const bool drained = in_left == 0 && BrotliEncoderHasMoreOutput(state_) != BROTLI_TRUE;
            if (drained && (operation != BROTLI_OPERATION_FINISH || BrotliEncoderIsFinished(state_) == BROTLI_TRUE)) {
                return {};
            }
        }
    }

    int level_;
    std::uint32_t offset_;
    std::unique_ptr<Sink> next_;
    BrotliEncoderState* state_ = nullptr;
    Bytes output_;
};

class BrotliDecompressor final : public DecoderSource {
public:
    explicit BrotliDecompressor(std::unique_ptr<Source> next) : DecoderSource("brotli", false, std::move(next)) {}
    BrotliDecompressor(const BrotliDecompressor&) = delete;
    BrotliDecompressor& operator=(const BrotliDecompressor&) = delete;
    ~BrotliDecompressor() override { BrotliDecoderDestroyInstance(state_); }

private:
    Result<Step> decode(ByteView in, MutableBytes out) override {
        if (state_ == nullptr) {
            state_ = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
            if (state_ == nullptr) return out_of_memory();
        }
        std::size_t in_left = in.size();
        const std::uint8_t* next_in = in.data();
        std::size_t out_left = out.size();
        std::uint8_t* next_out = out.data();
        const BrotliDecoderResult result =
            BrotliDecoderDecompressStream(state_, &in_left, &next_in, &out_left, &next_out, nullptr);
        if (result == BROTLI_DECODER_RESULT_ERROR) {
            const BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(state_);
            // The codes between the allocation of context modes and of block type trees are all about memory.
            if (code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES) {
                return out_of_memory();
            }
            return corrupt(BrotliDecoderErrorString(code));
        }
        return Step{in.size() - in_left, out.size() - out_left, result == BROTLI_DECODER_RESULT_SUCCESS};
    }

    BrotliDecoderState* state_ = nullptr;
};

}  // namespace

std::unique_ptr<PieceCompressor> brotli_compressor(int level, std::unique_ptr<Sink> next, std::uint64_t offset) {
    return std::make_unique<BrotliCompressor>(level, std::move(next), offset);
}

std::unique_ptr<Source> brotli_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<BrotliDecompressor>(std::move(next));
}

}  // namespace forge::codec
