// The forms in which a place to store is written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace forge::settings {

// Errors of these functions never repeat the text: an address may hold a password that somebody put there.
struct StoragePlace {
    std::string directory;  // absolute, or empty for S3
    std::string bucket;
    std::string prefix;  // without slashes at the ends; may be empty
    std::string url() const;
};
// "s3://bucket/prefix", "file:///dir", "file://localhost/dir" or "/dir".
Result<StoragePlace> parse_storage(std::string_view text);

// "http(s)://host[:port]", or "host[:port]" for https. A slash at the end is dropped.
Result<std::string> parse_endpoint(std::string_view text);

// WALE_S3_ENDPOINT: "scheme+convention://host:port".
struct WaleEndpoint {
    std::string endpoint;
    std::optional<bool> path_style;  // convention "path" or "virtualhost", if there is one
};
Result<WaleEndpoint> parse_wale_endpoint(std::string_view text);

}  // namespace forge::settings
