// LZMA-alone, the format of `xz --format=lzma`; read only.
#include <lzma.h>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr std::uint64_t kMemoryLimit = 256ULL << 20;

class LzmaDecompressor final : public DecoderSource {
public:
    explicit LzmaDecompressor(std::unique_ptr<Source> next) : DecoderSource("lzma", false, std::move(next)) {}
    LzmaDecompressor(const LzmaDecompressor&) = delete;
    LzmaDecompressor& operator=(const LzmaDecompressor&) = delete;
    ~LzmaDecompressor() override { lzma_end(&stream_); }

private:
    Result<Step> decode(ByteView in, MutableBytes out) override {
        if (!started_) {
            if (lzma_alone_decoder(&stream_, kMemoryLimit) != LZMA_OK) return out_of_memory();
            started_ = true;
        }
        stream_.next_in = in.data();
        stream_.avail_in = in.size();
        stream_.next_out = out.data();
        stream_.avail_out = out.size();
        const lzma_ret result = lzma_code(&stream_, LZMA_RUN);
        const Step step{in.size() - stream_.avail_in, out.size() - stream_.avail_out, result == LZMA_STREAM_END};
        switch (result) {
            case LZMA_OK:
            case LZMA_STREAM_END:
            case LZMA_BUF_ERROR: return step;  // the last one: nothing to do with this input, ask for more
            case LZMA_MEM_ERROR: return out_of_memory();
            case LZMA_MEMLIMIT_ERROR: return corrupt("its dictionary is larger than 256 MB");
            case LZMA_FORMAT_ERROR: return corrupt("no LZMA-alone header");
            default: return corrupt("the stream is damaged");
        }
    }

    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool started_ = false;
};

}  // namespace

std::unique_ptr<Source> lzma_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<LzmaDecompressor>(std::move(next));
}

}  // namespace forge::codec
