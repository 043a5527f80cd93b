// Checksums of files as backup_manifest has them ("Checksum-Algorithm", backup manifest format of the manual).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/backup/sha256.h"
#include "core/base/status.h"

namespace forge::backup {

// CRC-32C is what backups are made with, as the server's own: it finds what went wrong between disk and part, and a
// SHA-256 of each part finds all else. Backups of earlier versions have a SHA-256 of each file.
using Crc32c = std::uint32_t;
using FileChecksum = std::variant<Crc32c, Digest>;

// "CRC32C", "SHA256".
std::string_view checksum_algorithm(const FileChecksum& checksum);
// Hexadecimal, a CRC-32C with its lowest byte first, as the server writes it on such machines.
std::string checksum_text(const FileChecksum& checksum);
// kCorrupt for another algorithm and for what is no checksum of it.
Result<FileChecksum> parse_file_checksum(std::string_view algorithm, std::string_view text);

FileChecksum file_checksum(ByteView content);

// Checksum of what passes, with the algorithm of another to compare it with.
class FileHash {
public:
    FileHash() = default;
    explicit FileHash(const FileChecksum& expected) {
        if (std::holds_alternative<Digest>(expected)) sha256_.emplace();
    }
    void update(ByteView data);
    // Of everything since construction; once.
    FileChecksum finish();

private:
    Crc32c crc_ = 0;
    std::optional<Sha256> sha256_;  // nothing: CRC-32C
};

}  // namespace forge::backup
