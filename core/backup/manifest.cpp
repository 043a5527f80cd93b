#include "core/backup/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/backup/manifest_format.h"
#include "core/base/text.h"
#include "core/layout/names.h"

namespace forge::backup {
namespace {

using nlohmann::json;

constexpr std::string_view kFileName = "forge_manifest.json";

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

Status write_body(const FileManifest& manifest, const NextFile& next, Sink& sink) {
    FORGE_TRY(put(sink, "{ \"PostgreSQL-Backup-Manifest-Version\": " + std::to_string(manifest.version) + ",\n"));
    if (manifest.version >= 2)
        FORGE_TRY(put(sink, "\"System-Identifier\": " + std::to_string(manifest.system_identifier) + ",\n"));
    FORGE_TRY(put(sink, "\"Files\": ["));
    bool first = true;
    for (ManifestFile file; next(file); first = false) FORGE_TRY(put(sink, (first ? "\n" : ",\n") + file_line(file)));
    FORGE_TRY(put(sink, "\n],\n\"WAL-Ranges\": ["));
    first = true;
    for (const WalRange& range : manifest.wal) {
        FORGE_TRY(put(sink, (first ? "\n" : ",\n") + range_line(range)));
        first = false;
    }
    return put(sink, "\n],\n");
}

Status write_paths(std::string_view member, const NextPath& next, Sink& sink) {
    FORGE_TRY(put(sink, ",\"" + std::string(member) + "\":["));
    bool first = true;
    for (std::string_view path; next(path); first = false) FORGE_TRY(put(sink, (first ? "" : ",") + json_text(path)));
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

Status write_file_manifest(const FileManifest& manifest, const NextFile& next, Sink& sink) {
    StreamDigest digest;
    DigestSink body(std::make_unique<ForwardSink>(sink), digest);
    FORGE_TRY(write_body(manifest, next, body));
    return put(sink, std::string(kChecksumMember) + to_hex(digest.hash.finish()) + std::string(kChecksumEnd));
}

Status write_manifest(const Manifest& manifest, const ManifestLists& lists, Sink& sink) {
    StreamDigest digest;
    DigestSink body(std::make_unique<ForwardSink>(sink), digest);
    FORGE_TRY(put(body, "{\"version\":" + std::to_string(kManifestVersion) +
                            ",\"backup\":" + json_text(manifest.backup) + ",\"sentinel_sha256\":\"" +
                            to_hex(manifest.sentinel_sha256) + "\""));
    if (!manifest.parent.empty()) {
        FORGE_TRY(put(body, ",\"parent\":{\"backup\":" + json_text(manifest.parent) + ",\"sentinel_sha256\":\"" +
                                to_hex(manifest.parent_sentinel_sha256) + "\"}"));
        FORGE_TRY(write_paths("incremented", lists.incremented, body));
        FORGE_TRY(write_paths("skipped", lists.skipped, body));
    }
    FORGE_TRY(write_parts(manifest.parts, body));
    FORGE_TRY(put(body, kListMember));
    JsonStringSink text(body);
    FORGE_TRY(write_file_manifest(manifest.files, lists.files, text));
    FORGE_TRY(put(body, "\""));
    return put(sink, std::string(kDigestMember) + to_hex(digest.hash.finish()) + std::string(kDigestEnd));
}

}  // namespace forge::backup
