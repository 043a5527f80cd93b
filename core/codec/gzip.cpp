// gzip; read only. Several members in a row are one stream (RFC 1952, 2.2).
#include <zlib.h>

#include <algorithm>
#include <climits>

#include "core/codec/method.h"

namespace forge::codec {

namespace {

constexpr int kGzipOnly = 15 + 16;  // window bits, and "expect a gzip header"

class GzipDecompressor final : public DecoderSource {
public:
    explicit GzipDecompressor(std::unique_ptr<Source> next) : DecoderSource("gzip", true, std::move(next)) {}
    GzipDecompressor(const GzipDecompressor&) = delete;
    GzipDecompressor& operator=(const GzipDecompressor&) = delete;
    ~GzipDecompressor() override {
        if (started_) inflateEnd(&stream_);
    }

private:
    Result<Step> decode(ByteView in, MutableBytes out) override {
        if (!started_) {
            if (inflateInit2(&stream_, kGzipOnly) != Z_OK) return out_of_memory();
            started_ = true;
        } else if (member_ended_ && inflateReset(&stream_) != Z_OK) {
            return corrupt("the stream is damaged");
        }
        const ByteView input = in.first(std::min<std::size_t>(in.size(), UINT_MAX));
        const MutableBytes output = out.first(std::min<std::size_t>(out.size(), UINT_MAX));
        stream_.next_in = const_cast<Bytef*>(input.data());  // zlib reads only
        stream_.avail_in = static_cast<uInt>(input.size());
        stream_.next_out = output.data();
        stream_.avail_out = static_cast<uInt>(output.size());
        const int result = inflate(&stream_, Z_NO_FLUSH);
        member_ended_ = result == Z_STREAM_END;
        const Step step{input.size() - stream_.avail_in, output.size() - stream_.avail_out, member_ended_};
        switch (result) {
            case Z_OK:
            case Z_STREAM_END:
            case Z_BUF_ERROR: return step;
            case Z_MEM_ERROR: return out_of_memory();
            default: return corrupt(stream_.msg != nullptr ? stream_.msg : "the stream is damaged");
        }
    }

    z_stream stream_{};
    bool started_ = false;
    bool member_ended_ = false;
};

}  // namespace

std::unique_ptr<Source> gzip_decompressor(std::unique_ptr<Source> next) {
    return std::make_unique<GzipDecompressor>(std::move(next));
}

}  // namespace forge::codec
