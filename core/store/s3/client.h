// Signed requests to one bucket, with everything that can be put right without the caller: retries with backoff, a
// wrong clock, rotated credentials, a redirect to the bucket's region, a store that asks to slow down. Thread-safe.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/store/retry.h"
#include "core/store/s3/endpoint.h"
#include "core/store/s3/errors.h"
#include "core/store/s3/http_client.h"
#include "core/store/s3/pacer.h"
#include "core/store/s3/signer.h"

namespace forge::store::s3 {

// What happened on the way to an answer, for callers to whom it matters.
struct Trace {
    bool unknown_outcome = false;  // an earlier attempt may have been carried out although no answer came
    bool damaged = false;          // an attempt was carried out, and the store says it received other content
};

struct Request {
    std::string method;
    std::string key;  // in the bucket, prefix included; empty = the bucket itself
    NameValues query{};
    NameValues headers{};  // names in lower case
    ByteView body{};       // must outlive the call, and the exchange of open()
    bool slow = false;     // the store may think for long before it answers
    Trace* trace = nullptr;
};

struct Answer {
    HttpResponse response;
    std::string body;
};

class Client {
public:
    Client(S3Options options, Endpoint endpoint, Logger& logger);

    // Checks an answer of success; its failure counts as that of the attempt: retried where the kind says so.
    using Check = std::function<Status(const Answer&)>;
    // The whole answer in memory: at most 16 MiB.
    Result<Answer> call(const Request& request, const CallContext& context, const Check& check = {});
    // An answer of success whose body is still to be read.
    Result<std::unique_ptr<HttpExchange>> open(const Request& request, const CallContext& context);
    // Only one attempt on a connection of its own; for those who count attempts themselves.
    Result<std::unique_ptr<HttpExchange>> reopen(const Request& request, CallContext context);

    const S3Options& options() const { return options_; }
    RetryPolicy retry_policy() const {
        return {options_.retry_first_delay, options_.retry_max_delay, options_.retry_time};
    }
    // The store's clock, as far as it is known.
    Instant now() const;

private:
    // One attempt as the call goes on: what has been tried to put things right.
    struct Progress {
        std::string payload_hash;
        bool fresh_connection = false;
        bool corrected_clock = false;
        bool renewed_credentials = false;
        bool redirected = false;
        std::optional<Endpoint> endpoint;  // of a redirect: the full host
        S3Credentials credentials;         // used by the attempt
        HttpFailure transport = HttpFailure::kNone;
        Refusal refusal;  // when the store answered
    };
    using Attempt = std::function<Status(Progress&)>;

    Status with_retries(const Request& request, const CallContext& context, Progress& progress, const Attempt& attempt);
    Result<std::unique_ptr<HttpExchange>> send(const Request& request, const CallContext& context, Progress& progress);
    HttpRequest build(const Request& request, Progress& progress) const;
    static void note_outcome(const Request& request, const Progress& progress);
    bool put_right(Progress& progress, const Status& error, const CallContext& context);
    static bool may_have_expired(const Progress& progress);
    bool correct_clock(const Refusal& refusal);
    bool renew_credentials(const Progress& progress, const CallContext& context);
    bool follow_redirect(Progress& progress);
    Result<S3Credentials> credentials(const CallContext& context);
    std::string region() const;

    S3Options options_;
    Endpoint endpoint_;
    bool path_style_;
    Logger& logger_;
    HttpClient http_;
    mutable std::mutex mutex_;
    std::string region_;
    std::optional<S3Credentials> credentials_;
    std::optional<Endpoint> moved_;  // by a permanent redirect
    bool denied_ = false;            // by the last answer: the sources are read again before the next request
    bool expired_ = false;           // that was why
    std::atomic<std::int64_t> clock_offset_{0};  // nanoseconds the store is ahead
    Pacer pacer_;
};

}  // namespace forge::store::s3
