// Compression as filters (walg-format 4). Every object is exactly one stream; a reader treats every incomplete stream,
// and every byte after the end, as kCorrupt. (lz4, zstd and gzip: several frames in a row are accepted on
// read.)
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "core/base/stream.h"

namespace forge::codec {

enum class Method { kNone, kLz4, kZstd, kBrotli, kLzma, kGzip };

// "none", "lz4", "zstd", "brotli", "lzma" (gzip has no setting).
std::string_view method_name(Method method);
Result<Method> parse_method(std::string_view name);
// Without dot: "", "lz4", "zst", "br", "lzma", "gz".
std::string_view extension(Method method);
std::optional<Method> method_from_extension(std::string_view extension);
// All methods that can be read, in the order in which a reader should try them after the configured one.
std::span<const Method> readable_methods();
// lzma and gzip are read only.
constexpr bool is_writable(Method m) { return m != Method::kLzma && m != Method::kGzip; }

// Range of levels and what is used without a setting: lz4 0..12 (default 0 = fast), zstd 1..19 (3), brotli 0..11 (3).
struct LevelRange {
    int lowest;
    int highest;
    int standard;
};
LevelRange level_range(Method method);

// Whether the frames of lz4 and zstd end with a checksum of what was compressed. Taking it costs lz4 more time than
// compressing does, and readers as much: where encryption authenticates every byte, nobody needs it.
enum class ContentChecksum { kYes, kNo };

// Compresses what is written to it into `next`. `level`: nothing = standard. kInvalid for a read-only method or a level
// out of range.
Result<std::unique_ptr<Sink>> compressor(Method method, std::optional<int> level, std::unique_ptr<Sink> next,
                                         ContentChecksum checksum = ContentChecksum::kYes);
// Whether several threads can share a stream, each of which compresses other pieces of it by itself. Together, in order,
// these are one stream as any other. (lz4 and zstd would be frames in a row, of which some programs read the first.)
constexpr bool has_pieces(Method m) { return m == Method::kBrotli; }

class PieceCompressor : public Sink {
public:
    // Instead of finish(): another piece comes after this one. `next` has got all of it, and is not finished.
    virtual Status end_piece() = 0;
};

// Compresses a piece of a stream, `offset` bytes into it. kInvalid for a method without pieces, else as compressor().
Result<std::unique_ptr<PieceCompressor>> piece_compressor(Method method, std::optional<int> level,
                                                          std::unique_ptr<Sink> next, std::uint64_t offset);

// Decompresses what it pulls from `next`.
Result<std::unique_ptr<Source>> decompressor(Method method, std::unique_ptr<Source> next);

}  // namespace forge::codec
