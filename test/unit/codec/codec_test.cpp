#include "core/codec/codec.h"

#include <gtest/gtest.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

#include "core/base/file.h"
#include "test/unit/base/streams.h"

namespace forge::codec {
namespace {

using test::hex_bytes;

constexpr std::array kCompressing{Method::kLz4, Method::kZstd, Method::kBrotli};
constexpr std::array kStreaming{Method::kLz4, Method::kZstd, Method::kBrotli, Method::kLzma, Method::kGzip};

Bytes compress(Method method, ByteView data, std::optional<int> level = {}, std::size_t step = SIZE_MAX) {
    MemorySink out;
    auto sink = compressor(method, level, std::make_unique<ForwardSink>(out));
    EXPECT_TRUE(sink.ok()) << sink.status().to_string();
    EXPECT_TRUE(test::write_in_steps(**sink, data, step).ok());
    return std::move(out.bytes());
}

// As `xz --format=lzma` writes it.
Bytes compress_lzma(ByteView data) {
    lzma_options_lzma options;
    EXPECT_FALSE(lzma_lzma_preset(&options, 1));
    options.dict_size = 1 << 16;
    lzma_stream stream = LZMA_STREAM_INIT;
    EXPECT_EQ(lzma_alone_encoder(&stream, &options), LZMA_OK);
    Bytes out(data.size() + 1000);
    stream.next_in = data.data();
    stream.avail_in = data.size();
    stream.next_out = out.data();
    stream.avail_out = out.size();
    EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
    out.resize(out.size() - stream.avail_out);
    lzma_end(&stream);
    return out;
}

Bytes compress_gzip(ByteView data) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    Bytes out(data.size() + 1000);
    stream.next_in = const_cast<Bytef*>(data.data());
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return out;
}

Bytes make_object(Method method, ByteView data) {
    if (method == Method::kLzma) return compress_lzma(data);
    if (method == Method::kGzip) return compress_gzip(data);
    return compress(method, data);
}

Result<Bytes> decompress_from(Method method, std::unique_ptr<Source> source) {
    auto reader = decompressor(method, std::move(source));
    if (!reader.ok()) return reader.status();
    return read_all(**reader, SIZE_MAX);
}

Result<Bytes> decompress(Method method, Bytes object) {
    return decompress_from(method, test::source_of(std::move(object)));
}

Bytes joined(Bytes first, const Bytes& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
}

std::string name_of(Method method) { return std::string(method_name(method)); }

TEST(Codec, NamesAndExtensionsGoBothWays) {
    for (const Method method : readable_methods()) {
        EXPECT_EQ(method_from_extension(extension(method)), method);
        if (method == Method::kGzip) continue;
        EXPECT_EQ(parse_method(method_name(method)).value(), method);
    }
    EXPECT_EQ(readable_methods().size(), 6U);
    EXPECT_EQ(extension(Method::kZstd), "zst");
    EXPECT_EQ(extension(Method::kNone), "");
    EXPECT_FALSE(method_from_extension("xz"));
    EXPECT_FALSE(method_from_extension("LZ4"));
    for (const char* name : {"", "gzip", "LZ4", "snappy"}) {
        const auto parsed = parse_method(name);
        ASSERT_FALSE(parsed.ok()) << name;
        EXPECT_EQ(parsed.status().kind(), Kind::kInvalid);
        EXPECT_FALSE(parsed.status().hint().empty());
    }
}

TEST(Codec, ReadOnlyMethodsAndWrongLevelsAreRefused) {
    MemorySink out;
    const auto attempt = [&](Method method, std::optional<int> level) {
        return compressor(method, level, std::make_unique<ForwardSink>(out)).status();
    };
    EXPECT_EQ(attempt(Method::kLzma, {}).message(), "compression method \"lzma\" can be read only");
    EXPECT_EQ(attempt(Method::kGzip, {}).kind(), Kind::kInvalid);
    EXPECT_EQ(attempt(Method::kZstd, 20).message(), "compression level 20 of method \"zstd\" is out of range 1 to 19");
    EXPECT_EQ(attempt(Method::kLz4, -1).kind(), Kind::kInvalid);
    EXPECT_EQ(attempt(Method::kBrotli, 12).kind(), Kind::kInvalid);
    EXPECT_TRUE(attempt(Method::kBrotli, 0).ok());
}

TEST(Codec, RoundTripsAtEverySize) {
    for (const Method method : {Method::kNone, Method::kLz4, Method::kZstd, Method::kBrotli}) {
        for (const std::size_t size : {0U, 1U, 8191U, 8192U, 8193U, 16384U, 1U << 20, 20U << 20}) {
            const Bytes data = test::page_like_bytes(size, size);
            const Bytes object = compress(method, data, {}, size > 100'000 ? 100'003 : 1009);
            const auto back = decompress(method, object);
            ASSERT_TRUE(back.ok()) << name_of(method) << " " << size << ": " << back.status().to_string();
            ASSERT_EQ(*back, data) << name_of(method) << " " << size;
            if (method != Method::kNone && size >= 8191) {
                EXPECT_LT(object.size(), size) << name_of(method);
            }
        }
    }
}

TEST(Codec, RoundTripsAtEveryLevelAndWithIncompressibleData) {
    const Bytes data = test::random_bytes(700'000);
    for (const Method method : kCompressing) {
        const LevelRange range = level_range(method);
        for (int level = range.lowest; level <= range.highest; ++level) {
            const auto back = decompress(method, compress(method, ByteView(data).first(60'000), level));
            ASSERT_TRUE(back.ok()) << name_of(method) << " " << level << ": " << back.status().to_string();
            EXPECT_EQ(*back, test::first_bytes(data, 60'000));
        }
        EXPECT_EQ(decompress(method, compress(method, data)).value(), data);
    }
}

TEST(Codec, ReadersTakeAnyPieceOfInputAndOutput) {
    const Bytes data = test::page_like_bytes(50'000);
    for (const Method method : kStreaming) {
        const Bytes object = make_object(method, data);
        for (const std::size_t step : {std::size_t{1}, std::size_t{13}, object.size()}) {
            auto reader = decompressor(method, std::make_unique<test::SlowSource>(object, step)).value();
            Bytes back;
            Bytes piece(step == 1 ? 4096 : 7);
            for (;;) {
                const auto n = reader->read(piece);
                ASSERT_TRUE(n.ok()) << name_of(method) << ": " << n.status().to_string();
                if (*n == 0) break;
                back.insert(back.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(*n));
            }
            EXPECT_EQ(back, data) << name_of(method) << " in steps of " << step;
            EXPECT_EQ(reader->read(piece).value(), 0U);
        }
    }
}

TEST(Codec, WritesTheParametersOfTheFormat) {
    const ByteView hello = as_bytes("hello wal-g\n");
    EXPECT_EQ(to_hex(compress(Method::kBrotli, hello)), "8b058068656c6c6f2077616c2d670a03");
    EXPECT_EQ(to_hex(compress(Method::kBrotli, {})), "3b");
    EXPECT_EQ(to_hex(compress(Method::kLz4, hello)), "04224d186450080c00008068656c6c6f2077616c2d670a0000000097f00e2f");
    EXPECT_EQ(compress(Method::kLz4, {}).size(), 15U);
    for (const Bytes& object : {compress(Method::kZstd, hello), compress(Method::kZstd, Bytes(10 << 20))}) {
        EXPECT_EQ(ZSTD_getFrameContentSize(object.data(), object.size()), ZSTD_CONTENTSIZE_UNKNOWN);
        EXPECT_EQ(object[4], 0x04) << "content checksum, no content size, no dictionary";
    }
}

TEST(Codec, LeavesTheContentChecksumOut) {
    const ByteView hello = as_bytes("hello wal-g\n");
    for (const Method method : {Method::kLz4, Method::kZstd}) {
        MemorySink out;
        auto sink = compressor(method, {}, std::make_unique<ForwardSink>(out), ContentChecksum::kNo).value();
        ASSERT_TRUE(sink->write(hello).ok());
        ASSERT_TRUE(sink->finish().ok());
        const Bytes with = compress(method, hello);
        EXPECT_EQ(out.bytes().size() + 4, with.size()) << method_name(method);
        EXPECT_EQ(out.bytes().at(4) ^ with.at(4), 0x04) << "the same bit of both headers";
        EXPECT_EQ(decompress(method, out.bytes()).value(), Bytes(hello.begin(), hello.end()));
    }
}

// Each piece by a compressor of its own; `sizes` of all but the last.
Bytes compress_in_pieces(Method method, std::optional<int> level, ByteView data, std::vector<std::size_t> sizes) {
    MemorySink out;
    std::uint64_t offset = 0;
    for (const std::size_t size : sizes) {
        auto piece = piece_compressor(method, level, std::make_unique<ForwardSink>(out), offset).value();
        EXPECT_TRUE(piece->write(data.subspan(offset, size)).ok());
        EXPECT_TRUE(piece->end_piece().ok());
        offset += size;
    }
    auto last = piece_compressor(method, level, std::make_unique<ForwardSink>(out), offset).value();
    EXPECT_TRUE(test::write_in_steps(*last, data.subspan(offset), SIZE_MAX).ok());
    return std::move(out.bytes());
}

// Further than a window of brotli (4 MiB), with pages and with words of its dictionary.
TEST(Codec, PiecesAreOneStream) {
    Bytes data = test::page_like_bytes(6 << 20);
    const std::string words = "information about the government and the University of Washington, which is available; ";
    for (std::size_t at = 0; at + 4096 < data.size(); at += 4096)
        std::copy(words.begin(), words.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
    const auto back = [&](std::vector<std::size_t> sizes) {
        return decompress(Method::kBrotli, compress_in_pieces(Method::kBrotli, {}, data, std::move(sizes)));
    };
    EXPECT_EQ(back({1'234'567, 1 << 20, 1, 1 << 20, 1 << 20, 1 << 20}).value(), data);
    EXPECT_EQ(back({data.size()}).value(), data) << "the last one empty";
}

TEST(Codec, PiecesOfEveryLevelAreOneStream) {
    const Bytes data = test::page_like_bytes(100'000);
    const LevelRange levels = level_range(Method::kBrotli);
    for (int level = levels.lowest; level <= levels.highest; ++level) {
        const auto back =
            decompress(Method::kBrotli, compress_in_pieces(Method::kBrotli, level, data, {30'000, 50'000}));
        ASSERT_TRUE(back.ok()) << level << ": " << back.status().to_string();
        EXPECT_EQ(*back, data) << level;
    }
}

TEST(Codec, OtherMethodsHaveNoPieces) {
    for (const Method method : {Method::kNone, Method::kLz4, Method::kZstd, Method::kLzma, Method::kGzip}) {
        EXPECT_FALSE(has_pieces(method)) << name_of(method);
        MemorySink out;
        EXPECT_EQ(piece_compressor(method, {}, std::make_unique<ForwardSink>(out), 0).status().kind(), Kind::kInvalid);
    }
}

// Whole blocks are taken where they are, so short ones come before and after them.
TEST(Codec, Lz4BlocksMayBeShort) {
    constexpr std::size_t kBlock = 256 << 10;
    const Bytes data = test::random_bytes(3 * kBlock + 1000);
    MemorySink out;
    auto sink = compressor(Method::kLz4, {}, std::make_unique<ForwardSink>(out)).value();
    const ByteView view(data);
    for (const auto& [from, size] : {std::pair<std::size_t, std::size_t>{0, 512},
                                     {512, 2 * kBlock},
                                     {512 + 2 * kBlock, kBlock - 1},
                                     {511 + 3 * kBlock, 489}})
        ASSERT_TRUE(sink->write(view.subspan(from, size)).ok());
    ASSERT_TRUE(sink->finish().ok());
    EXPECT_EQ(decompress(Method::kLz4, out.bytes()).value(), data);
}

TEST(Codec, ReadsTheVectorsOfTheFormat) {
    const std::string hello = "hello wal-g\n";
    const auto read = [](Method method, std::string_view hex) {
        const auto back = decompress(method, hex_bytes(hex));
        return back.ok() ? std::string(as_text(*back)) : back.status().to_string();
    };
    EXPECT_EQ(read(Method::kBrotli, "8b058068656c6c6f2077616c2d670a03"), hello);
    EXPECT_EQ(read(Method::kBrotli, "3b"), "");
    EXPECT_EQ(read(Method::kLz4, "04224d186470b90c00008068656c6c6f2077616c2d670a0000000097f00e2f"), hello);
    EXPECT_EQ(read(Method::kZstd, "28b52ffd040061000068656c6c6f2077616c2d670a978720b5"), hello);
    EXPECT_EQ(read(Method::kLzma, "5d00008000ffffffffffffffff00341949ee8de91786e16ccd6724bbf20afffed91000"), hello);
}

// S15: every way to cut an object short, down to nothing.
TEST(Codec, EveryTruncationIsRefused) {
    for (const Method method : kStreaming) {
        for (const Bytes& data : {Bytes{}, Bytes{'x'}, test::page_like_bytes(600), test::random_bytes(200)}) {
            const Bytes object = make_object(method, data);
            for (std::size_t size = 0; size < object.size(); ++size) {
                const auto back = decompress(method, test::first_bytes(object, size));
                ASSERT_FALSE(back.ok()) << name_of(method) << " cut to " << size << " of " << object.size();
                ASSERT_EQ(back.status().kind(), Kind::kCorrupt) << back.status().to_string();
            }
        }
    }
}

// S15, on objects as large as WAL segments compress to: block and buffer boundaries are among the cuts.
TEST(Codec, TruncationOfALargeObjectIsRefused) {
    const Bytes data = test::page_like_bytes(9 << 20);
    std::mt19937_64 generator(5);
    for (const Method method : kCompressing) {
        const Bytes object = compress(method, data);
        for (int i = 0; i < 8; ++i) {
            const std::size_t size = i == 0 ? object.size() - 1 : generator() % object.size();
            EXPECT_EQ(decompress(method, test::first_bytes(object, size)).status().kind(), Kind::kCorrupt)
                << name_of(method) << " cut to " << size;
        }
    }
}

TEST(Codec, EmptyObjectIsRefusedByName) {
    for (const Method method : kStreaming) {
        EXPECT_EQ(decompress(method, {}).status().message(),
                  "invalid " + name_of(method) + " data: the object is empty");
    }
    EXPECT_TRUE(decompress(Method::kNone, {}).ok());
}

TEST(Codec, BytesAfterTheEndAreRefused) {
    for (const Method method : kStreaming) {
        for (const Bytes& data : {Bytes{}, test::page_like_bytes(3000), test::page_like_bytes(300'000)}) {
            const Bytes object = make_object(method, data);
            for (const Bytes& tail : {Bytes{0}, Bytes{0xff}, Bytes(5000), test::random_bytes(20)}) {
                const auto back = decompress(method, joined(object, tail));
                EXPECT_EQ(back.status().kind(), Kind::kCorrupt) << name_of(method) << " with " << tail.size();
            }
            // The tail in a read of its own.
            const auto back = decompress_from(
                method, std::make_unique<test::SlowSource>(joined(object, Bytes{1, 2, 3}), object.size()));
            EXPECT_EQ(back.status().kind(), Kind::kCorrupt) << name_of(method);
        }
    }
}

TEST(Codec, SeveralFramesInARowAreOneObjectForLz4ZstdAndGzipOnly) {
    const Bytes first = test::page_like_bytes(5000, 1);
    const Bytes second = test::page_like_bytes(200'000, 2);
    for (const Method method : kStreaming) {
        const auto back = decompress(method, joined(make_object(method, first), make_object(method, second)));
        if (method == Method::kLz4 || method == Method::kZstd || method == Method::kGzip) {
            ASSERT_TRUE(back.ok()) << name_of(method) << ": " << back.status().to_string();
            EXPECT_EQ(*back, joined(first, second));
        } else {
            EXPECT_EQ(back.status().kind(), Kind::kCorrupt) << name_of(method);
        }
    }
}

TEST(Codec, SecondFrameCutShortIsRefused) {
    for (const Method method : {Method::kLz4, Method::kGzip}) {
        const Bytes frame = make_object(method, test::page_like_bytes(200));
        for (std::size_t size = 1; size < frame.size(); ++size) {
            EXPECT_EQ(decompress(method, joined(frame, test::first_bytes(frame, size))).status().kind(),
                      Kind::kCorrupt);
        }
    }
}

// S14 where the format itself has checksums; brotli has none and relies on encryption.
TEST(Codec, FlippedBitsAreRefusedOrHarmless) {
    const Bytes data = test::page_like_bytes(300);
    for (const Method method : {Method::kLz4, Method::kZstd, Method::kGzip}) {
        const Bytes object = make_object(method, data);
        int tried = 0;
        int refused = 0;
        for (std::size_t bit = 0; bit < object.size() * 8; bit += 3, ++tried) {
            Bytes damaged = object;
            damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << (bit % 8)));
            const auto back = decompress(method, damaged);
            // Some bits mean nothing: the time in a gzip header, an unused bit in a zstd one.
            if (back.ok()) {
                ASSERT_EQ(*back, data) << name_of(method) << " bit " << bit;
            } else {
                ASSERT_EQ(back.status().kind(), Kind::kCorrupt) << back.status().to_string();
                ++refused;
            }
        }
        EXPECT_GT(refused, tried * 9 / 10) << name_of(method);
    }
}

TEST(Codec, BrotliAndLzmaSurviveAnyDamage) {
    const Bytes data = test::page_like_bytes(300);
    for (const Method method : {Method::kBrotli, Method::kLzma}) {
        const Bytes object = make_object(method, data);
        for (std::size_t bit = 0; bit < object.size() * 8; bit += 3) {
            Bytes damaged = object;
            damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << (bit % 8)));
            auto reader = decompressor(method, test::source_of(damaged)).value();
            const auto back = read_all(*reader, 1 << 20);
            if (!back.ok()) {
                EXPECT_TRUE(back.status().is(Kind::kCorrupt) || back.status().is(Kind::kExhausted));
            }
        }
    }
}

TEST(Codec, Lz4ReadsEveryVariantOfTheFrame) {
    const Bytes data = test::page_like_bytes(300'000);
    for (const auto block_size : {LZ4F_max64KB, LZ4F_max256KB, LZ4F_max1MB, LZ4F_max4MB}) {
        for (const auto mode : {LZ4F_blockLinked, LZ4F_blockIndependent}) {
            for (const auto checksum : {LZ4F_noContentChecksum, LZ4F_contentChecksumEnabled}) {
                LZ4F_preferences_t preferences{};
                preferences.frameInfo.blockSizeID = block_size;
                preferences.frameInfo.blockMode = mode;
                preferences.frameInfo.contentChecksumFlag = checksum;
                preferences.frameInfo.blockChecksumFlag = LZ4F_blockChecksumEnabled;
                preferences.frameInfo.contentSize = data.size();
                Bytes object(LZ4F_compressFrameBound(data.size(), &preferences));
                object.resize(LZ4F_compressFrame(object.data(), object.size(), data.data(), data.size(), &preferences));
                EXPECT_EQ(decompress(Method::kLz4, object).value(), data);
                // The end mark is missing, with or without content checksum before it (S15).
                const std::size_t end = 4 + (checksum == LZ4F_contentChecksumEnabled ? 4 : 0);
                EXPECT_EQ(decompress(Method::kLz4, test::first_bytes(object, object.size() - end)).status().kind(),
                          Kind::kCorrupt);
            }
        }
    }
}

Bytes compress_zstd_with_window(int window_log) {
    ZSTD_CCtx* context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1);
    ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    const Bytes data = test::counting_bytes(100'000);
    Bytes object(200'000);
    object.resize(ZSTD_compress2(context, object.data(), object.size(), data.data(), data.size()));
    ZSTD_freeCCtx(context);
    // The library shrinks the window to the content it was told of, so the header is set by hand.
    object[5] = static_cast<std::uint8_t>((window_log - 10) << 3);
    return object;
}

TEST(Codec, ZstdWindowsAreReadUpTo128MiB) {
    EXPECT_EQ(decompress(Method::kZstd, compress_zstd_with_window(27)).value(), test::counting_bytes(100'000));
    EXPECT_EQ(decompress(Method::kZstd, compress_zstd_with_window(28)).status().kind(), Kind::kCorrupt);
}

TEST(Codec, LzmaDictionaryBeyondTheLimitIsRefused) {
    Bytes object = compress_lzma(test::counting_bytes(1000));
    object[4] = 0x40;  // 1 GiB
    EXPECT_EQ(decompress(Method::kLzma, object).status().kind(), Kind::kCorrupt);
}

TEST(Codec, FailuresOfTheNextStreamAreNotHidden) {
    const Bytes data = test::random_bytes(10 << 20);
    for (const Method method : {Method::kNone, Method::kLz4, Method::kZstd, Method::kBrotli}) {
        bool finished = false;
        auto sink = compressor(method, {}, std::make_unique<test::FailingSink>(1 << 20, finished)).value();
        EXPECT_EQ(test::write_in_steps(*sink, data, 1 << 16).kind(), Kind::kUnavailable) << name_of(method);
        EXPECT_FALSE(finished);
        // A few bytes fit into buffers and fail at the end only.
        auto small = compressor(method, {}, std::make_unique<test::FailingSink>(0, finished)).value();
        EXPECT_EQ(test::write_in_steps(*small, as_bytes("abc"), 3).kind(), Kind::kUnavailable) << name_of(method);
        EXPECT_FALSE(finished);
        auto source = decompressor(method, std::make_unique<test::FailingSource>()).value();
        Bytes buffer(100);
        EXPECT_EQ(source->read(buffer).status().kind(), Kind::kUnavailable) << name_of(method);
    }
}

TEST(Codec, UnfinishedWriterDoesNotFinishTheNextOne) {
    for (const Method method : {Method::kNone, Method::kLz4, Method::kZstd, Method::kBrotli}) {
        bool finished = false;
        {
            auto sink = compressor(method, {}, std::make_unique<test::FailingSink>(1 << 20, finished)).value();
            EXPECT_TRUE(sink->write(as_bytes("abc")).ok());
        }
        EXPECT_FALSE(finished) << name_of(method);
    }
}

TEST(Codec, OtherFormatsAreRefused) {
    const Bytes data = test::page_like_bytes(3000);
    for (const Method method : kStreaming) {
        for (const Method other : kStreaming) {
            if (method == other) continue;
            const auto back = decompress(method, make_object(other, data));
            EXPECT_FALSE(back.ok() && *back == data) << name_of(other) << " as " << name_of(method);
            // Brotli has no magic number, but what it makes of other formats breaks off.
            EXPECT_FALSE(back.ok()) << name_of(other) << " as " << name_of(method);
        }
    }
}

}  // namespace
}  // namespace forge::codec
