// Our manifest, and the list of files in it that the server's pg_verifybackup reads. Its digests stop everything that
// was changed by accident, so most inputs get right ones and meet the parser behind.
#include "core/backup/manifest.h"
#include "core/layout/json_text.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/backup/manifest_text.h"

namespace forge::fuzz {

namespace {

std::string hex_digest(std::string_view text) { return to_hex(backup::sha256(as_bytes(text))); }

std::string sealed(const std::string& body) { return body + ",\"sha256\":\"" + hex_digest(body) + "\"}"; }

// A manifest around a list of files.
std::string around(const std::string& files) {
    const std::string list = files + "\"Manifest-Checksum\": \"" + hex_digest(files) + "\"}\n";
    return sealed("{\"version\":1,\"backup\":\"b\",\"sentinel_sha256\":\"" + hex_digest("") +
                  "\",\"parts\":[],\"backup_manifest\":" + layout::json_string(list, false));
}

std::string written(const test::WholeManifest& manifest) {
    std::string text = test::text_of(manifest);
    require(!text.empty(), "memory takes everything");
    return text;
}

void read_and_write(const std::string& text) {
    const auto first = test::parse_manifest(text);
    if (!first.ok()) {
        require(first.status().is(Kind::kCorrupt) || (first.status().is(Kind::kInvalid) &&
                                                      first.status().message().find("version") != std::string::npos),
                "what cannot be read is damage, or of a later version");
        return;
    }
    const std::string again = written(*first);
    const auto second = test::parse_manifest(again);
    require(second.ok() && written(*second) == again, "what we write is read the same");
}

void cut_and_flip(FuzzedDataProvider& input) {
    test::WholeManifest manifest;
    manifest.backup = "base_000000010000000000000003";
    manifest.files.wal.push_back({input.ConsumeIntegral<Timeline>(), 0, input.ConsumeIntegral<Lsn>()});
    const auto place = input.ConsumeIntegral<std::uint32_t>();
    while (input.remaining_bytes() > 0) {
        backup::ManifestFile file;
        const std::string path = input.ConsumeRandomLengthString(40);
        file.path = layout::is_utf8(path) ? path : "x";
        file.size = input.ConsumeIntegral<std::uint64_t>();
        file.mtime_seconds = input.ConsumeIntegral<std::int64_t>();
        if (input.ConsumeBool()) file.checksum = input.ConsumeIntegral<backup::Crc32c>();
        manifest.listed.push_back(std::move(file));
    }
    std::string text = written(manifest);
    const auto read = test::parse_manifest(text);
    require(read.ok() && written(*read) == text, "what we write is read the same");
    require(std::equal(manifest.listed.begin(), manifest.listed.end(), read->listed.begin(), read->listed.end(),
                       [](const auto& a, const auto& b) { return a.path == b.path && a.size == b.size; }),
            "the files are what they were");
    require(!test::parse_manifest(std::string_view(text).substr(0, place % text.size())).ok(), "a cut is noticed");
    text[place % text.size()] ^= static_cast<char>(1U << (place >> 24) % 8);
    require(!test::parse_manifest(text).ok(), "one bit that changed is noticed");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const int what = input.ConsumeIntegralInRange<int>(0, 3);
    if (what == 0) return cut_and_flip(input);
    const std::string text = input.ConsumeRemainingBytesAsString();
    read_and_write(what == 1 ? text : what == 2 ? sealed(text) : around(text));
}

}  // namespace forge::fuzz
