// LZ4 frames. Written: independent blocks of at most 256 KiB, no content size. WAL-G writes blocks of 4 MiB, which
// saves one part in a hundred and takes 8 MiB of memory.
#include <lz4frame.h>

#include <algorithm>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr std::size_t kBlock = 256 << 10;

LZ4F_preferences_t preferences(int level, ContentChecksum checksum) {
    LZ4F_preferences_t result{};
    result.frameInfo.blockSizeID = LZ4F_max256KB;
    result.frameInfo.blockMode = LZ4F_blockIndependent;
    result.frameInfo.contentChecksumFlag =
        checksum == ContentChecksum::kYes ? LZ4F_contentChecksumEnabled : LZ4F_noContentChecksum;
    result.compressionLevel = level;
    result.autoFlush = 1;  // the library keeps nothing back, and copies nothing: it gets whole blocks
    return result;
}

class Lz4Compressor final : public Sink {
public:
    Lz4Compressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next)
        : next_(std::move(next)), preferences_(preferences(level, checksum)) {}
    Lz4Compressor(const Lz4Compressor&) = delete;
    Lz4Compressor& operator=(const Lz4Compressor&) = delete;
    ~Lz4Compressor() override { LZ4F_freeCompressionContext(context_); }

    Status write(ByteView data) override {
        FORGE_TRY(start());
        if (data.size() >= kBlock) FORGE_TRY(flush());
        for (; data.size() >= kBlock; data = data.subspan(kBlock)) FORGE_TRY(compress(data.first(kBlock)));
        if (collected_.size() + data.size() > kBlock) FORGE_TRY(flush());
        collected_.reserve(kBlock);
        collected_.insert(collected_.end(), data.begin(), data.end());
        return {};
    }

    Status finish() override {
        FORGE_TRY(start());
        FORGE_TRY(flush());
        FORGE_TRY(pass(LZ4F_compressEnd(context_, output_.data(), output_.size(), nullptr)));
        return next_->finish();
    }

private:
    Status start() {
        if (context_ != nullptr) return {};
        if (LZ4F_isError(LZ4F_createCompressionContext(&context_, LZ4F_VERSION)) != 0) {
            return Status(Kind::kExhausted, "not enough memory to compress with lz4");
        }
        output_.resize(std::max<std::size_t>(LZ4F_compressBound(kBlock, &preferences_), LZ4F_HEADER_SIZE_MAX));
        return pass(LZ4F_compressBegin(context_, output_.data(), output_.size(), &preferences_));
    }

    // A block may be short, so nothing of whole ones is copied.
    Status flush() {
        if (collected_.empty()) return {};
        const Status status = compress(collected_);
        collected_.clear();
        return status;
    }

    Status compress(ByteView block) {
        return pass(LZ4F_compressUpdate(context_, output_.data(), output_.size(), block.data(), block.size(), nullptr));
    }

    Status pass(std::size_t size) {
        if (LZ4F_isError(size) != 0) {
            return Status(Kind::kInternal, std::string("could not compress with lz4: ") + LZ4F_getErrorName(size));
        }
        return size > 0 ? next_->write(ByteView(output_).first(size)) : Status();
    }

    std::unique_ptr<Sink> next_;
    LZ4F_preferences_t preferences_;
    LZ4F_cctx* context_ = nullptr;
    Bytes collected_;  // less than a block
    Bytes output_;
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

std::unique_ptr<Sink> lz4_compressor(int level, ContentChecksum checksum, std::unique_ptr<Sink> next) {
    return std::make_unique<Lz4Compressor>(level, checksum, std::move(next));
}

std::unique_ptr<Source> lz4_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<Lz4Decompressor>(std::move(next));
}

}  // namespace forge::codec
