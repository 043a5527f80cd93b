// HTTP/1.1 requests over libcurl, one file that knows libcurl. Knows nothing of S3.
//
// An HttpClient keeps idle connections (with their TLS sessions) for reuse and is thread-safe; an HttpExchange, one
// request and its answer, belongs to one thread. No thread is started: bytes move while the caller waits in start() or
// read(), so an answer's body is held back by the network, not in memory, while nobody reads it.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/rate_limiter.h"
#include "core/store/object_store.h"

namespace forge::store::s3 {

struct HttpOptions {
    std::string ca_file;  // PEM bundle; empty = the system's
    std::string proxy;    // empty = none, whatever the environment says
    std::shared_ptr<RateLimiter> limit;
    milliseconds connect_timeout{3000};  // name resolution, TCP and TLS
    milliseconds stall_timeout{20000};   // no byte in either direction while more are due
    std::uint64_t least_rate = 0;        // of an answer's body, bytes a second once it had two seconds; 0 = any
    int idle_connections = 16;
};

struct HttpRequest {
    std::string method;
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    ByteView body;                           // must outlive the exchange
    milliseconds first_byte_timeout{15000};  // from the last byte of the request to the first of the answer
    bool fresh_connection = false;           // because the one used before may be dead
};

struct HttpResponse {
    int status = 0;
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    // Empty if the header is missing; the last one if there are several.
    std::string header(std::string_view name) const;
};

// Why an exchange failed, as far as the caller acts differently.
enum class HttpFailure {
    kNone,
    kBeforeSending,   // the server cannot have seen the request
    kUnknownOutcome,  // it may have been carried out
    kShortBody,       // the connection was closed before the announced end of the answer
};

class CurlSlot;

class HttpExchange {
public:
    ~HttpExchange();
    HttpExchange(const HttpExchange&) = delete;
    HttpExchange& operator=(const HttpExchange&) = delete;

    const HttpResponse& response() const;
    // The answer's body: 0 at its end. Fails when it does not come to its announced end (kUnavailable, failure() says
    // so).
    Result<std::size_t> read(MutableBytes buffer);
    // What is left of the body; kInternal above `limit`.
    Result<std::string> read_text(std::size_t limit);
    HttpFailure failure() const;
    // The request was sent once more since a kept connection was dead; the server may have seen it twice.
    bool resent() const;

private:
    friend class HttpClient;
    HttpExchange(class HttpClient& client, std::unique_ptr<CurlSlot> slot);

    class HttpClient& client_;
    std::unique_ptr<CurlSlot> slot_;
};

class HttpClient {
public:
    explicit HttpClient(HttpOptions options);
    ~HttpClient();
    HttpClient(const HttpClient&) = delete;
    HttpClient& operator=(const HttpClient&) = delete;

    // Sends the request and waits for the header of the final answer, whatever its status. The exchange always comes
    // back, so that its failure() can be asked; `status` tells whether it has an answer. Error texts name the host and
    // never the URL.
    struct Started {
        std::unique_ptr<HttpExchange> exchange;
        Status status;
    };
    Started start(const HttpRequest& request, const CallContext& context);

private:
    friend class HttpExchange;
    std::unique_ptr<CurlSlot> take(bool fresh);
    void give_back(std::unique_ptr<CurlSlot> slot);

    HttpOptions options_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<CurlSlot>> idle_;
};

}  // namespace forge::store::s3
