// fuzz: -malloc_limit_mb=16
#include <zlib.h>

#include "test/fuzz/codec_target.h"

namespace forge::fuzz {

namespace {

// We only read gzip.
Bytes compress_gzip(ByteView plain) {
    z_stream stream{};
    require(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "there is memory");
    Bytes out(plain.size() * 2 + 1000);
    stream.next_in = const_cast<Bytef*>(plain.data());  // zlib reads only
    stream.avail_in = static_cast<uInt>(plain.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    require(deflate(&stream, Z_FINISH) == Z_STREAM_END, "the stream is complete");
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return out;
}

}  // namespace

void one_input(ByteView data) { fuzz_codec({codec::Method::kGzip, true, compress_gzip}, data); }

}  // namespace forge::fuzz
