#include <cstdio>
#include <cstdlib>

#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

void require(bool holds, std::string_view property) {
    if (holds) return;
    std::fprintf(stderr, "property broken: %.*s\n", static_cast<int>(property.size()), property.data());
    std::abort();
}

Result<std::size_t> PieceSource::read(MutableBytes buffer) {
    const std::size_t size = std::min({buffer.size(), rest_.size(), piece_});
    std::copy_n(rest_.begin(), size, buffer.begin());
    rest_ = rest_.subspan(size);
    return size;
}

Drained drain(Source& source, std::size_t piece, std::size_t limit) {
    Drained result;
    Bytes buffer(std::max<std::size_t>(piece, 1));
    for (;;) {
        const auto size = source.read(buffer);
        if (!size.ok()) {
            result.status = size.status();
            return result;
        }
        require(*size <= buffer.size(), "a source fills no more than the buffer");
        if (*size == 0) return result;
        result.bytes.insert(result.bytes.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*size));
        if (result.bytes.size() > limit) {
            result.too_much = true;
            return result;
        }
    }
}

bool starts_with(ByteView whole, ByteView start) {
    return start.size() <= whole.size() && std::equal(start.begin(), start.end(), whole.begin());
}

bool equal(ByteView a, ByteView b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

Bytes to_bytes(std::string_view text) { return {text.begin(), text.end()}; }

}  // namespace forge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    forge::fuzz::one_input({data, size});
    return 0;
}
