#include "core/store/s3/upload.h"

#include <algorithm>
#include <cctype>
#include <future>
#include <system_error>

#include "core/base/crash_point.h"
#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

constexpr milliseconds kAbortTime{5000};
constexpr milliseconds kCancelPoll{50};

bool looks_like_md5(const std::string& etag) {
    return etag.size() == 32 &&
           std::all_of(etag.begin(), etag.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
}

// Under keys of a key service the ETag has the form of an MD5 without being one.
bool etag_is_md5(const HttpResponse& response) {
    const std::string encryption = response.header("x-amz-server-side-encryption");
    return (encryption.empty() || encryption == "AES256") &&
           response.header("x-amz-server-side-encryption-customer-algorithm").empty();
}

Status check_etag(const Answer& answer, const Bytes& digest) {
    const std::string etag = to_lower(unquoted(answer.response.header("etag")));
    if (etag.empty()) {
        return Status(Kind::kUnavailable, "the answer has no ETag and does not look like that of an S3 server",
                      "Check that the endpoint is that of an S3 server, and that no proxy answers in its place.");
    }
    if (digest.empty() || !looks_like_md5(etag) || !etag_is_md5(answer.response) || etag == to_hex(digest)) return {};
    return Status(Kind::kCorrupt, "the store received other content than was sent (its digest is " + etag + ")");
}

// Parts are sent one after the other, each in a thread of its own while the next one fills: neither the store nor who
// makes the content waits for the other. That takes the memory of two parts.
class Upload final : public Sink {
public:
    Upload(Client& client, std::string key, std::string shown_key, const CallContext& context, NameValues conditions)
        : client_(client), key_(std::move(key)), shown_key_(std::move(shown_key)), context_(context),
          conditions_(std::move(conditions)) {}
    ~Upload() override;

    Status write(ByteView data) override;
    Status finish() override;

private:
    int part_number() const { return static_cast<int>(etags_.size()) + (sending_.valid() ? 1 : 0) + 1; }
    std::uint64_t part_size() const { return part_size_at(client_.options().part_size, part_number()); }
    void append(ByteView data);
    Status put_whole();
    Status begin();
    Status send_part();
    PutRequest part_request(int number) const;
    Status await_part();
    Status complete();
    Status confirm(const std::string& etag, const Status& error);
    std::string multipart_etag() const;
    Status fail(Status status) const { return std::move(status).with_context("could not write " + quoted(shown_key_)); }

    Client& client_;
    std::string key_;
    std::string shown_key_;
    CallContext context_;
    NameValues conditions_;
    Bytes part_;             // that fills
    Bytes sent_;             // that is on its way
    std::string upload_id_;  // empty while everything fits into one part
    std::vector<std::string> etags_;
    Bytes digests_;          // of the parts, one after the other: what the whole object's ETag is made of
    CancelToken no_longer_;  // stops what is on its way
    Result<PutResult> answer_{PutResult{}};  // to `sent_`
    std::future<void> sending_;              // last: it waits for the thread that uses all the others
};

// Our own deadline and nobody's token: parts that nobody completes cost money for ever.
Upload::~Upload() {
    no_longer_.cancel();
    sending_ = {};
    if (upload_id_.empty()) return;
    const CallContext context{.deadline = Deadline::after(kAbortTime), .cancel = nullptr, .max_attempts = 2};
    // What this leaves behind in the worst case, remove_leftovers() finds.
    static_cast<void>(abort_upload(client_, key_, upload_id_, context));
}

void Upload::append(ByteView data) {
    if (part_.capacity() < part_.size() + data.size()) {
        const std::size_t wanted = std::max(part_.size() + data.size(), part_.capacity() * 2);
        part_.reserve(std::min<std::size_t>(wanted, part_size()));
    }
    part_.insert(part_.end(), data.begin(), data.end());
}

Status Upload::write(ByteView data) {
    while (!data.empty()) {
        // Only when more comes is a full part sent, so that an object of exactly one part is a single PUT.
        if (part_.size() == part_size()) FORGE_TRY(fail(send_part()));
        const std::size_t n = std::min<std::size_t>(data.size(), part_size() - part_.size());
        append(data.first(n));
        data = data.subspan(n);
    }
    return fail(check_context(context_));
}

Status Upload::finish() {
    if (upload_id_.empty()) {
        FORGE_TRY(fail(put_whole()));
        part_ = {};
        return {};
    }
    FORGE_TRY(fail(send_part()));
    FORGE_TRY(fail(await_part()));
    part_ = sent_ = {};
    FORGE_CRASH_POINT("upload-parts-sent");
    return fail(complete());
}

Status Upload::put_whole() {
    Trace trace;
    PutRequest request{.key = key_, .headers = object_headers(client_.options()), .content = part_, .trace = &trace};
    request.headers.insert(request.headers.end(), conditions_.begin(), conditions_.end());
    const Status status = put_object(client_, request, context_).status();
    // An attempt without answer may have been the one that changed what the condition is about.
    if (status.is(Kind::kAlreadyExists) && trace.unknown_outcome) return confirm(to_hex(md5(part_)), status);
    return status;
}

Status Upload::begin() {
    const Request request{
        .method = "POST", .key = key_, .query = {{"uploads", ""}}, .headers = object_headers(client_.options())};
    const auto check = [](const Answer& answer) {
        if (parse_upload_id(answer.body)) return Status();
        return Status(Kind::kUnavailable, "the answer to the start of a multipart upload makes no sense");
    };
    FORGE_ASSIGN(const Answer answer, client_.call(request, context_, check));
    upload_id_ = parse_upload_id(answer.body).value_or("");
    FORGE_CRASH_POINT("upload-begun");
    return {};
}

PutRequest Upload::part_request(int number) const {
    return {.key = key_, .query = {{"partNumber", std::to_string(number)}, {"uploadId", upload_id_}}, .content = sent_};
}

Status Upload::send_part() {
    FORGE_TRY(await_part());
    if (upload_id_.empty()) FORGE_TRY(begin());
    const int number = part_number();
    if (number > kMaxParts) return Status(Kind::kExhausted, "the object has more than 10000 parts");
    sent_.swap(part_);
    part_.clear();
    const auto put = [this, number](const CancelToken* cancel) {
        CallContext context = context_;
        context.cancel = cancel;
        answer_ = put_object(client_, part_request(number), context);
    };
    try {
        sending_ = std::async(std::launch::async, put, &no_longer_);
    } catch (const std::system_error&) {  // there can be no more threads: await_part() sends it
        sending_ = std::async(std::launch::deferred, put, context_.cancel);
    }
    return {};
}

Status Upload::await_part() {
    if (!sending_.valid()) return {};
    while (sending_.wait_for(kCancelPoll) == std::future_status::timeout)
        if (cancel_of(context_).cancelled()) no_longer_.cancel();
    sending_.get();
    FORGE_TRY(answer_.status());
    etags_.push_back(std::move(answer_->etag));
    digests_.insert(digests_.end(), answer_->md5.begin(), answer_->md5.end());
    return {};
}

std::string Upload::multipart_etag() const { return to_hex(md5(digests_)) + '-' + std::to_string(etags_.size()); }

Status Upload::complete() {
    const std::string body = complete_body(etags_);
    Trace trace;
    Request request{.method = "POST",
                    .key = key_,
                    .query = {{"uploadId", upload_id_}},
                    .headers = conditions_,
                    .body = as_bytes(body),
                    .slow = true,
                    .trace = &trace};
    request.headers.emplace_back("content-type", "application/xml");
    // The store sends the header of success first and may fail afterwards: the body decides.
    const std::string bucket = client_.options().bucket;
    const auto check = [&bucket](const Answer& answer) {
        if (parse_complete(answer.body)) return Status();
        if (!parse_error(answer.body))
            return Status(Kind::kUnavailable, "the answer to the end of a multipart upload makes no sense");
        return to_status(read_refusal("POST", bucket, answer.response, answer.body, Instant{}));
    };
    const Result<Answer> answer = client_.call(request, context_, check);
    if (!answer.ok()) {
        const bool may_be_done =
            answer.status().store_code() == "NoSuchUpload" || answer.status().is(Kind::kAlreadyExists);
        if (!trace.unknown_outcome || !may_be_done) return answer.status();
        FORGE_TRY(confirm(multipart_etag(), answer.status()));
    }
    upload_id_.clear();
    return {};
}

// An attempt without answer may have stored the object that the next one could not store again.
Status Upload::confirm(const std::string& etag, const Status& error) {
    const Result<Answer> head = client_.call({.method = "HEAD", .key = key_}, context_);
    if (!head.ok()) return error;
    return to_lower(unquoted(head->response.header("etag"))) == etag ? Status() : error;
}

}  // namespace

std::uint64_t part_size_at(std::uint64_t first_part_size, int part_number) {
    return first_part_size << ((part_number - 1) / 1000);
}

NameValues object_headers(const S3Options& options) {
    NameValues headers;
    if (!options.storage_class.empty()) headers.emplace_back("x-amz-storage-class", options.storage_class);
    if (!options.server_side_encryption.empty()) {
        headers.emplace_back("x-amz-server-side-encryption", options.server_side_encryption);
        if (!options.kms_key_id.empty()) {
            headers.emplace_back("x-amz-server-side-encryption-aws-kms-key-id", options.kms_key_id);
        }
    }
    return headers;
}

Result<PutResult> put_object(Client& client, const PutRequest& request, const CallContext& context) {
    Bytes digest = md5(request.content);
    Request http{.method = "PUT",
                 .key = request.key,
                 .query = request.query,
                 .headers = request.headers,
                 .body = request.content,
                 .trace = request.trace};
    if (!digest.empty()) http.headers.emplace_back("content-md5", to_base64(digest));
    const auto check = [&](const Answer& answer) {
        Status status = check_etag(answer, digest);
        if (status.is(Kind::kCorrupt) && request.trace != nullptr) request.trace->damaged = true;
        return status;
    };
    FORGE_ASSIGN(const Answer answer, client.call(http, context, check));
    return PutResult{unquoted(answer.response.header("etag")), std::move(digest)};
}

std::unique_ptr<Sink> make_upload(Client& client, const std::string& key, const std::string& shown_key,
                                  const CallContext& context, NameValues conditions) {
    return std::make_unique<Upload>(client, key, shown_key, context, std::move(conditions));
}

Status abort_upload(Client& client, const std::string& key, const std::string& upload_id, const CallContext& context) {
    const Result<Answer> answer =
        client.call({.method = "DELETE", .key = key, .query = {{"uploadId", upload_id}}}, context);
    if (answer.ok() || answer.status().store_code() == "NoSuchUpload" || answer.status().is(Kind::kNotFound)) return {};
    return answer.status();
}

}  // namespace forge::store::s3
