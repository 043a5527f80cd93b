// Manifests with their list of files in memory, and texts as other versions of the program write them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/backup/manifest.h"
#include "core/base/text.h"

namespace forge::test {

struct WholeManifest : backup::Manifest {
    std::vector<backup::ManifestFile> listed;
};

inline backup::NextFile each_of(const std::vector<backup::ManifestFile>& files) {
    return [at = files.begin(), end = files.end()](backup::ManifestFile& file) mutable {
        if (at == end) return false;
        file = *at++;
        return true;
    };
}

inline backup::NextPath each_of(const std::vector<std::string>& paths) {
    return [at = paths.begin(), end = paths.end()](std::string_view& path) mutable {
        if (at == end) return false;
        path = *at++;
        return true;
    };
}

inline std::string text_of(const WholeManifest& manifest) {
    MemorySink sink;
    const backup::ManifestLists lists{each_of(manifest.listed), each_of(manifest.incremented),
                                      each_of(manifest.skipped)};
    if (!backup::write_manifest(manifest, lists, sink).ok()) return "";
    return std::string(as_text(sink.bytes()));
}

inline Result<WholeManifest> parse_manifest(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    MemorySource source(Bytes(bytes.begin(), bytes.end()));
    WholeManifest manifest;
    FORGE_ASSIGN(static_cast<backup::Manifest&>(manifest),
                 backup::read_manifest(source, [&](backup::ManifestFile file) {
                     manifest.listed.push_back(std::move(file));
                     return Status();
                 }));
    return manifest;
}

// `text` with the first `from` changed, and the digest at its end that fits.
inline std::string signed_again(std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    const std::string member = ",\"sha256\":\"";
    text.resize(text.rfind(member));
    return text + member + to_hex(backup::sha256(as_bytes(text))) + "\"}";
}

// `text` with the first `from` in its list of files changed, and both digests that fit.
inline std::string with_list_changed(std::string text, const std::string& from, const std::string& to) {
    const std::size_t begin = text.find("\"backup_manifest\":\"") + 19;
    std::size_t end = text.find("\\\"Manifest-Checksum", begin);
    std::string list = text.substr(begin, end - begin);
    list.replace(list.find(from), from.size(), to);
    const std::string plain = nlohmann::json::parse("\"" + list + "\"").get<std::string>();
    const std::string checksum = "\\\"Manifest-Checksum\\\": \\\"";
    const std::size_t hex = text.find(checksum, begin) + checksum.size();
    return signed_again(text.substr(0, begin) + list + checksum + to_hex(backup::sha256(as_bytes(plain))) +
                            text.substr(hex + 64),
                        "", "");
}

// As version 1 has it; the digests of its parts are those of their tar streams.
inline std::string version_one(const WholeManifest& manifest) {
    std::string text = text_of(manifest);
    const std::string member = "\"compressed_sha256\"";
    for (std::size_t at; (at = text.find(member)) != std::string::npos;) text.replace(at, member.size(), "\"sha256\"");
    return signed_again(text, "\"version\":3", "\"version\":1");
}

}  // namespace forge::test
