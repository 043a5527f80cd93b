// What an answer of an S3 server means: status and error code to the kinds that callers act on. Never decided by the
// server's name.
#pragma once

#include <string>

#include "core/store/s3/http_client.h"
#include "core/store/s3/xml.h"

namespace forge::store::s3 {

// An answer that is not success.
struct Refusal {
    int http_status = 0;
    std::string method;
    std::string bucket;
    ErrorAnswer error;            // code empty: no S3 error document came with it
    milliseconds retry_after{0};  // what the store asks for, bounded
    std::optional<Instant> date;  // the server's clock
    std::string location;         // of a redirect
};

// `body` may be empty (HEAD has none).
Refusal read_refusal(const std::string& method, const std::string& bucket, const HttpResponse& response,
                     std::string_view body, Instant now);

// The text ends with "(403 AccessDenied, request id …)". A 404 is kNotFound for code NoSuchKey alone; one without a
// code is kInternal with http_status() 404 for a HEAD, whose caller has to ask again by a request that has a body.
Status to_status(const Refusal& refusal);

// Distinctions that are not kinds, since only the client itself acts on them.
bool is_clock_skew(const Refusal& refusal);
bool is_expired_token(const Refusal& refusal);
bool is_redirect(const Refusal& refusal);
// The store does not know this kind of request or header.
bool is_unsupported(const Status& status);

}  // namespace forge::store::s3
