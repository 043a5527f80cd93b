// fuzz: -malloc_limit_mb=150
#include "test/fuzz/codec_target.h"

void forge::fuzz::one_input(ByteView data) {
    fuzz_codec({codec::Method::kZstd, true, compress_ours<codec::Method::kZstd>}, data);
}
