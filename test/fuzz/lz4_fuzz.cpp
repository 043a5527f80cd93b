// fuzz: -malloc_limit_mb=40
#include "test/fuzz/codec_target.h"

void forge::fuzz::one_input(ByteView data) {
    fuzz_codec({codec::Method::kLz4, true, compress_ours<codec::Method::kLz4>}, data);
}
