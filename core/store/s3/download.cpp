#include "core/store/s3/download.h"

#include <array>

#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

constexpr std::uint64_t kRealProgress =
    64 << 10;  // after that many bytes a broken connection is a new trouble, not the old one

std::string range_text(std::uint64_t first, std::optional<std::uint64_t> end) {
    return "bytes=" + std::to_string(first) + '-' + (end ? std::to_string(*end - 1) : std::string());
}

// The part of the object that an answer announces.
struct Announced {
    std::uint64_t first = 0;
    std::optional<std::uint64_t> end;  // nothing for a chunked answer, which has its own end mark
};

// Nothing if the answer has no S3 look, so that a proxy's page is not taken for an object.
std::optional<Announced> announced_part(const HttpResponse& response, bool asked_for_range) {
    if (response.header("etag").empty()) return std::nullopt;
    if (asked_for_range != (response.status == 206)) return std::nullopt;
    Announced part;
    if (asked_for_range) {
        const std::string value = response.header("content-range");  // "bytes 0-9/443"
        const std::size_t dash = value.find('-');
        const std::size_t slash = value.find('/');
        if (value.rfind("bytes ", 0) != 0 || dash == std::string::npos || slash == std::string::npos || slash < dash)
            return std::nullopt;
        const auto first = parse_number<std::uint64_t>(std::string_view(value).substr(6, dash - 6));
        const auto last = parse_number<std::uint64_t>(std::string_view(value).substr(dash + 1, slash - dash - 1));
        if (!first || !last || *last < *first) return std::nullopt;
        part.first = *first;
        part.end = *last + 1;
    }
    const auto length = parse_number<std::uint64_t>(response.header("content-length"));
    if (!length) {
        if (to_lower(response.header("transfer-encoding")).find("chunked") == std::string::npos) return std::nullopt;
        return part;
    }
    if (part.end && *part.end - part.first != *length) return std::nullopt;
    part.end = part.first + *length;
    return part;
}

class Download final : public Source {
public:
    Download(Client& client, std::string key, std::string shown_key, const CallContext& context)
        : client_(client), key_(std::move(key)), shown_key_(std::move(shown_key)), context_(context),
          retry_(client.retry_policy(), context) {}

    Status open(std::optional<ByteRange> range);
    Result<std::size_t> read(MutableBytes buffer) override;

private:
    Request request(bool ranged) const;
    Status begin(std::unique_ptr<HttpExchange> exchange, bool ranged);
    Status resume();
    void end_connection();
    Status fail(Status status) const { return std::move(status).with_context("could not read " + quoted(shown_key_)); }

    Client& client_;
    std::string key_;
    std::string shown_key_;
    CallContext context_;
    Retry retry_;
    std::unique_ptr<HttpExchange> exchange_;
    std::string etag_;
    bool ranged_ = false;
    std::uint64_t at_ = 0;              // next byte of the object
    std::uint64_t attempt_from_ = 0;    // where the present connection began
    std::optional<std::uint64_t> end_;  // of what is to be read
};

Request Download::request(bool ranged) const {
    Request result{.method = "GET", .key = key_};
    if (ranged) result.headers.emplace_back("range", range_text(at_, end_));
    return result;
}

Status Download::open(std::optional<ByteRange> range) {
    ranged_ = range.has_value();
    if (range) {
        if (range->length == 0) return Status(Kind::kInvalid, "empty range of object " + quoted(shown_key_));
        at_ = range->offset;
        end_ = range->offset + range->length;
    }
    for (;;) {
        FORGE_ASSIGN(std::unique_ptr<HttpExchange> exchange, client_.open(request(ranged_), context_));
        const Status status = begin(std::move(exchange), ranged_);
        if (status.ok()) return status;
        FORGE_TRY(retry_.next(status));
    }
}

Status Download::begin(std::unique_ptr<HttpExchange> exchange, bool ranged) {
    const HttpResponse& response = exchange->response();
    const std::optional<Announced> part = announced_part(response, ranged);
    if (!part || part->first != (ranged ? at_ : 0)) {
        return Status(Kind::kUnavailable,
                      "the answer does not look like that of an S3 server (" + std::to_string(response.status) + ")",
                      "Check that the endpoint is that of an S3 server, and that no proxy answers in its place.");
    }
    // The first half of an object and the second half of the one that replaced it must not be glued together.
    const std::string etag = unquoted(response.header("etag"));
    if (!etag_.empty() && etag != etag_) return Status(Kind::kConflict, "the object was replaced while it was read");
    etag_ = etag;
    if (part->end && (!end_ || *part->end < *end_)) end_ = part->end;  // a range may reach over the object's end
    attempt_from_ = at_;
    exchange_ = std::move(exchange);
    return {};
}

Status Download::resume() {
    const bool ranged = at_ > 0 || ranged_;
    FORGE_ASSIGN(std::unique_ptr<HttpExchange> exchange, client_.reopen(request(ranged), context_));
    return begin(std::move(exchange), ranged);
}

// Lets the connection see the end of the answer, without which it could not be used again.
void Download::end_connection() {
    if (!exchange_) return;
    std::array<std::uint8_t, 1> nothing{};
    static_cast<void>(exchange_->read(nothing));
    exchange_.reset();
}

Result<std::size_t> Download::read(MutableBytes buffer) {
    if (end_ && at_ >= *end_) {
        end_connection();
        return std::size_t{0};
    }
    for (;;) {
        Status trouble;
        bool short_body = false;
        if (exchange_) {
            FORGE_TRY(fail(check_context(context_)));
            const Result<std::size_t> n = exchange_->read(buffer);
            if (n.ok() && *n > 0) {
                at_ += *n;
                if (at_ - attempt_from_ >= kRealProgress) retry_.reset();
                if (end_ && at_ > *end_) return fail(Status(Kind::kCorrupt, "the store sent more than it announced"));
                return *n;
            }
            if (n.ok() && !end_) {  // chunked, and its end mark came
                end_ = at_;
                return std::size_t{0};
            }
            short_body = n.ok() || exchange_->failure() == HttpFailure::kShortBody;
            trouble = n.ok() ? Status(Kind::kUnavailable, "the answer ended early") : n.status();
            exchange_.reset();
        } else {
            trouble = resume();
            if (trouble.ok()) continue;
        }
        Status decision = retry_.next(trouble);
        if (decision.ok()) continue;
        if (short_body) decision = std::move(decision).with_kind(Kind::kCorrupt);
        return fail(std::move(decision));
    }
}

}  // namespace

Result<std::unique_ptr<Source>> open_download(Client& client, const std::string& key, const std::string& shown_key,
                                              std::optional<ByteRange> range, const CallContext& context) {
    auto download = std::make_unique<Download>(client, key, shown_key, context);
    FORGE_TRY(download->open(range));
    return std::unique_ptr<Source>(std::move(download));
}

}  // namespace forge::store::s3
