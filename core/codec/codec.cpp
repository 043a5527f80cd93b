#include "core/codec/codec.h"

#include <array>

#include "core/base/text.h"
#include "core/codec/method.h"

namespace forge::codec {

namespace {

struct MethodInfo {
    Method method;
    std::string_view name;
    std::string_view extension;
    LevelRange levels;
};

constexpr std::array kMethods{
    MethodInfo{Method::kNone, "none", "", {0, 0, 0}},     MethodInfo{Method::kLz4, "lz4", "lz4", {0, 12, 0}},
    MethodInfo{Method::kZstd, "zstd", "zst", {1, 19, 3}}, MethodInfo{Method::kBrotli, "brotli", "br", {0, 11, 3}},
    MethodInfo{Method::kLzma, "lzma", "lzma", {0, 0, 0}}, MethodInfo{Method::kGzip, "gzip", "gz", {0, 0, 0}},
};

const MethodInfo& info(Method method) {
    for (const MethodInfo& entry : kMethods) {
        if (entry.method == method) return entry;
    }
    return kMethods.front();
}

// What to compress with.
Result<int> chosen_level(Method method, std::optional<int> level) {
    const std::string name = quoted(method_name(method));
    if (!is_writable(method)) {
        return Status(Kind::kInvalid, "compression method " + name + " can be read only",
                      "Use \"brotli\", \"lz4\", \"zstd\" or \"none\" to write.");
    }
    const LevelRange range = level_range(method);
    const int chosen = level.value_or(range.standard);
    if (chosen < range.lowest || chosen > range.highest) {
        return Status(Kind::kInvalid, "compression level " + std::to_string(chosen) + " of method " + name +
                                          " is out of range " + std::to_string(range.lowest) + " to " +
                                          std::to_string(range.highest));
    }
    return chosen;
}

}  // namespace

std::string_view method_name(Method method) { return info(method).name; }

Result<Method> parse_method(std::string_view name) {
    for (const MethodInfo& entry : kMethods) {
        if (entry.name == name && entry.method != Method::kGzip) return entry.method;
    }
    return Status(Kind::kInvalid, "unrecognized compression method " + quoted(name),
                  "Available methods are \"brotli\", \"lz4\", \"zstd\" and \"none\"; \"lzma\" can be read only.");
}

std::string_view extension(Method method) { return info(method).extension; }

std::optional<Method> method_from_extension(std::string_view extension) {
    for (const MethodInfo& entry : kMethods) {
        if (entry.extension == extension) return entry.method;
    }
    return std::nullopt;
}

std::span<const Method> readable_methods() {
    static constexpr std::array kOrder{Method::kLz4,  Method::kZstd, Method::kBrotli,
                                       Method::kNone, Method::kLzma, Method::kGzip};
    return kOrder;
}

LevelRange level_range(Method method) { return info(method).levels; }

Result<std::unique_ptr<Sink>> compressor(Method method, std::optional<int> level, std::unique_ptr<Sink> next,
                                         ContentChecksum checksum) {
    FORGE_ASSIGN(const int chosen, chosen_level(method, level));
    switch (method) {
        case Method::kLz4: return lz4_compressor(chosen, checksum, std::move(next));
        case Method::kZstd: return zstd_compressor(chosen, checksum, std::move(next));
        case Method::kBrotli: return std::unique_ptr<Sink>(brotli_compressor(chosen, std::move(next), 0));
        case Method::kNone:
        case Method::kLzma:
        case Method::kGzip: break;
    }
    return next;
}

Result<std::unique_ptr<PieceCompressor>> piece_compressor(Method method, std::optional<int> level,
                                                          std::unique_ptr<Sink> next, std::uint64_t offset) {
    if (!has_pieces(method))
        return Status(Kind::kInvalid, "streams of method " + quoted(method_name(method)) + " have no pieces");
    FORGE_ASSIGN(const int chosen, chosen_level(method, level));
    return brotli_compressor(chosen, std::move(next), offset);
}

Result<std::unique_ptr<Source>> decompressor(Method method, std::unique_ptr<Source> next) {
    switch (method) {
        case Method::kLz4: return lz4_decompressor(std::move(next));
        case Method::kZstd: return zstd_decompressor(std::move(next));
        case Method::kBrotli: return brotli_decompressor(std::move(next));
        case Method::kLzma: return lzma_decompressor(std::move(next));
        case Method::kGzip: return gzip_decompressor(std::move(next));
        case Method::kNone: break;
    }
    return next;
}

Result<std::size_t> DecoderSource::read(MutableBytes buffer) {
    for (;;) {
        if (unread_.empty() && !pending_output_) FORGE_TRY(fill());
        if (source_ended_ && unread_.empty() && !pending_output_) {
            if (ended_) return std::size_t{0};
            if (consumed_ == 0) return corrupt("the object is empty");
            return corrupt("the object is cut off: its stream has no end after " + std::to_string(consumed_) +
                           " bytes");
        }
        if (ended_ && !may_repeat_) {
            return corrupt("the object goes on after the end of its stream at byte " + std::to_string(consumed_));
        }
        FORGE_ASSIGN(const Step step, decode(unread_, buffer));
        if (step.consumed == 0 && step.produced == 0 && !unread_.empty() && !step.ended) {
            return corrupt("the decoder makes no progress");
        }
        unread_ = unread_.subspan(step.consumed);
        consumed_ += step.consumed;
        ended_ = step.ended;
        // A full buffer may mean that the library holds back more.
        pending_output_ = step.produced == buffer.size() && !step.ended;
        if (step.produced > 0) return step.produced;
    }
}

Status DecoderSource::fill() {
    if (source_ended_) return {};
    FORGE_ASSIGN(const std::size_t size, next_->read(input_));
    unread_ = ByteView(input_).first(size);
    source_ended_ = size == 0;
    return {};
}

Status DecoderSource::corrupt(std::string_view what) const {
    return Status(Kind::kCorrupt, "invalid " + std::string(method_) + " data: " + std::string(what));
}

Status DecoderSource::out_of_memory() const {
    return Status(Kind::kExhausted, "not enough memory to decompress " + std::string(method_) + " data");
}

}  // namespace forge::codec
