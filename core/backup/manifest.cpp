#include "core/backup/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/base/text.h"
#include "core/layout/names.h"

namespace forge::backup {
namespace {

using nlohmann::json;

constexpr std::string_view kFileName = "forge_manifest.json";
// Version 1 has "sha256" of a part, of its tar stream: hashing that took longer than compressing it. Versions 1 and 2
// have a SHA-256 of each file, for the same reason no longer.
constexpr std::uint64_t kVersion = 3;
constexpr std::string_view kChecksumMember = "\"Manifest-Checksum\"";
constexpr std::string_view kDigestMember = ",\"sha256\":\"";  // the last member of the document, over all before it

// Text of a JSON string with its quotes.
std::string json_text(std::string_view text) { return json(text).dump(-1, ' ', false, json::error_handler_t::replace); }

Status put(Sink& sink, std::string_view text) { return sink.write(as_bytes(text)); }

// "2026-11-22 09:17:34 GMT", as the server's manifests.
std::string manifest_time(std::int64_t at) {
    std::string text = format_rfc3339(Instant::from_seconds(at), 0);
    std::replace(text.begin(), text.end(), 'T', ' ');
    if (text.ends_with('Z')) text.replace(text.size() - 1, 1, " GMT");
    return text;
}

// Escapes what passes as the inside of a JSON string.
class JsonStringSink final : public Sink {
public:
    explicit JsonStringSink(Sink& next) : next_(next) {}
    Status write(ByteView data) override {
        const std::string text = json_text(as_text(data));
        return put(next_, std::string_view(text).substr(1, text.size() - 2));
    }
    Status finish() override { return {}; }

private:
    Sink& next_;
};

std::string checksum_members(const ManifestFile& file) {
    if (!file.checksum) return "";
    return ", \"Checksum-Algorithm\": \"" + std::string(checksum_algorithm(*file.checksum)) + "\", \"Checksum\": \"" +
           checksum_text(*file.checksum) + "\"";
}

std::string file_line(const ManifestFile& file) {
    return "{ \"Path\": " + json_text(file.path) + ", \"Size\": " + std::to_string(file.size) +
           ", \"Last-Modified\": \"" + manifest_time(file.mtime_seconds) + "\"" + checksum_members(file) + " }";
}

std::string range_line(const WalRange& range) {
    return "{ \"Timeline\": " + std::to_string(range.timeline) + ", \"Start-LSN\": \"" + format_lsn(range.start) +
           "\", \"End-LSN\": \"" + format_lsn(range.end) + "\" }";
}

Status write_body(const FileManifest& manifest, Sink& sink) {
    FORGE_TRY(put(sink, "{ \"PostgreSQL-Backup-Manifest-Version\": " + std::to_string(manifest.version) + ",\n"));
    if (manifest.version >= 2)
        FORGE_TRY(put(sink, "\"System-Identifier\": " + std::to_string(manifest.system_identifier) + ",\n"));
    FORGE_TRY(put(sink, "\"Files\": ["));
    bool first = true;
    for (const ManifestFile& file : manifest.files) {
        FORGE_TRY(put(sink, (first ? "\n" : ",\n") + file_line(file)));
        first = false;
    }
    FORGE_TRY(put(sink, "\n],\n\"WAL-Ranges\": ["));
    first = true;
    for (const WalRange& range : manifest.wal) {
        FORGE_TRY(put(sink, (first ? "\n" : ",\n") + range_line(range)));
        first = false;
    }
    return put(sink, "\n],\n");
}

Status write_names(std::string_view member, const std::vector<std::string>& names, Sink& sink) {
    FORGE_TRY(put(sink, ",\"" + std::string(member) + "\":["));
    for (std::size_t i = 0; i < names.size(); ++i) FORGE_TRY(put(sink, (i > 0 ? "," : "") + json_text(names[i])));
    return put(sink, "]");
}

Status write_parts(const std::vector<ManifestPart>& parts, Sink& sink) {
    FORGE_TRY(put(sink, ",\"parts\":["));
    bool first = true;
    for (const ManifestPart& part : parts) {
        FORGE_TRY(put(sink, std::string(first ? "" : ",") + "{\"name\":" + json_text(part.name) +
                                ",\"stored_size\":" + std::to_string(part.stored_size) +
                                ",\"plain_size\":" + std::to_string(part.plain_size) + ",\"compressed_sha256\":\"" +
                                to_hex(part.sha256) + "\"}"));
        first = false;
    }
    return put(sink, "]");
}

Result<Digest> parse_digest(const std::string& text) {
    const auto bytes = from_hex(text);
    Digest digest{};
    if (!bytes || bytes->size() != digest.size())
        return Status(Kind::kCorrupt, forge::quoted(text) + " is not a SHA-256");
    std::copy(bytes->begin(), bytes->end(), digest.begin());
    return digest;
}

// The checksum covers everything before its own line.
Status check_text(const std::string& text, const json& document) {
    const std::size_t at = text.rfind(kChecksumMember);
    if (at == std::string::npos) return Status(Kind::kCorrupt, "the list of files has no checksum");
    if (to_hex(sha256(as_bytes(std::string_view(text).substr(0, at)))) !=
        document.at("Manifest-Checksum").get<std::string>())
        return Status(Kind::kCorrupt, "the list of files does not match its checksum");
    return {};
}

Result<Lsn> lsn_member(const json& object, const char* name) {
    const auto lsn = parse_lsn(object.at(name).get<std::string>());
    if (!lsn) return Status(Kind::kCorrupt, std::string(name) + " is not an LSN");
    return *lsn;
}

// The library would wrap and round numbers to make them fit.
template <typename T>
Result<T> number_member(const json& object, const char* name) {
    const json& value = object.at(name);
    if (!value.is_number_unsigned() || !std::in_range<T>(value.get<std::uint64_t>()))
        return Status(Kind::kCorrupt, forge::quoted(name) + " is no number that fits");
    return static_cast<T>(value.get<std::uint64_t>());
}

Result<std::int64_t> time_member(const json& object, const char* name) {
    std::string text = object.at(name).get<std::string>();
    if (text.ends_with(" GMT")) text.replace(text.size() - 4, 4, "Z");
    const auto at = parse_time(text);
    if (!at.ok()) return Status(Kind::kCorrupt, forge::quoted(name) + " is no time");
    return at->seconds();
}

Result<FileManifest> parse_file_manifest(const std::string& text) {
    const json document = json::parse(text);
    FORGE_TRY(check_text(text, document));
    FileManifest manifest;
    FORGE_ASSIGN(manifest.version, number_member<int>(document, "PostgreSQL-Backup-Manifest-Version"));
    if (document.contains("System-Identifier")) {
        FORGE_ASSIGN(manifest.system_identifier, number_member<std::uint64_t>(document, "System-Identifier"));
    }
    for (const json& member : document.at("Files")) {
        ManifestFile file;
        file.path = member.at("Path").get<std::string>();
        FORGE_ASSIGN(file.size, number_member<std::uint64_t>(member, "Size"));
        FORGE_ASSIGN(file.mtime_seconds, time_member(member, "Last-Modified"));
        if (member.contains("Checksum")) {
            FORGE_ASSIGN(file.checksum, parse_file_checksum(member.at("Checksum-Algorithm").get<std::string>(),
                                                            member.at("Checksum").get<std::string>()));
        }
        manifest.files.push_back(std::move(file));
    }
    for (const json& member : document.at("WAL-Ranges")) {
        WalRange range;
        FORGE_ASSIGN(range.timeline, number_member<Timeline>(member, "Timeline"));
        FORGE_ASSIGN(range.start, lsn_member(member, "Start-LSN"));
        FORGE_ASSIGN(range.end, lsn_member(member, "End-LSN"));
        manifest.wal.push_back(range);
    }
    if (manifest.wal.empty()) return Status(Kind::kCorrupt, "the list of files names no WAL");
    return manifest;
}

// The digest covers everything before its own member.
Status check_document(std::string_view text) {
    const std::size_t at = text.rfind(kDigestMember);
    if (at == std::string_view::npos ||
        text.substr(at) != std::string(kDigestMember) + to_hex(sha256(as_bytes(text.substr(0, at)))) + "\"}")
        return Status(Kind::kCorrupt, "the manifest does not match its digest");
    return {};
}

Result<Manifest> parse_document(std::string_view text) {
    FORGE_TRY(check_document(text));
    const json document = json::parse(text);
    FORGE_ASSIGN(const auto version, number_member<std::uint64_t>(document, "version"));
    if (version < 1 || version > kVersion)
        return Status(Kind::kInvalid, "the manifest has version " + std::to_string(version),
                      "Restore with a forge_backup at least as new as the one that made the backup.");
    Manifest manifest;
    manifest.backup = document.at("backup").get<std::string>();
    FORGE_ASSIGN(manifest.sentinel_sha256, parse_digest(document.at("sentinel_sha256").get<std::string>()));
    if (document.contains("parent")) {
        const json& parent = document.at("parent");
        manifest.parent = parent.at("backup").get<std::string>();
        FORGE_ASSIGN(manifest.parent_sentinel_sha256, parse_digest(parent.at("sentinel_sha256").get<std::string>()));
        manifest.incremented = document.at("incremented").get<std::vector<std::string>>();
        manifest.skipped = document.at("skipped").get<std::vector<std::string>>();
    }
    for (const json& member : document.at("parts")) {
        ManifestPart part;
        part.name = member.at("name").get<std::string>();
        FORGE_ASSIGN(part.stored_size, number_member<std::uint64_t>(member, "stored_size"));
        FORGE_ASSIGN(part.plain_size, number_member<std::uint64_t>(member, "plain_size"));
        part.of_tar_stream = version == 1;
        const char* const digest = part.of_tar_stream ? "sha256" : "compressed_sha256";
        FORGE_ASSIGN(part.sha256, parse_digest(member.at(digest).get<std::string>()));
        manifest.parts.push_back(std::move(part));
    }
    FORGE_ASSIGN(manifest.files, parse_file_manifest(document.at("backup_manifest").get_ref<const std::string&>()));
    return manifest;
}

}  // namespace

std::string manifest_file_name(codec::Method method) {
    std::string name(kFileName);
    const std::string_view extension = codec::extension(method);
    if (!extension.empty()) name.append(".").append(extension);
    return name;
}

std::string manifest_key(std::string_view backup_name, codec::Method method) {
    return std::string(layout::kBackupsFolder).append(backup_name).append("/") + manifest_file_name(method);
}

std::optional<codec::Method> manifest_method(std::string_view file_name) {
    if (file_name == kFileName) return codec::Method::kNone;
    if (!file_name.starts_with(kFileName) || file_name[kFileName.size()] != '.') return std::nullopt;
    const auto method = codec::method_from_extension(file_name.substr(kFileName.size() + 1));
    return method == codec::Method::kNone ? std::nullopt : method;  // a dot with nothing behind it
}

Status write_file_manifest(const FileManifest& manifest, Sink& sink) {
    StreamDigest digest;
    DigestSink body(std::make_unique<ForwardSink>(sink), digest);
    FORGE_TRY(write_body(manifest, body));
    return put(sink, std::string(kChecksumMember) + ": \"" + to_hex(digest.hash.finish()) + "\"}\n");
}

Status write_manifest(const Manifest& manifest, Sink& sink) {
    StreamDigest digest;
    DigestSink body(std::make_unique<ForwardSink>(sink), digest);
    FORGE_TRY(put(body, "{\"version\":" + std::to_string(kVersion) + ",\"backup\":" + json_text(manifest.backup) +
                            ",\"sentinel_sha256\":\"" + to_hex(manifest.sentinel_sha256) + "\""));
    if (!manifest.parent.empty()) {
        FORGE_TRY(put(body, ",\"parent\":{\"backup\":" + json_text(manifest.parent) + ",\"sentinel_sha256\":\"" +
                                to_hex(manifest.parent_sentinel_sha256) + "\"}"));
        FORGE_TRY(write_names("incremented", manifest.incremented, body));
        FORGE_TRY(write_names("skipped", manifest.skipped, body));
    }
    FORGE_TRY(write_parts(manifest.parts, body));
    FORGE_TRY(put(body, ",\"backup_manifest\":\""));
    JsonStringSink text(body);
    FORGE_TRY(write_file_manifest(manifest.files, text));
    FORGE_TRY(put(body, "\""));
    return put(sink, std::string(kDigestMember) + to_hex(digest.hash.finish()) + "\"}");
}

Result<Manifest> parse_manifest(std::string_view text) {
    try {
        auto manifest = parse_document(text);
        if (manifest.ok() || manifest.status().is(Kind::kInvalid)) return manifest;
        return manifest.status().with_kind(Kind::kCorrupt);
    } catch (const json::exception& error) {
        return Status(Kind::kCorrupt, std::string("the manifest is damaged: ") + error.what());
    }
}

}  // namespace forge::backup
