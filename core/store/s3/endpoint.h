// Where a bucket is reached, and how its keys become URLs.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/store/s3/s3_store.h"

namespace forge::store::s3 {

struct Endpoint {
    bool https = true;
    std::string host;  // as in a URL, IPv6 in brackets
    int port = 0;      // 0 = the scheme's own

    std::string authority() const;  // "host[:port]", as the Host header has it
    std::string origin() const;     // "https://host[:port]"
};

// kInvalid for anything but "http[s]://host[:port][/]".
Result<Endpoint> parse_endpoint(const std::string& url);
// The endpoint that the options name: their own, or that of the region on AWS.
Result<Endpoint> endpoint_of(const S3Options& options);

// Whether the bucket goes into the path although the options prefer the host name: addresses have no sub-domains, and
// not every bucket name can be a part of a host name.
bool needs_path_style(const Endpoint& endpoint, const std::string& bucket);

// True if a redirect from `from` to the host `to` stays with the same operator: the same host or one below it, or both
// on AWS.
bool is_same_domain(const Endpoint& from, const Endpoint& to);

}  // namespace forge::store::s3
