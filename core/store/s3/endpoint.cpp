#include "core/store/s3/endpoint.h"


#include <algorithm>
#include <cctype>
#include <memory>
#include <string_view>

#include "core/base/text.h"
#include "core/store/s3/libcurl.h"

namespace forge::store::s3 {

namespace {

std::string part_of(CURLU* url, CURLUPart part) {
    char* text = nullptr;
    if (curl_url_get(url, part, &text, 0) != CURLUE_OK) return {};
    std::string result = text;
    curl_free(text);
    return result;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_address(std::string_view host) {
    if (host.empty() || host.front() == '[') return true;
    return std::all_of(host.begin(), host.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

bool is_aws(std::string_view host) { return ends_with(host, ".amazonaws.com") || ends_with(host, ".amazonaws.com.cn"); }

}  // namespace

std::string Endpoint::authority() const { return port == 0 ? host : host + ':' + std::to_string(port); }

std::string Endpoint::origin() const { return (https ? "https://" : "http://") + authority(); }

Result<Endpoint> parse_endpoint(const std::string& url) {
    // The text is not repeated in the message: it might hold a password.
    const Status bad(Kind::kInvalid, "the endpoint of the store is not of the form \"https://host[:port]\"",
                     "Correct forge_backup.s3_endpoint or AWS_ENDPOINT.");
    const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
    if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return bad;
    Endpoint endpoint;
    const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME);
    if (scheme != "http" && scheme != "https") return bad;
    endpoint.https = scheme == "https";
    endpoint.host = to_lower(part_of(parsed.get(), CURLUPART_HOST));
    const std::string path = part_of(parsed.get(), CURLUPART_PATH);
    const bool plain = (path.empty() || path == "/") && part_of(parsed.get(), CURLUPART_QUERY).empty() &&
                       part_of(parsed.get(), CURLUPART_FRAGMENT).empty() &&
                       part_of(parsed.get(), CURLUPART_USER).empty() &&
                       part_of(parsed.get(), CURLUPART_PASSWORD).empty();
    if (!plain || endpoint.host.empty()) return bad;
    if (const std::string port = part_of(parsed.get(), CURLUPART_PORT); !port.empty()) {
        endpoint.port = parse_number<int>(port).value_or(0);
        if (endpoint.port == (endpoint.https ? 443 : 80)) endpoint.port = 0;
    }
    return endpoint;
}

Result<Endpoint> endpoint_of(const S3Options& options) {
    if (!options.endpoint.empty()) return parse_endpoint(options.endpoint);
    const bool china = options.region.rfind("cn-", 0) == 0;
    return parse_endpoint("https://s3." + options.region + (china ? ".amazonaws.com.cn" : ".amazonaws.com"));
}

bool needs_path_style(const Endpoint& endpoint, const std::string& bucket) {
    if (is_address(endpoint.host) || endpoint.host == "localhost") return true;
    if (endpoint.https && bucket.find('.') != std::string::npos) return true;  // no wildcard certificate covers it
    return !std::all_of(bucket.begin(), bucket.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
    });
}

bool is_same_domain(const Endpoint& from, const Endpoint& to) {
    if (from.https && !to.https) return false;
    return to.host == from.host || ends_with(to.host, '.' + from.host) || (is_aws(from.host) && is_aws(to.host));
}

}  // namespace forge::store::s3
