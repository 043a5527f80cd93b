#include "core/store/s3/errors.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

constexpr milliseconds kLongestRetryAfter{60000};

constexpr const char* kKeyHint = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.";
constexpr const char* kAccessHint = "Allow the key named by AWS_ACCESS_KEY_ID to read, write, list and delete below "
                                    "the prefix, or correct AWS_ACCESS_KEY_ID and "
                                    "AWS_SECRET_ACCESS_KEY.";
constexpr const char* kKeyServiceText = "the key service of the store does not let its key be used";
constexpr const char* kKeyServiceHint =
    "Enable the key that the bucket or the storage settings name, and allow the access key to use it.";
constexpr const char* kEndpointHint = "Check that the endpoint is that of an S3 server.";
constexpr const char* kRegionHint = "Correct the region and the endpoint of the store.";

// What a code means, whatever the HTTP status says (inside a 200 answer there is no other).
struct Meaning {
    std::string_view code;
    Kind kind;
    std::string_view text;
    std::string_view hint;
};

constexpr std::array kMeanings{
    Meaning{"NoSuchKey", Kind::kNotFound, "object does not exist", ""},
    Meaning{"NoSuchBucket", Kind::kInvalid, "",
            "Create the bucket, or correct the storage setting, the endpoint and the region."},
    Meaning{"NoSuchUpload", Kind::kInternal, "the multipart upload is gone", ""},
    Meaning{"SignatureDoesNotMatch", Kind::kDenied, "the store does not accept the secret key", kKeyHint},
    Meaning{"InvalidAccessKeyId", Kind::kDenied, "the store does not know the access key", kKeyHint},
    Meaning{"XAdminUserNotFound", Kind::kDenied, "the store does not know the access key", kKeyHint},
    Meaning{"InvalidToken", Kind::kDenied, "the store does not accept the session token",
            "Check AWS_SESSION_TOKEN, and that it belongs to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."},
    Meaning{"ExpiredToken", Kind::kDenied, "the session token has expired",
            "Renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."},
    Meaning{"ExpiredTokenException", Kind::kDenied, "the session token has expired",
            "Renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."},
    Meaning{"TokenRefreshRequired", Kind::kDenied, "the session token has expired",
            "Renew AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."},
    Meaning{"AccessDenied", Kind::kDenied, "access denied", kAccessHint},
    Meaning{"AllAccessDisabled", Kind::kDenied, "access denied", kAccessHint},
    Meaning{"AccountProblem", Kind::kDenied, "access denied", kAccessHint},
    Meaning{"RequestTimeTooSkewed", Kind::kDenied, "the clocks of this host and of the store differ too much",
            "Set the clock of this host right."},
    Meaning{"KMS.DisabledException", Kind::kDenied, kKeyServiceText, kKeyServiceHint},
    Meaning{"KMS.KMSInvalidStateException", Kind::kDenied, kKeyServiceText, kKeyServiceHint},
    Meaning{"KMS.NotFoundException", Kind::kDenied, kKeyServiceText, kKeyServiceHint},
    Meaning{"KMS.AccessDeniedException", Kind::kDenied, kKeyServiceText, kKeyServiceHint},
    Meaning{"InvalidObjectState", Kind::kInvalid, "the object is in an archive tier and cannot be read",
            "A lifecycle rule of the bucket moved it (to Glacier, for example); restore the object there first, and "
            "exempt the "
            "prefix from the rule."},
    Meaning{"QuotaExceeded", Kind::kExhausted, "the store is full",
            "Raise the quota of the bucket or delete old backups."},
    Meaning{"XMinioStorageFull", Kind::kExhausted, "the store is full",
            "Add space to the store or delete old backups."},
    Meaning{"StorageFull", Kind::kExhausted, "the store is full", "Add space to the store or delete old backups."},
    Meaning{"SlowDown", Kind::kThrottled, "the store asks to slow down", ""},
    Meaning{"TooManyRequests", Kind::kThrottled, "the store asks to slow down", ""},
    Meaning{"RequestLimitExceeded", Kind::kThrottled, "the store asks to slow down", ""},
    Meaning{"Throttling", Kind::kThrottled, "the store asks to slow down", ""},
    Meaning{"ThrottlingException", Kind::kThrottled, "the store asks to slow down", ""},
    Meaning{"InternalError", Kind::kUnavailable, "internal error of the store", ""},
    Meaning{"ServiceUnavailable", Kind::kUnavailable, "the store is not available", ""},
    Meaning{"OperationAborted", Kind::kUnavailable, "another operation on the object is under way", ""},
    Meaning{"ConditionalRequestConflict", Kind::kUnavailable, "another operation on the object is under way", ""},
    Meaning{"RequestTimeout", Kind::kUnavailable, "the store waited too long for the request", ""},
    Meaning{"IncompleteBody", Kind::kUnavailable, "the request arrived incomplete", ""},
    Meaning{"BadDigest", Kind::kUnavailable, "the content arrived damaged", ""},
    Meaning{"XAmzContentSHA256Mismatch", Kind::kUnavailable, "the content arrived damaged", ""},
    Meaning{"PreconditionFailed", Kind::kAlreadyExists, "an object with this key exists", ""},
    Meaning{"InvalidRange", Kind::kInvalid, "range starts behind the end of the object", ""},
    Meaning{"NotImplemented", Kind::kInvalid, "the store does not support this request", ""},
    Meaning{"MethodNotAllowed", Kind::kInvalid, "the store does not support this request", ""},
    Meaning{"PermanentRedirect", Kind::kInvalid, "the bucket is served elsewhere", kRegionHint},
    Meaning{"TemporaryRedirect", Kind::kInvalid, "the bucket is served elsewhere", kRegionHint},
    Meaning{"AuthorizationHeaderMalformed", Kind::kInvalid, "the store does not accept the signature's form",
            kRegionHint},
};

// By the status, for answers whose code is unknown or missing.
Meaning by_status(int status, bool has_code) {
    switch (status) {
        case 401:
        case 403: return {"", Kind::kDenied, "access denied", kAccessHint};
        case 404:
            // Some servers answer an unknown user like this; a web server or proxy has no code at all.
            if (has_code) return {"", Kind::kDenied, "the store refused the request", kKeyHint};
            return {"", Kind::kInternal, "the answer does not look like that of an S3 server", kEndpointHint};
        case 405:
        case 501: return {"", Kind::kInvalid, "the store does not support this request", ""};
        case 408:
        case 409:
        case 425:
        case 499: return {"", Kind::kUnavailable, "the store could not carry out the request", ""};
        case 412: return {"", Kind::kAlreadyExists, "an object with this key exists", ""};
        case 416: return {"", Kind::kInvalid, "range starts behind the end of the object", ""};
        case 429: return {"", Kind::kThrottled, "the store asks to slow down", ""};
        case 507: return {"", Kind::kExhausted, "the store is full", "Add space to the store or delete old backups."};
        default: break;
    }
    if (status >= 500) return {"", Kind::kUnavailable, "the store is not available", ""};
    if (status >= 400) return {"", Kind::kInvalid, "the store refused the request", ""};
    if (status >= 300) return {"", Kind::kInvalid, "the store redirects elsewhere", kRegionHint};
    // An error document in an answer of success: the store failed after it had sent the header.
    if (has_code) return {"", Kind::kUnavailable, "the store could not carry out the request", ""};
    return {"", Kind::kUnavailable, "the answer does not look like that of an S3 server", kEndpointHint};
}

// The store's own words, fit for one log line.
std::string printable(std::string_view text, std::size_t limit) {
    std::string result;
    for (const char c : text.substr(0, limit)) result += std::iscntrl(static_cast<unsigned char>(c)) != 0 ? ' ' : c;
    return result;
}

milliseconds retry_after(const HttpResponse& response, Instant now) {
    const std::string value = response.header("retry-after");
    if (value.empty()) return milliseconds(0);
    milliseconds pause(0);
    if (const auto whole = parse_number<std::uint32_t>(trim(value))) {
        pause = seconds(*whole);
    } else if (const auto at = parse_http_date(value)) {
        pause = milliseconds(at->nanos / 1'000'000 - now.nanos / 1'000'000);
    }
    return std::clamp(pause, milliseconds(0), kLongestRetryAfter);
}

// The server's clock, unless it is so wrong that it says nothing: the difference to ours must be a number.
std::optional<Instant> clock_of(const HttpResponse& response) {
    constexpr std::int64_t kYear2000 = 946'684'800, kYear2200 = 7'258'118'400;
    const auto at = parse_http_date(response.header("date"));
    if (!at || at->seconds() < kYear2000 || at->seconds() >= kYear2200) return std::nullopt;
    return at;
}

}  // namespace

Refusal read_refusal(const std::string& method, const std::string& bucket, const HttpResponse& response,
                     std::string_view body, Instant now) {
    Refusal refusal;
    refusal.http_status = response.status;
    refusal.method = method;
    refusal.bucket = bucket;
    if (auto error = parse_error(body)) refusal.error = std::move(*error);
    if (refusal.error.request_id.empty()) refusal.error.request_id = response.header("x-amz-request-id");
    if (const std::string region = response.header("x-amz-bucket-region"); !region.empty())
        refusal.error.region = region;
    refusal.retry_after = retry_after(response, now);
    refusal.date = clock_of(response);
    refusal.location = response.header("location");
    return refusal;
}

Status to_status(const Refusal& refusal) {
    const std::string& code = refusal.error.code;
    Meaning meaning = by_status(refusal.http_status, !code.empty());
    bool known = false;
    for (const Meaning& entry : kMeanings) {
        if (entry.code != code) continue;
        meaning = entry;
        known = true;
    }
    std::string text(meaning.text);
    if (code == "NoSuchBucket") text = "bucket " + quoted(refusal.bucket) + " does not exist";
    text += " (" + std::to_string(refusal.http_status);
    if (!code.empty()) text += " " + printable(code, 64);
    if (!known && !refusal.error.message.empty()) text += ": " + printable(refusal.error.message, 160);
    if (!refusal.error.request_id.empty()) text += ", request id " + printable(refusal.error.request_id, 80);
    text += ")";
    return Status(meaning.kind, std::move(text), std::string(meaning.hint))
        .with_http(refusal.http_status, code, refusal.error.request_id);
}

bool is_clock_skew(const Refusal& refusal) { return refusal.error.code == "RequestTimeTooSkewed"; }

bool is_expired_token(const Refusal& refusal) {
    const std::string& code = refusal.error.code;
    return code == "ExpiredToken" || code == "ExpiredTokenException" || code == "TokenRefreshRequired";
}

bool is_redirect(const Refusal& refusal) {
    const int status = refusal.http_status;
    return status == 301 || status == 302 || status == 307 || status == 308 ||
           (status == 400 && refusal.error.code == "AuthorizationHeaderMalformed");
}

bool is_unsupported(const Status& status) {
    const int http = status.http_status();
    return http == 501 || http == 405 || (http == 400 && status.is(Kind::kInvalid)) ||
           status.store_code() == "NotImplemented";
}

}  // namespace forge::store::s3
