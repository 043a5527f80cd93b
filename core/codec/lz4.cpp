// LZ4 frames. Written: independent blocks of 4 MiB, content checksum, no content size, as WAL-G writes them.
#include <lz4frame.h>

#include <algorithm>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr std::size_t kBlock = 4 << 20;

LZ4F_preferences_t preferences(int level) {
    LZ4F_preferences_t result{};
    result.frameInfo.blockSizeID = LZ4F_max4MB;
    result.frameInfo.blockMode = LZ4F_blockIndependent;
    result.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
    result.compressionLevel = level;
    result.autoFlush = 1;  // the library keeps nothing back, and copies nothing: it gets whole blocks
    return result;
}

class Lz4Compressor final : public Sink {
public:
    Lz4Compressor(int level, std::unique_ptr<Sink> next) : next_(std::move(next)), preferences_(preferences(level)) {}
    Lz4Compressor(const Lz4Compressor&) = delete;
    Lz4Compressor& operator=(const Lz4Compressor&) = delete;
    ~Lz4Compressor() override { LZ4F_freeCompressionContext(context_); }

    Status write(ByteView data) override {
        FORGE_TRY(start());
        while (!data.empty()) {
            if (collected_.empty() && data.size() >= kBlock) {
                FORGE_TRY(compress(data.first(kBlock)));
                data = data.subspan(kBlock);
                continue;
            }
            collected_.reserve(kBlock);
            const ByteView piece = data.first(std::min(data.size(), kBlock - collected_.size()));
            collected_.insert(collected_.end(), piece.begin(), piece.end());
            data = data.subspan(piece.size());
            if (collected_.size() < kBlock) continue;
            FORGE_TRY(compress(collected_));
            collected_.clear();
        }
        return {};
    }

    Status finish() override {
        FORGE_TRY(start());
        FORGE_TRY(compress(collected_));
        FORGE_TRY(pass(LZ4F_compressEnd(context_, output_.get(), capacity_, nullptr)));
        return next_->finish();
    }

private:
    Status start() {
        if (context_ != nullptr) return {};
        if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION)) != 0) {
            return Status(Kind::kExhausted, "not enough memory to compress with lz4");
        }
        capacity_ = std::max<std::size_t>(LZ4F_compressBound(kBlock, &preferences_), LZ4F_HEADER_SIZE_MAX);
        output_ = std::make_unique_for_overwrite<std::uint8_t[]>(capacity_);
        return pass(LZ4F_compressBegin(context_, output_.get(), capacity_, &preferences_));
    }

    Status compress(ByteView block) {
        if (block.empty()) return {};
        return pass(LZ4F_compressUpdate(context_, output_.get(), capacity_, block.data(), block.size(), nullptr));
    }

    Status pass(std::size_t size) {
        if (LZ4F_isError(size) != 0) {
            return Status(Kind::kInternal, std::string("could not compress with lz4: ") + LZ4F_getErrorName(size));
        }
        return size > 0 ? next_->write(ByteView(output_.get(), size)) : Status();
    }

    std::unique_ptr<Sink> next_;
    LZ4F_preferences_t preferences_;
    LZ4F_cctx* context_ = nullptr;
    Bytes collected_;  // less than a block
    // Not cleared: of data that compress well the most part is never touched.
    std::unique_ptr<std::uint8_t[]> output_;
    std::size_t capacity_ = 0;
};

class Lz4Decompressor final : public DecoderSource {
public:
    explicit Lz4Decompressor(std::unique_ptr<Source> next) : DecoderSource("lz4", true, std::move(next)) {}
    Lz4Decompressor(const Lz4Decompressor&) = delete;
    Lz4Decompressor& operator=(const Lz4Decompressor&) = delete;
    ~Lz4Decompressor() override { LZ4F_freeDecompressionContext(context_); }

private:
    Result<Step> decode(ByteView in, MutableBytes out) override {
        if (context_ == nullptr && LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)) != 0) {
            return out_of_memory();
        }
        std::size_t consumed = in.size();
        std::size_t produced = out.size();
        const std::size_t hint = LZ4F_decompress(context_, out.data(), &produced, in.data(), &consumed, nullptr);
        if (LZ4F_isError(hint) != 0) return corrupt(LZ4F_getErrorName(hint));
        // Zero only after the end mark and, where the frame has one, the right content checksum.
        return Step{consumed, produced, hint == 0};
    }

    LZ4F_dctx* context_ = nullptr;
};

}  // namespace

std::unique_ptr<Sink> lz4_compressor(int level, std::unique_ptr<Sink> next) {
    return std::make_unique<Lz4Compressor>(level, std::move(next));
}

std::unique_ptr<Source> lz4_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<Lz4Decompressor>(std::move(next));
}

}  // namespace forge::codec
