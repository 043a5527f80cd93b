#include "core/base/stream.h"

#include <algorithm>
#include <cstring>

namespace forge {
namespace {

constexpr std::size_t kBuffer = 128 * 1024;

Status too_large(std::size_t limit) {
    return Status(Kind::kExhausted, "content is larger than the limit of " + std::to_string(limit) + " bytes");
}

}  // namespace

Status MemorySink::write(ByteView data) {
    if (data.size() > limit_ - bytes_.size()) return too_large(limit_);
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return {};
}

Result<std::size_t> MemorySource::read(MutableBytes buffer) {
    const std::size_t n = std::min(buffer.size(), bytes_.size() - at_);
    if (n > 0) std::memcpy(buffer.data(), bytes_.data() + at_, n);
    at_ += n;
    return n;
}

Result<Bytes> read_all(Source& source, std::size_t limit) {
    MemorySink sink(limit);
    FORGE_ASSIGN([[maybe_unused]] auto total, copy_stream(source, sink));
    return std::move(sink.bytes());
}

Result<std::string> read_all_text(Source& source, std::size_t limit) {
    std::string text;
    Bytes buffer(kBuffer);
    for (;;) {
        FORGE_ASSIGN(const std::size_t n, source.read(buffer));
        if (n == 0) return text;
        if (n > limit - text.size()) return too_large(limit);
        text += as_text(ByteView(buffer).first(n));
    }
}

Result<std::size_t> read_full(Source& source, MutableBytes buffer) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        FORGE_ASSIGN(const std::size_t n, source.read(buffer.subspan(filled)));
        if (n == 0) break;
        filled += n;
    }
    return filled;
}

Result<std::uint64_t> copy_stream(Source& source, Sink& sink) {
    Bytes buffer(kBuffer);
    std::uint64_t total = 0;
    for (;;) {
        FORGE_ASSIGN(const std::size_t n, source.read(buffer));
        if (n == 0) return total;
        FORGE_TRY(sink.write(ByteView(buffer.data(), n)));
        total += n;
    }
}

}  // namespace forge
