#include "core/store/s3/http_client.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>

#include "core/base/crash_point.h"
#include "core/base/text.h"
#include "core/store/s3/libcurl.h"

namespace forge::store::s3 {

namespace {

constexpr milliseconds kPoll{50};                   // how soon a cancellation is seen
constexpr milliseconds kRateGrace{2000};            // before a slow answer is too slow
constexpr std::size_t kHoldBack = 256 << 10;        // received bytes kept while nobody reads
constexpr std::size_t kSendChunk = 16 << 10;        // under a rate limit: small, so that its waits are short
constexpr std::size_t kAskFirst = 1 << 20;          // larger bodies wait for "100 Continue" before they are sent
constexpr milliseconds kContinueWait{1000};         // not every server says it
constexpr std::size_t kMaxHeaderBytes = 256 << 10;  // an endless header must not eat the memory

void initialise_curl() {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

// "host:port" of a URL, for messages.
std::string authority_of(const std::string& url) {
    const std::size_t scheme = url.find("://");
    const std::size_t begin = scheme == std::string::npos ? 0 : scheme + 3;
    return url.substr(begin, url.find_first_of("/?#", begin) - begin);
}

}  // namespace

// A multi handle with its one connection and the easy handle of the request under way. libcurl's sharing of connections
// between threads is not safe, so each slot has its own, and the client hands out slots.
class CurlSlot {
public:
    CurlSlot() : multi_(curl_multi_init()), easy_(curl_easy_init()) {
        curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);
    }
    ~CurlSlot() {
        detach();
        curl_easy_cleanup(easy_);
        curl_multi_cleanup(multi_);
        curl_slist_free_all(headers_);
    }
    CurlSlot(const CurlSlot&) = delete;
    CurlSlot& operator=(const CurlSlot&) = delete;

    Status start(const HttpRequest& request, const HttpOptions& options, const CallContext& context);
    Result<std::size_t> read(MutableBytes buffer);
    // The answer was received to its end, so the connection may serve another request.
    bool reusable() const { return finished_ && code_ == CURLE_OK; }
    // Forgets the request; the connection stays when it is reusable.
    void detach();

    HttpResponse response;
    HttpFailure failure = HttpFailure::kNone;
    bool resent = false;

private:
    void reset(const HttpRequest& request, const HttpOptions& options, const CallContext& context);
    void configure(const HttpRequest& request, const HttpOptions& options);
    void configure_body(const HttpRequest& request);
    template <typename Done>
    Status pump(Done done);
    Status check_limits();
    std::uint64_t progress();
    Status curl_error();
    bool request_sent() const { return sent_ == body_.size() && unacknowledged_ == 0; }

    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
    static std::size_t on_send(char* data, std::size_t size, std::size_t count, void* self);
    static int on_seek(void* self, curl_off_t offset, int origin);
    static int on_socket(void* self, curl_socket_t socket, curlsocktype purpose);
    static int on_close(void* self, curl_socket_t socket);

    CURLM* multi_;
    CURL* easy_;
    curl_slist* headers_ = nullptr;
    bool attached_ = false;
    curl_socket_t socket_ = CURL_SOCKET_BAD;  // of the connection

    std::string host_;
    CallContext context_;
    std::shared_ptr<RateLimiter> limit_;
    milliseconds first_byte_timeout_{};
    milliseconds stall_timeout_{};
    milliseconds connect_timeout_{};
    std::uint64_t least_rate_ = 0;
    ByteView body_;
    std::size_t sent_ = 0;
    std::size_t unacknowledged_ = 0;
    std::size_t header_bytes_ = 0;
    bool answered_ = false;  // the header of the final answer is complete
    bool paused_ = false;
    bool finished_ = false;
    CURLcode code_ = CURLE_OK;
    std::array<char, CURL_ERROR_SIZE> error_text_{};
    std::string received_;
    std::size_t received_at_ = 0;
    std::uint64_t received_total_ = 0;
    std::uint64_t last_progress_ = 0;
    Steady::time_point last_progress_at_{};
    Steady::duration reading_{};  // spent on waiting for the answer's body before read_since_
    Steady::time_point read_since_{};
};

std::size_t CurlSlot::on_header(char* data, std::size_t size, std::size_t count, void* self) {
    auto& slot = *static_cast<CurlSlot*>(self);
    const std::string_view line(data, size * count);
    slot.header_bytes_ += line.size();
    if (slot.header_bytes_ > kMaxHeaderBytes) return 0;
    if (line.substr(0, 5) == "HTTP/") {  // also after an interim answer
        slot.response = {};
        const std::size_t space = line.find(' ');
        if (space != std::string_view::npos) {
            slot.response.status = parse_number<int>(line.substr(space + 1, 3)).value_or(0);
        }
    } else if (trim(line).empty()) {
        slot.answered_ = slot.response.status >= 200;
    } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos && !slot.answered_) {
        slot.response.headers.emplace_back(to_lower(trim(line.substr(0, colon))),
                                           std::string(trim(line.substr(colon + 1))));
    }
    return line.size();
}

std::size_t CurlSlot::on_body(char* data, std::size_t size, std::size_t count, void* self) {
    auto& slot = *static_cast<CurlSlot*>(self);
    if (slot.received_.size() - slot.received_at_ >= kHoldBack) {
        slot.paused_ = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    slot.received_.append(data, size * count);
    slot.received_total_ += size * count;
    return size * count;
}

std::size_t CurlSlot::on_send(char* data, std::size_t size, std::size_t count, void* self) {
    auto& slot = *static_cast<CurlSlot*>(self);
    const std::size_t chunk = slot.limit_ ? kSendChunk : size * count;
    const std::size_t n = std::min({size * count, chunk, slot.body_.size() - slot.sent_});
    if (n == 0) return 0;
    if (slot.limit_ && !slot.limit_->acquire(n, cancel_of(slot.context_))) return CURL_READFUNC_ABORT;
    std::memcpy(data, slot.body_.data() + slot.sent_, n);
    slot.sent_ += n;
    FORGE_CRASH_POINT("body-sent");
    return n;
}

// libcurl sends the body again when a kept connection turns out to be dead.
int CurlSlot::on_seek(void* self, curl_off_t offset, int origin) {
    auto& slot = *static_cast<CurlSlot*>(self);
    if (origin != SEEK_SET || offset < 0 || static_cast<std::size_t>(offset) > slot.body_.size())
        return CURL_SEEKFUNC_FAIL;
    if (slot.sent_ > 0) slot.resent = true;
    slot.sent_ = static_cast<std::size_t>(offset);
    return CURL_SEEKFUNC_OK;
}

int CurlSlot::on_socket(void* self, curl_socket_t socket, curlsocktype) {
    static_cast<CurlSlot*>(self)->socket_ = socket;
    return CURL_SOCKOPT_OK;
}

int CurlSlot::on_close(void* self, curl_socket_t socket) {
    auto& slot = *static_cast<CurlSlot*>(self);
    if (slot.socket_ == socket) slot.socket_ = CURL_SOCKET_BAD;
    return ::close(socket);
}

void CurlSlot::detach() {
    if (attached_) curl_multi_remove_handle(multi_, easy_);
    attached_ = false;
    received_ = {};
    received_at_ = 0;
    body_ = {};
}

void CurlSlot::reset(const HttpRequest& request, const HttpOptions& options, const CallContext& context) {
    detach();
    response = {};
    failure = HttpFailure::kNone;
    resent = false;
    host_ = authority_of(request.url);
    context_ = context;
    limit_ = options.limit;
    first_byte_timeout_ = request.first_byte_timeout;
    stall_timeout_ = options.stall_timeout;
    least_rate_ = options.least_rate;
    connect_timeout_ = options.connect_timeout;
    body_ = request.body;
    sent_ = 0;
    unacknowledged_ = 0;
    header_bytes_ = 0;
    answered_ = paused_ = finished_ = false;
    code_ = CURLE_OK;
    error_text_.front() = '\0';
    received_total_ = 0;
    last_progress_ = 0;
    reading_ = {};
}

void CurlSlot::configure(const HttpRequest& request, const HttpOptions& options) {
    curl_easy_reset(easy_);
    curl_slist_free_all(headers_);
    headers_ = nullptr;
    for (const auto& [name, value] : request.headers)
        headers_ = curl_slist_append(headers_, (name + ": " + value).c_str());
    if (request.body.size() <= kAskFirst) headers_ = curl_slist_append(headers_, "Expect:");
    const milliseconds continue_wait = std::min(kContinueWait, options.stall_timeout / 2);
    curl_easy_setopt(easy_, CURLOPT_EXPECT_100_TIMEOUT_MS, static_cast<long>(continue_wait.count()));
    curl_easy_setopt(easy_, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
    curl_easy_setopt(easy_, CURLOPT_PATH_AS_IS, 1L);  // the path is signed as it is
    curl_easy_setopt(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy_, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
    curl_easy_setopt(easy_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy_, CURLOPT_PROXY, options.proxy.c_str());  // "" also keeps the environment's out
    curl_easy_setopt(easy_, CURLOPT_ERRORBUFFER, error_text_.data());
    curl_easy_setopt(easy_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy_, CURLOPT_MAXAGE_CONN, 60L);       // older idle ones are often half-open
    curl_easy_setopt(easy_, CURLOPT_DNS_CACHE_TIMEOUT, 0L);  // each new connection asks again: addresses change
    curl_easy_setopt(easy_, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
    curl_easy_setopt(easy_, CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
    curl_easy_setopt(easy_, CURLOPT_CA_CACHE_TIMEOUT, 60L);  // the bundle may be replaced on disk
    if (!options.ca_file.empty()) curl_easy_setopt(easy_, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &CurlSlot::on_header);
    curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &CurlSlot::on_body);
    curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy_, CURLOPT_SOCKOPTFUNCTION, &CurlSlot::on_socket);
    curl_easy_setopt(easy_, CURLOPT_SOCKOPTDATA, this);
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETFUNCTION, &CurlSlot::on_close);
    curl_easy_setopt(easy_, CURLOPT_CLOSESOCKETDATA, this);
    curl_easy_setopt(easy_, CURLOPT_BUFFERSIZE, 128L << 10);
    configure_body(request);
}

void CurlSlot::configure_body(const HttpRequest& request) {
    if (request.method == "HEAD") {
        curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
        return;
    }
    if (request.method == "GET") return;
    if (request.method != "DELETE") {
        curl_easy_setopt(easy_, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
        curl_easy_setopt(easy_, CURLOPT_UPLOAD_BUFFERSIZE, 128L << 10);
        curl_easy_setopt(easy_, CURLOPT_READFUNCTION, &CurlSlot::on_send);
        curl_easy_setopt(easy_, CURLOPT_READDATA, this);
        curl_easy_setopt(easy_, CURLOPT_SEEKFUNCTION, &CurlSlot::on_seek);
        curl_easy_setopt(easy_, CURLOPT_SEEKDATA, this);
    }
    curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

// Bytes that moved for certain: sent ones count when the peer has acknowledged them, since the kernel takes megabytes
// from us while the network takes none.
std::uint64_t CurlSlot::progress() {
    int queued = 0;
    if (socket_ != CURL_SOCKET_BAD && ::ioctl(socket_, SIOCOUTQ, &queued) != 0) queued = 0;
    unacknowledged_ = static_cast<std::size_t>(std::max(queued, 0));
    return sent_ + header_bytes_ + received_total_ - std::min<std::uint64_t>(sent_, unacknowledged_);
}

Status CurlSlot::check_limits() {
    FORGE_TRY(check_context(context_));
    const std::uint64_t now_at = progress();
    const Steady::time_point now = Steady::now();
    if (answered_ && least_rate_ > 0) {
        const auto due = std::chrono::duration_cast<milliseconds>(reading_ + (now - read_since_) - kRateGrace);
        if (due.count() > 0 && received_total_ * 1000 / static_cast<std::uint64_t>(due.count()) < least_rate_)
            return Status(Kind::kTimeout,
                          quoted(host_) + " sends less than " + std::to_string(least_rate_) + " bytes a second");
    }
    if (now_at != last_progress_) {
        last_progress_ = now_at;
        last_progress_at_ = now;
        return {};
    }
    curl_off_t connected = 0;
    curl_easy_getinfo(easy_, CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (connected == 0) return {};  // libcurl watches the time to connect
    const bool waiting = !answered_ && request_sent();
    const milliseconds allowed = waiting ? first_byte_timeout_ : stall_timeout_;
    if (now - last_progress_at_ < allowed) return {};
    const std::string span = format_duration(static_cast<double>(allowed.count()) / 1000);
    if (waiting) return Status(Kind::kTimeout, "no answer from " + quoted(host_) + " within " + span);
    return Status(Kind::kTimeout, "connection to " + quoted(host_) + " stalled: no byte moved for " + span);
}

template <typename Done>
Status CurlSlot::pump(Done done) {
    read_since_ = last_progress_at_ = Steady::now();  // time in which nobody asked for bytes does not count
    while (!done()) {
        int running = 0;
        curl_multi_perform(multi_, &running);
        int queued = 0;
        while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
            if (message->msg == CURLMSG_DONE) {
                finished_ = true;
                code_ = message->data.result;
            }
        }
        if (finished_ || done()) break;
        if (Status status = check_limits(); !status.ok()) {
            failure = HttpFailure::kUnknownOutcome;
            return status;
        }
        const milliseconds wait = std::min(kPoll, context_.deadline.left() + milliseconds(1));
        curl_multi_poll(multi_, nullptr, 0, static_cast<int>(wait.count()), nullptr);
    }
    if (answered_) reading_ += Steady::now() - read_since_;
    if (finished_ && code_ != CURLE_OK) return curl_error();
    return {};
}

namespace {

std::string tls_hint(const std::string& ca_hint) {
    return "Check the certificate of the endpoint, and " + ca_hint + ".";
}

}  // namespace

Status CurlSlot::curl_error() {
    FORGE_TRY(cancel_of(context_).check());
    const std::string host = quoted(host_);
    const std::string detail = error_text_.front() != '\0' ? error_text_.data() : curl_easy_strerror(code_);
    failure = HttpFailure::kBeforeSending;
    switch (code_) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
            return Status(Kind::kUnavailable, "could not resolve the host name of " + host);
        case CURLE_COULDNT_CONNECT: {
            long error = 0;
            curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &error);
            const std::string why =
                error != 0 ? std::generic_category().message(static_cast<int>(error)) : "no connection";
            return Status(Kind::kUnavailable, "could not connect to " + host + ": " + why);
        }
        case CURLE_PEER_FAILED_VERIFICATION:
            return Status(Kind::kInvalid, "could not verify the certificate of " + host + ": " + detail,
                          tls_hint("set forge_backup.s3_ca_file to the file of the authority that signed it"));
        case CURLE_SSL_CACERT_BADFILE:
            return Status(Kind::kInvalid, "could not read the file of trusted certificates for " + host + ": " + detail,
                          "Set forge_backup.s3_ca_file to a readable file in PEM form.");
        case CURLE_SSL_CONNECT_ERROR:
            return Status(Kind::kUnavailable, "could not agree on TLS with " + host + ": " + detail);
        case CURLE_OPERATION_TIMEDOUT:
            return Status(Kind::kTimeout, "could not connect to " + host + " within " +
                                              format_duration(static_cast<double>(connect_timeout_.count()) / 1000));
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL: return Status(Kind::kInvalid, "not a usable endpoint: " + host);
        case CURLE_PARTIAL_FILE:
            failure = HttpFailure::kShortBody;
            return Status(Kind::kUnavailable, host + " closed the connection before the announced end of its answer");
        default: break;
    }
    failure = HttpFailure::kUnknownOutcome;
    const std::string what = answered_ ? "while it was answering" : "before it answered";
    return Status(Kind::kUnavailable, "lost the connection to " + host + " " + what + ": " + curl_easy_strerror(code_));
}

Status CurlSlot::start(const HttpRequest& request, const HttpOptions& options, const CallContext& context) {
    FORGE_TRY(check_context(context));
    reset(request, options, context);
    configure(request, options);
    curl_multi_add_handle(multi_, easy_);
    attached_ = true;
    const Status status = pump([this] { return answered_; });
    if (answered_) return {};  // what goes wrong with its body is told by read()
    FORGE_TRY(status);
    failure = HttpFailure::kUnknownOutcome;
    return Status(Kind::kUnavailable, quoted(host_) + " gave no answer that is HTTP");
}

Result<std::size_t> CurlSlot::read(MutableBytes buffer) {
    if (received_at_ == received_.size()) {
        received_.clear();
        received_at_ = 0;
        if (paused_) {
            paused_ = false;
            curl_easy_pause(easy_, CURLPAUSE_CONT);
        }
        Status status;
        if (!finished_) status = pump([this] { return !received_.empty(); });
        // A failure is told after the bytes that came before it.
        if (received_.empty()) {
            FORGE_TRY(status);
            if (code_ != CURLE_OK) return curl_error();
        }
    }
    const std::size_t n = std::min(buffer.size(), received_.size() - received_at_);
    if (n > 0) std::memcpy(buffer.data(), received_.data() + received_at_, n);
    received_at_ += n;
    if (n > 0 && limit_ && !limit_->acquire(n, cancel_of(context_))) return Status(Kind::kCancelled, "canceled");
    return n;
}

std::string HttpResponse::header(std::string_view name) const {
    for (auto it = headers.rbegin(); it != headers.rend(); ++it) {
        if (it->first == name) return it->second;
    }
    return {};
}

HttpExchange::HttpExchange(HttpClient& client, std::unique_ptr<CurlSlot> slot)
    : client_(client), slot_(std::move(slot)) {}

HttpExchange::~HttpExchange() {
    if (slot_) client_.give_back(std::move(slot_));
}

const HttpResponse& HttpExchange::response() const { return slot_->response; }

Result<std::size_t> HttpExchange::read(MutableBytes buffer) { return slot_->read(buffer); }

HttpFailure HttpExchange::failure() const { return slot_->failure; }

bool HttpExchange::resent() const { return slot_->resent; }

Result<std::string> HttpExchange::read_text(std::size_t limit) {
    std::string text;
    std::array<std::uint8_t, 16384> buffer{};
    for (;;) {
        FORGE_ASSIGN(const std::size_t n, read(buffer));
        if (n == 0) return text;
        text += as_text(ByteView(buffer).first(n));
        if (text.size() > limit) return Status(Kind::kInternal, "the answer of the store is too long");
    }
}

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)) { initialise_curl(); }

HttpClient::~HttpClient() = default;

std::unique_ptr<CurlSlot> HttpClient::take(bool fresh) {
    const std::lock_guard lock(mutex_);
    if (fresh || idle_.empty()) return std::make_unique<CurlSlot>();
    std::unique_ptr<CurlSlot> slot = std::move(idle_.back());
    idle_.pop_back();
    return slot;
}

void HttpClient::give_back(std::unique_ptr<CurlSlot> slot) {
    slot->detach();
    if (!slot->reusable()) return;
    const std::lock_guard lock(mutex_);
    if (idle_.size() < static_cast<std::size_t>(std::max(options_.idle_connections, 0)))
        idle_.push_back(std::move(slot));
}

HttpClient::Started HttpClient::start(const HttpRequest& request, const CallContext& context) {
    std::unique_ptr<CurlSlot> slot = take(request.fresh_connection);
    CurlSlot& used = *slot;
    std::unique_ptr<HttpExchange> exchange(new HttpExchange(*this, std::move(slot)));
    Status status = used.start(request, options_, context);
    return {std::move(exchange), std::move(status)};
}

}  // namespace forge::store::s3
