#include "core/settings/storage_url.h"

#include <algorithm>

#include "core/base/text.h"

namespace forge::settings {

namespace {

constexpr std::string_view kStorageForms =
    "Write \"s3://bucket/prefix\" for a bucket, or \"file:///directory\" for a directory.";
constexpr std::string_view kEndpointForm = "Write it as in \"https://s3.example.com:9000\".";

Status invalid(std::string_view text, std::string_view hint) {
    return Status(Kind::kInvalid, std::string(text), std::string(hint));
}

bool has_only(std::string_view text, std::string_view more) {
    return std::all_of(text.begin(), text.end(), [more](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               more.find(c) != std::string_view::npos;
    });
}

bool has_dots_part(std::string_view path) {
    const auto parts = split(path, '/');
    return std::any_of(parts.begin(), parts.end(), [](const std::string& p) { return p == "." || p == ".."; });
}

std::string_view without_slashes(std::string_view text) {
    while (text.starts_with('/')) text.remove_prefix(1);
    while (text.ends_with('/')) text.remove_suffix(1);
    return text;
}

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<StoragePlace> parse_bucket(std::string_view rest) {
    const std::size_t slash = rest.find('/');
    StoragePlace place;
    place.bucket = rest.substr(0, slash);
    if (place.bucket.empty()) return invalid("the storage names no bucket", kStorageForms);
    if (!has_only(place.bucket, "._-")) {
        return invalid("the bucket's name has characters that no bucket has", kStorageForms);
    }
    if (slash != std::string_view::npos) place.prefix = without_slashes(rest.substr(slash));
    // Servers and proxies resolve dots in paths; the signature would not fit, or worse, another prefix would be meant.
    if (has_dots_part(place.prefix) || place.prefix.find("//") != std::string::npos) {
        return invalid("the storage's prefix has an empty part, or \".\" or \"..\" in it", kStorageForms);
    }
    return place;
}

Result<StoragePlace> parse_directory(std::string_view path) {
    if (!path.starts_with('/')) return invalid("the storage is not an absolute directory", kStorageForms);
    while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
    if (path == "/") return invalid("the storage is the root directory", kStorageForms);
    StoragePlace place;
    place.directory = path;
    return place;
}

Result<StoragePlace> parse_place(std::string_view text) {
    constexpr std::string_view kS3 = "s3://";
    constexpr std::string_view kFile = "file://";
    constexpr std::string_view kLocalhost = "localhost/";
    if (has_control_characters(text)) return invalid("the storage has control characters in it", kStorageForms);
    if (text.starts_with(kS3)) return parse_bucket(text.substr(kS3.size()));
    if (text.starts_with(kFile)) {
        text.remove_prefix(kFile.size());
        if (text.starts_with(kLocalhost)) text.remove_prefix(kLocalhost.size() - 1);
        return parse_directory(text);
    }
    if (text.find("://") != std::string_view::npos) {
        return invalid("the storage is of a kind that is not known", kStorageForms);
    }
    return parse_directory(text);
}

// "host", "host:port", "[address]:port".
bool is_host(std::string_view text) {
    std::string_view port;
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        if (end == std::string_view::npos || !has_only(text.substr(1, end - 1), ":.") || end == 1) return false;
        port = text.substr(end + 1);
    } else {
        const std::size_t colon = text.find(':');
        if (colon == 0 || text.empty() || !has_only(text.substr(0, colon), "._-")) return false;
        if (colon != std::string_view::npos) port = text.substr(colon);
    }
    if (port.empty()) return true;
    const auto number = parse_number<std::uint16_t>(port.substr(1));
    return port.front() == ':' && number && *number > 0;
}

}  // namespace

std::string StoragePlace::url() const {
    if (!directory.empty()) return "file://" + directory;
    return "s3://" + bucket + (prefix.empty() ? "" : "/" + prefix);
}

Result<StoragePlace> parse_storage(std::string_view text) {
    auto place = parse_place(text);
    // The value goes into the message, unless it may hold what nobody should read.
    const bool may_be_shown = text.find_first_of("@?") == std::string_view::npos && !has_control_characters(text);
    if (place.ok() || !may_be_shown || text.empty()) return place;
    return place.status().with_context(quoted(text));
}

Result<std::string> parse_endpoint(std::string_view text) {
    std::string_view scheme = "https";
    std::string_view host = text;
    if (const std::size_t mark = text.find("://"); mark != std::string_view::npos) {
        scheme = text.substr(0, mark);
        host = text.substr(mark + 3);
    }
    if (scheme != "https" && scheme != "http")
        return invalid("the S3 endpoint is not an http or https URL", kEndpointForm);
    if (host.find('@') != std::string_view::npos) {
        return invalid("the S3 endpoint has a user name in it",
                       "Credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.");
    }
    while (host.ends_with('/')) host.remove_suffix(1);
    if (!is_host(host)) return invalid("the S3 endpoint is no host with an optional port", kEndpointForm);
    return std::string(scheme) + "://" + std::string(host);
}

Result<WaleEndpoint> parse_wale_endpoint(std::string_view text) {
    constexpr std::string_view kForm = "Write it as in \"https+path://s3.example.com:9000\".";
    WaleEndpoint result;
    std::string plain(text);
    const std::size_t mark = text.find("://");
    const std::size_t plus = text.find('+');
    if (mark != std::string_view::npos && plus < mark) {
        const std::string_view convention = text.substr(plus + 1, mark - plus - 1);
        if (convention != "path" && convention != "virtualhost") {
            return invalid("the convention behind the \"+\" is neither \"path\" nor \"virtualhost\"", kForm);
        }
        result.path_style = convention == "path";
        plain.erase(plus, mark - plus);
    }
    FORGE_ASSIGN(result.endpoint, parse_endpoint(plain));
    return result;
}

}  // namespace forge::settings
