#include "core/store/s3/client.h"

#include <algorithm>
#include <cstdlib>

#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

constexpr std::size_t kMaxAnswer = 16 << 20;
constexpr std::size_t kMaxErrorAnswer = 64 << 10;
constexpr std::size_t kSignAlways = 64 << 10;  // bodies up to this size are hashed even over https
constexpr milliseconds kShortestThrottle{500};
constexpr int kSlowFactor = 4;

std::string absolute_path(const std::string& bucket, const std::string& key, bool path_style) {
    std::string path = "/";
    if (path_style) path += uri_encode(bucket, false) + (key.empty() ? "" : "/");
    return path + uri_encode(key, true);
}

}  // namespace

Client::Client(S3Options options, Endpoint endpoint, Logger& logger)
    : options_(std::move(options)), endpoint_(std::move(endpoint)),
      path_style_(options_.path_style || needs_path_style(endpoint_, options_.bucket)), logger_(logger),
      http_(HttpOptions{.ca_file = options_.ca_file,
                        .proxy = options_.proxy,
                        .limit = options_.network_limit,
                        .connect_timeout = options_.connect_timeout,
                        .stall_timeout = options_.stall_timeout,
                        .least_rate = options_.least_rate,
                        .idle_connections = options_.connections}),
      region_(options_.region) {}

Instant Client::now() const { return Instant{SystemClock().now().nanos + clock_offset_.load()}; }

std::string Client::region() const {
    const std::lock_guard lock(mutex_);
    return region_;
}

Result<S3Credentials> Client::credentials(const CallContext& context) {
    std::optional<S3Credentials> refused;
    CredentialQuestion question{.context = context, .now = now(), .logger = &logger_};
    {
        const std::lock_guard lock(mutex_);
        if (credentials_ && !denied_ && Steady::now() < credentials_->ask_again) return *credentials_;
        if (denied_) refused = credentials_;
        question.expired = expired_;
    }
    if (refused) question.refused = &*refused;
    // Not under the lock: whoever issues credentials may be far away.
    FORGE_ASSIGN(S3Credentials fresh, options_.credentials(question));
    const std::lock_guard lock(mutex_);
    credentials_ = fresh;
    denied_ = expired_ = false;
    return fresh;
}

HttpRequest Client::build(const Request& request, Progress& progress) const {
    const Endpoint& endpoint = progress.endpoint ? *progress.endpoint : endpoint_;
    std::string host = endpoint.authority();
    bool in_path = path_style_;
    if (progress.endpoint) {
        in_path = host.rfind(options_.bucket + '.', 0) != 0;
    } else if (!path_style_) {
        host = options_.bucket + '.' + host;
    }
    if (progress.payload_hash.empty()) {
        progress.payload_hash = endpoint.https && request.body.size() > kSignAlways ? std::string(kUnsignedPayload)
                                                                                    : sha256_hex(request.body);
    }
    const Instant at = now();
    SignedParts parts{request.method, absolute_path(options_.bucket, request.key, in_path), request.query,
                      request.headers, progress.payload_hash};
    parts.headers.emplace_back("host", host);
    parts.headers.emplace_back("x-amz-date", amz_date(at));
    parts.headers.emplace_back("x-amz-content-sha256", progress.payload_hash);
    if (!progress.credentials.session_token.empty()) {
        parts.headers.emplace_back("x-amz-security-token", progress.credentials.session_token);
    }
    HttpRequest http;
    http.method = request.method;
    http.url = (endpoint.https ? "https://" : "http://") + host + parts.path;
    if (!request.query.empty()) http.url += '?' + canonical_query(request.query);
    http.headers = parts.headers;
    http.headers.emplace_back("authorization", authorization(parts, progress.credentials, {region(), "s3", at}));
    http.body = request.body;
    http.first_byte_timeout = options_.first_byte_timeout * (request.slow ? kSlowFactor : 1);
    http.fresh_connection = progress.fresh_connection;
    return http;
}

Result<std::unique_ptr<HttpExchange>> Client::send(const Request& request, const CallContext& context,
                                                   Progress& progress) {
    progress.transport = HttpFailure::kNone;
    progress.refusal = {};
    FORGE_ASSIGN(progress.credentials, credentials(context));
    HttpClient::Started started = http_.start(build(request, progress), context);
    if (request.trace != nullptr && started.exchange->resent()) request.trace->unknown_outcome = true;
    if (!started.status.ok()) {
        progress.transport = started.exchange->failure();
        return started.status;
    }
    const HttpResponse& response = started.exchange->response();
    if (response.status >= 200 && response.status < 300) return std::move(started.exchange);
    const Result<std::string> body = started.exchange->read_text(kMaxErrorAnswer);
    const std::string text = body.ok() ? *body : std::string();
    progress.refusal = read_refusal(request.method, options_.bucket, response, text, now());
    Status refused = to_status(progress.refusal);
    const std::string& source = progress.credentials.source;
    if (refused.is(Kind::kDenied) && !source.empty() && !is_clock_skew(progress.refusal)) {
        return std::move(refused).with_hint("The credentials come from " + source +
                                            "; allow them to read, write, list and delete below the prefix.");
    }
    return refused;
}

Status Client::with_retries(const Request& request, const CallContext& context, Progress& progress,
                            const Attempt& attempt) {
    Retry retry(retry_policy(), context);
    Status before;
    {
        const std::lock_guard lock(mutex_);
        progress.endpoint = moved_;
    }
    for (;;) {
        Status error;
        milliseconds pause(0);
        {
            Pacer::Turn turn(pacer_);
            FORGE_TRY(turn.begin(context));
            error = attempt(progress);
            if (error.ok()) {
                turn.succeeded();
                return error;
            }
            pause = progress.refusal.retry_after;
            if (error.is(Kind::kThrottled)) {
                pause = std::max(pause, kShortestThrottle);
                turn.throttled(pause);
            }
        }
        note_outcome(request, progress);
        if (error.is(Kind::kDenied)) {
            const std::lock_guard lock(mutex_);
            denied_ = true;
            expired_ = may_have_expired(progress);
        }
        if (put_right(progress, error, context)) continue;
        progress.fresh_connection = progress.transport != HttpFailure::kNone;
        Status decision = retry.next(error, pause);
        if (decision.is(Kind::kTimeout) && context.deadline.passed() && !before.ok()) {
            return std::move(decision).with_context(before.message());  // the cause tells more than the clock
        }
        FORGE_TRY(decision);
        before = error;
        logger_.debug("request to " + quoted(endpoint_.authority()) + " is tried again after: " + error.message());
    }
}

// Could an attempt that failed have been carried out all the same?
void Client::note_outcome(const Request& request, const Progress& progress) {
    if (request.trace == nullptr || progress.transport == HttpFailure::kBeforeSending) return;
    const int status = progress.refusal.http_status;  // 0: no answer, or one of success that failed its check
    if (status == 0 || status >= 500) request.trace->unknown_outcome = true;
}

// The answer to HEAD has no code that would say so.
bool Client::may_have_expired(const Progress& progress) {
    const Refusal& refusal = progress.refusal;
    if (is_expired_token(refusal)) return true;
    return refusal.method == "HEAD" && refusal.http_status == 400 && refusal.error.code.empty() &&
           !progress.credentials.session_token.empty();
}

// What needs no waiting: each cause once for a call. True: send again.
bool Client::put_right(Progress& progress, const Status& error, const CallContext& context) {
    const Refusal& refusal = progress.refusal;
    if (is_clock_skew(refusal) && !progress.corrected_clock) {
        progress.corrected_clock = true;
        return correct_clock(refusal);
    }
    if (is_redirect(refusal) && !progress.redirected) {
        progress.redirected = true;
        return follow_redirect(progress);
    }
    if ((error.is(Kind::kDenied) || may_have_expired(progress)) && refusal.http_status != 0 &&
        !progress.renewed_credentials) {
        progress.renewed_credentials = true;
        return renew_credentials(progress, context);
    }
    return false;
}

bool Client::correct_clock(const Refusal& refusal) {
    if (!refusal.date) return false;
    const std::int64_t offset = refusal.date->nanos - SystemClock().now().nanos;
    const std::int64_t before = clock_offset_.exchange(offset);
    constexpr std::int64_t kMinute = 60'000'000'000;
    if (std::abs(offset - before) > kMinute) {
        logger_.warning(
            "the clock of this host differs by " + format_duration(static_cast<double>(std::abs(offset)) / 1e9) +
            " from that of the store, whose time is used for requests (hint: Set the clock of this host right.)");
    }
    return true;
}

// A mounted secret may have been rotated since it was read, and what was issued may have expired.
bool Client::renew_credentials(const Progress& progress, const CallContext& context) {
    const S3Credentials& used = progress.credentials;
    const Result<S3Credentials> fresh = options_.credentials({.context = context,
                                                              .refused = &used,
                                                              .expired = may_have_expired(progress),
                                                              .now = now(),
                                                              .logger = &logger_});
    if (!fresh.ok()) return false;
    const bool changed = fresh->access_key_id != used.access_key_id ||
                         fresh->secret_access_key != used.secret_access_key ||
                         fresh->session_token != used.session_token;
    if (!changed) return false;
    const std::lock_guard lock(mutex_);
    credentials_ = *fresh;
    denied_ = expired_ = false;
    return true;
}

// One redirect, and only within the endpoint's domain: whoever answers in the store's place must not lead us elsewhere.
bool Client::follow_redirect(Progress& progress) {
    const Refusal& refusal = progress.refusal;
    bool changed = false;
    if (!refusal.error.region.empty()) {
        const std::lock_guard lock(mutex_);
        changed = region_ != refusal.error.region;
        region_ = refusal.error.region;
    }
    std::string target;
    if (!refusal.location.empty()) {
        target = refusal.location.substr(0, refusal.location.find_first_of("/?#", refusal.location.find("://") + 3));
    } else if (!refusal.error.endpoint.empty()) {
        target = (endpoint_.https ? "https://" : "http://") + refusal.error.endpoint;
    } else if (options_.endpoint.empty() && changed) {
        S3Options elsewhere = options_;
        elsewhere.region = refusal.error.region;
        const Result<Endpoint> endpoint = endpoint_of(elsewhere);
        if (!endpoint.ok()) return false;
        target = endpoint->origin();
        if (!path_style_) target.insert(target.find("://") + 3, options_.bucket + '.');
    }
    if (target.empty()) return changed;
    const Result<Endpoint> endpoint = parse_endpoint(target);
    if (!endpoint.ok() || !is_same_domain(endpoint_, *endpoint)) return false;
    progress.endpoint = *endpoint;
    if (refusal.http_status == 301 || refusal.http_status == 308) {
        const std::lock_guard lock(mutex_);
        moved_ = *endpoint;
    }
    return true;
}

Result<Answer> Client::call(const Request& request, const CallContext& context, const Check& check) {
    Progress progress;
    Answer answer;
    FORGE_TRY(with_retries(request, context, progress, [&](Progress& state) -> Status {
        FORGE_ASSIGN(const std::unique_ptr<HttpExchange> exchange, send(request, context, state));
        Result<std::string> body = exchange->read_text(kMaxAnswer);
        if (!body.ok()) {
            state.transport = exchange->failure();
            return body.status();
        }
        answer = {exchange->response(), std::move(*body)};
        return check ? check(answer) : Status();
    }));
    return answer;
}

Result<std::unique_ptr<HttpExchange>> Client::open(const Request& request, const CallContext& context) {
    Progress progress;
    std::unique_ptr<HttpExchange> result;
    FORGE_TRY(with_retries(request, context, progress, [&](Progress& state) -> Status {
        FORGE_ASSIGN(result, send(request, context, state));
        return {};
    }));
    return result;
}

Result<std::unique_ptr<HttpExchange>> Client::reopen(const Request& request, CallContext context) {
    context.max_attempts = 1;
    Progress progress;
    progress.fresh_connection = true;
    std::unique_ptr<HttpExchange> result;
    FORGE_TRY(with_retries(request, context, progress, [&](Progress& state) -> Status {
        FORGE_ASSIGN(result, send(request, context, state));
        return {};
    }));
    return result;
}

}  // namespace forge::store::s3
