#include "core/backup/file_checksum.h"

#include <algorithm>

#include "core/base/crc32c.h"
#include "core/base/text.h"

namespace forge::backup {
namespace {

constexpr std::string_view kCrc32c = "CRC32C";
constexpr std::string_view kSha256 = "SHA256";

}  // namespace

std::string_view checksum_algorithm(const FileChecksum& checksum) {
    return std::holds_alternative<Digest>(checksum) ? kSha256 : kCrc32c;
}

std::string checksum_text(const FileChecksum& checksum) {
    if (const Digest* digest = std::get_if<Digest>(&checksum)) return to_hex(*digest);
    std::array<std::uint8_t, sizeof(Crc32c)> bytes{};
    store_le(bytes.data(), std::get<Crc32c>(checksum));
    return to_hex(bytes);
}

Result<FileChecksum> parse_file_checksum(std::string_view algorithm, std::string_view text) {
    const auto bytes = from_hex(text);
    if (algorithm == kCrc32c && bytes && bytes->size() == sizeof(Crc32c))
        return FileChecksum(load_le<Crc32c>(bytes->data()));
    Digest digest{};
    if (algorithm == kSha256 && bytes && bytes->size() == digest.size()) {
        std::copy(bytes->begin(), bytes->end(), digest.begin());
        return FileChecksum(digest);
    }
    return Status(Kind::kCorrupt, quoted(text) + " is no checksum by algorithm " + quoted(algorithm));
}

FileChecksum file_checksum(ByteView content) { return crc32c(content); }

void FileHash::update(ByteView data) {
    if (sha256_)
        sha256_->update(data);
    else
        crc_ = crc32c(data, crc_);
}

FileChecksum FileHash::finish() {
    if (sha256_) return sha256_->finish();
    return crc_;
}

}  // namespace forge::backup
