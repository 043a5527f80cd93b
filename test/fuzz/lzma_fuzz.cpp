// fuzz: -malloc_limit_mb=300
#include <lzma.h>

#include "test/fuzz/codec_target.h"

namespace forge::fuzz {

namespace {

// As "xz --format=lzma" writes it: we only read it.
Bytes compress_lzma(ByteView plain) {
    lzma_options_lzma options;
    require(lzma_lzma_preset(&options, 0) == 0, "the preset is known");
    options.dict_size = 1 << 16;
    lzma_stream stream = LZMA_STREAM_INIT;
    require(lzma_alone_encoder(&stream, &options) == LZMA_OK, "there is memory");
    Bytes out(plain.size() * 2 + 1000);
    stream.next_in = plain.data();
    stream.avail_in = plain.size();
    stream.next_out = out.data();
    stream.avail_out = out.size();
    require(lzma_code(&stream, LZMA_FINISH) == LZMA_STREAM_END, "the stream is complete");
    out.resize(out.size() - stream.avail_out);
    lzma_end(&stream);
    return out;
}

}  // namespace

void one_input(ByteView data) { fuzz_codec({codec::Method::kLzma, false, compress_lzma}, data); }

}  // namespace forge::fuzz
