// Zstandard frames. Written: no content size, no dictionary, as WAL-G writes them.
#include <zstd.h>
#include <zstd_errors.h>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr int kLargestWindowLog = 27;  // 128 MiB

class ZstdCompressor final : public Sink {
public:
    ZstdCompressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next)
        : level_(level), checksum_(checksum == ContentChecksum::kYes), next_(std::move(next)),
          output_(ZSTD_CStreamOutSize()) {}
    ZstdCompressor(const ZstdCompressor&) = delete;
    ZstdCompressor& operator=(const ZstdCompressor&) = delete;
    ~ZstdCompressor() override { ZSTD_freeCCtx(context_); }

    Status write(ByteView data) override { return compress(data, ZSTD_e_continue); }

    Status finish() override {
        FORGE_TRY(compress({}, ZSTD_e_end));
        return next_->finish();
    }

private:
    Status start() {
        if (context_ != nullptr) return {};
        context_ = ZSTD_createCCtx();
        if (context_ == nullptr) return Status(Kind::kExhausted, "not enough memory to compress with zstd");
        FORGE_TRY(check(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level_)));
        FORGE_TRY(check(ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, checksum_ ? 1 : 0)));
        return check(ZSTD_CCtx_setParameter(context_, ZSTD_c_contentSizeFlag, 0));
    }

    Status compress(ByteView data, ZSTD_EndDirective directive) {
        FORGE_TRY(start());
        ZSTD_inBuffer in{data.data(), data.size(), 0};
        for (;;) {
            ZSTD_outBuffer out{output_.data(), output_.size(), 0};
            const std::size_t left = ZSTD_compressStream2(context_, &out, &in, directive);
            FORGE_TRY(check(left));
            if (out.pos > 0) FORGE_TRY(next_->write(ByteView(output_).first(out.pos)));
            if (directive == ZSTD_e_end ? left == 0 : in.pos == in.size) return {};
        }
    }

    static Status check(std::size_t code) {
        if (ZSTD_isError(code) == 0) return {};
        const Kind kind = ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation ? Kind::kExhausted : Kind::kInternal;
        return Status(kind, std::string("could not compress with zstd: ") + ZSTD_getErrorName(code));
    }

    int level_;
    bool checksum_;
    std::unique_ptr<Sink> next_;
    ZSTD_CCtx* context_ = nullptr;
    Bytes output_;
};

class ZstdDecompressor final : public DecoderSource {
public:
    explicit ZstdDecompressor(std::unique_ptr<Source> next) : DecoderSource("zstd", true, std::move(next)) {}
    ZstdDecompressor(const ZstdDecompressor&) = delete;
    ZstdDecompressor& operator=(const ZstdDecompressor&) = delete;
    ~ZstdDecompressor() override { ZSTD_freeDCtx(context_); }

private:
    Result<Step> decode(ByteView in, MutableBytes out) override {
        if (context_ == nullptr) {
            context_ = ZSTD_createDCtx();
            if (context_ == nullptr) return out_of_memory();
            ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kLargestWindowLog);
        }
        ZSTD_inBuffer input{in.data(), in.size(), 0};
        ZSTD_outBuffer output{out.data(), out.size(), 0};
        const std::size_t left = ZSTD_decompressStream(context_, &output, &input);
        if (ZSTD_isError(left) != 0) {
            if (ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation) return out_of_memory();
            return corrupt(ZSTD_getErrorName(left));
        }
        return Step{input.pos, output.pos, left == 0};
    }

    ZSTD_DCtx* context_ = nullptr;
};

}  // namespace

std::unique_ptr<Sink> zstd_compressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next) {
    return std::make_unique<ZstdCompressor>(level, checksum, std::move(next));
}

std::unique_ptr<Source> zstd_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<ZstdDecompressor>(std::move(next));
}

}  // namespace forge::codec
