// What the writer and the reader of manifests agree on.
#pragma once

#include <cstdint>
#include <string_view>

namespace forge::backup {

// Version 1 has "sha256" of a part, of its tar stream: hashing that took longer than compressing it. Versions 1 and 2
// have a SHA-256 of each file, for the same reason no longer.
inline constexpr std::uint64_t kManifestVersion = 3;

// The list of files is a text in the text: the member before the last.
inline constexpr std::string_view kListMember = ",\"backup_manifest\":\"";
// Both texts end with a SHA-256, in hexadecimal, of all before these members.
inline constexpr std::string_view kDigestMember = ",\"sha256\":\"", kDigestEnd = "\"}";
inline constexpr std::string_view kChecksumMember = "\"Manifest-Checksum\": \"", kChecksumEnd = "\"}\n";

}  // namespace forge::backup
