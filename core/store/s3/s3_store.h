// An S3 bucket (any S3-compatible server) as a store, over libcurl with our own Signature Version 4.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/base/rate_limiter.h"
#include "core/store/object_store.h"

namespace forge::store {

struct S3Credentials {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token{};  // empty if none
    std::string source{};         // where they were issued, for messages; empty if they are written down somewhere
    Steady::time_point ask_again = Steady::time_point::max();  // before they expire

    bool operator==(const S3Credentials&) const = default;
};

// What the client knows when it asks for credentials.
struct CredentialQuestion {
    CallContext context{};                   // the asking may take that long, and can be cancelled
    const S3Credentials* refused = nullptr;  // the store did not accept these
    bool expired = false;                    // because they have expired
    Instant now = SystemClock().now();       // the store's clock, as far as it is known
    Logger* logger = nullptr;
};

struct S3Options {
    std::string bucket;
    std::string prefix;    // no leading or trailing slash; may be empty
    std::string endpoint;  // "https://host[:port]"; empty = AWS of the region
    std::string region = "us-east-1";
    bool path_style = false;
    std::string ca_file;                 // PEM bundle; empty = the system's
    std::string storage_class;           // x-amz-storage-class, empty = not sent
    std::string server_side_encryption;  // "AES256" or "aws:kms"; empty = not sent
    std::string kms_key_id;
    // Asked again before every retry after a denial, so that rotated credentials are picked up without a restart, and
    // when they say so themselves. Thread-safe.
    std::function<Result<S3Credentials>(const CredentialQuestion&)> credentials;
    // State of credentials that are issued, for people; empty function if they are written down.
    std::function<std::string()> describe_credentials;
    std::shared_ptr<RateLimiter> network_limit;  // null = none
    // First part size of a multipart upload, the least that S3 allows; it grows so that 10000 parts suffice for 4.8 TiB.
    std::uint64_t part_size = 5 << 20;
    milliseconds connect_timeout{3000};
    milliseconds first_byte_timeout{15000};
    milliseconds stall_timeout{20000};    // no byte in either direction for that long
    std::uint64_t least_rate = 0;         // of answers, bytes a second; 0 = any
    milliseconds retry_first_delay{200};  // backoff doubles from here, with full jitter
    milliseconds retry_max_delay{10000};
    milliseconds retry_time = milliseconds::max();  // after that much without progress no request is tried again
    int connections = 16;                           // idle ones kept at most
    std::string proxy;                              // "http://host:port"; empty = none, whatever the environment says
};

// No network happens here. kInvalid where the options cannot work (bad endpoint URL, empty bucket).
Result<std::unique_ptr<ObjectStore>> open_s3_store(S3Options options, Logger& logger);

}  // namespace forge::store
