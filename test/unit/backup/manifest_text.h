// Texts of manifests as other versions of the program write them.
#pragma once

#include <string>

#include "core/backup/manifest.h"
#include "core/base/text.h"

namespace forge::test {

// `text` with the first `from` changed, and the digest at its end that fits.
inline std::string signed_again(std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    const std::string member = ",\"sha256\":\"";
    text.resize(text.rfind(member));
    return text + member + to_hex(backup::sha256(as_bytes(text))) + "\"}";
}

// As version 1 has it; the digests of its parts are those of their tar streams.
inline std::string version_one(const backup::Manifest& manifest) {
    MemorySink sink;
    if (!backup::write_manifest(manifest, sink).ok()) return "";
    std::string text(as_text(sink.bytes()));
    const std::string member = "\"compressed_sha256\"";
    for (std::size_t at; (at = text.find(member)) != std::string::npos;) text.replace(at, member.size(), "\"sha256\"");
    return signed_again(text, "\"version\":3", "\"version\":1");
}

}  // namespace forge::test
