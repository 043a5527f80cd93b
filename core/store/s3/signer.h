// AWS Signature Version 4, for requests that carry their signature in the Authorization header. Every header given is
// signed. Pure functions; tested against the published examples.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/store/s3/s3_store.h"

namespace forge::store::s3 {

using NameValues = std::vector<std::pair<std::string, std::string>>;

// Value of x-amz-content-sha256 for a body whose digest is not part of the signature.
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

struct SignedParts {
    std::string method;
    std::string path;          // percent-encoded, as it is sent
    NameValues query;          // not encoded
    NameValues headers;        // names in lower case; host and x-amz-date must be there
    std::string payload_hash;  // lower-case hex of the body's SHA-256, or kUnsignedPayload
};

struct SigningScope {
    std::string region;
    std::string service = "s3";
    Instant at;
};

// Percent-encodes all but A-Z a-z 0-9 - . _ ~ (and "/" where `keep_slash`).
std::string uri_encode(std::string_view text, bool keep_slash);
// Encoded and sorted; as signed and as sent.
std::string canonical_query(const NameValues& query);
std::string canonical_request(const SignedParts& parts);
// "20130524T000000Z"
std::string amz_date(Instant at);
// The value of the Authorization header.
std::string authorization(const SignedParts& parts, const S3Credentials& credentials, const SigningScope& scope);

std::string sha256_hex(ByteView data);
// Empty where the crypto library refuses MD5.
Bytes md5(ByteView data);

}  // namespace forge::store::s3
