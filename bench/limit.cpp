// The work that cannot be avoided, and nothing else: every file is read, compressed in one piece, encrypted and
// digested by the libraries themselves, on all processors. Nothing is stored. What a backup tool needs more than this
// is its own.
//
//   bench_limit METHOD FILE…      prints the seconds and the bytes that would be stored
#include <brotli/encode.h>
#include <lz4frame.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

namespace {

using Buffer = std::vector<unsigned char>;

constexpr std::size_t kPiece = 16 << 20;   // large files count as several
constexpr std::size_t kMessage = 8192;     // of WAL-G's framing
constexpr int kBrotliQuality = 3, kBrotliWindow = 22, kZstdLevel = 3;

struct Piece {
    std::string path;
    std::size_t offset;
};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "bench_limit: %s\n", what.c_str());
    std::exit(1);
}

std::size_t read(const Piece& piece, Buffer& into) {
    std::ifstream file(piece.path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(piece.offset));
    file.read(reinterpret_cast<char*>(into.data()), static_cast<std::streamsize>(kPiece));
    return static_cast<std::size_t>(file.gcount());
}

std::size_t compress(const std::string& method, const Buffer& from, std::size_t size, Buffer& into, ZSTD_CCtx* context) {
    if (method == "zstd") return ZSTD_compressCCtx(context, into.data(), into.size(), from.data(), size, kZstdLevel);
    if (method == "lz4") return LZ4F_compressFrame(into.data(), into.size(), from.data(), size, nullptr);
    std::size_t written = into.size();
    if (BrotliEncoderCompress(kBrotliQuality, kBrotliWindow, BROTLI_MODE_GENERIC, size, from.data(), &written, into.data()) == BROTLI_FALSE)
        fail("brotli failed");
    return written;
}

void encrypt_and_digest(const Buffer& from, std::size_t size, Buffer& into, EVP_MD_CTX* digest) {
    unsigned char key[crypto_secretstream_xchacha20poly1305_KEYBYTES] = {1};
    unsigned char header[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
    crypto_secretstream_xchacha20poly1305_state state;
    crypto_secretstream_xchacha20poly1305_init_push(&state, header, key);
    EVP_DigestInit_ex(digest, EVP_md5(), nullptr);
    for (std::size_t at = 0; at < size; at += kMessage) {
        unsigned long long length = 0;
        crypto_secretstream_xchacha20poly1305_push(&state, into.data(), &length, from.data() + at, std::min(kMessage, size - at), nullptr, 0, 0);
        EVP_DigestUpdate(digest, into.data(), length);
    }
}

std::vector<Piece> pieces_of(int count, char** paths) {
    std::vector<Piece> pieces;
    for (int i = 0; i < count; ++i) {
        std::ifstream file(paths[i], std::ios::binary | std::ios::ate);
        if (!file) fail(std::string("could not open ") + paths[i]);
        const auto size = static_cast<std::size_t>(file.tellg());
        for (std::size_t offset = 0; offset < size; offset += kPiece) pieces.push_back({paths[i], offset});
    }
    return pieces;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) fail("usage: bench_limit METHOD FILE…");
    const std::string method = argv[1];
    if (method != "zstd" && method != "lz4" && method != "brotli") fail("there is no method " + method);
    if (sodium_init() < 0) fail("libsodium failed");
    const std::vector<Piece> pieces = pieces_of(argc - 2, argv + 2);
    std::atomic<std::size_t> next{0}, stored{0};
    const auto begin = std::chrono::steady_clock::now();
    const auto work = [&] {
        Buffer plain(kPiece), packed(2 * kPiece), sealed(kMessage + crypto_secretstream_xchacha20poly1305_ABYTES);
        ZSTD_CCtx* const context = ZSTD_createCCtx();
        EVP_MD_CTX* const digest = EVP_MD_CTX_new();
        for (std::size_t i = next++; i < pieces.size(); i = next++) {
            const std::size_t size = compress(method, plain, read(pieces[i], plain), packed, context);
            encrypt_and_digest(packed, size, sealed, digest);
            stored += size;
        }
        EVP_MD_CTX_free(digest);
        ZSTD_freeCCtx(context);
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%.6f %zu\n", seconds.count(), stored.load());
    return 0;
}
