#include "core/store/s3/s3_store.h"

#include <algorithm>
#include <mutex>

#include "core/base/text.h"
#include "core/store/s3/client.h"
#include "core/store/s3/download.h"
#include "core/store/s3/upload.h"

namespace forge::store {

namespace {

using namespace s3;

constexpr std::size_t kDeleteBatch = 1000;  // the most that one request may name
constexpr int kMaxEmptyPages = 100;         // in a row, before a listing is taken for an endless one
constexpr const char* kProbeKey = "forge_backup.probe";
constexpr const char* kReplaceProbeKey = "forge_backup_replace.probe";
constexpr milliseconds kProbeTime{10000};
constexpr milliseconds kLockPoll{50};

Status nonsense(const std::string& what) {
    return Status(Kind::kUnavailable, "the answer to " + what + " does not look like that of an S3 server",
                  "Check that the endpoint is that of an S3 server, and that no proxy answers in its place.");
}

class S3Store final : public ObjectStore {
public:
    S3Store(S3Options options, Endpoint endpoint, Logger& logger)
        : bucket_(options.bucket), prefix_(options.prefix.empty() ? "" : options.prefix + "/"),
          client_(std::move(options), std::move(endpoint), logger) {}

    std::string url() const override;
    StoreFeatures features() override;
    std::optional<StoreFeatures> known_features() override;
    Result<ObjectInfo> head(const std::string& key, const CallContext& context) override;
    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<ByteRange> range,
                                        const CallContext& context) override;
    Status put(const std::string& key, ByteView content, const CallContext& context) override;
    Result<PutOutcome> put_if_absent(const std::string& key, ByteView content, const CallContext& context) override;
    Result<std::unique_ptr<Sink>> create(const std::string& key, const CallContext& context) override;
    Result<std::unique_ptr<Sink>> replace(const ObjectInfo& expected, const CallContext& context) override;
    Status list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                const CallContext& context) override;
    Status list_after(const std::string& prefix, const std::string& start_after,
                      const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) override;
    Result<Folder> list_folder(const std::string& prefix, const CallContext& context) override;
    Status remove(const std::vector<std::string>& keys, const CallContext& context) override;
    Result<int> remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) override;

private:
    std::string full(const std::string& key) const { return prefix_ + key; }
    // What the store's answer adds to the name of the object.
    // Names the key; a listing of everything has none, so it names the store.
    Status fail(const char* what, const std::string& key, Status status) const {
        return std::move(status).with_context("could not " + std::string(what) + " " +
                                              quoted(key.empty() ? url() : key));
    }
    Status head_by_range(const std::string& key, ObjectInfo& info, const CallContext& context);
    // Follows the pages of one listing; `page` gets keys relative to the store's prefix.
    Status pages(const std::string& prefix, const std::string& start_after, bool by_folder,
                 const std::function<bool(ListPage&)>& page, const CallContext& context);
    Status to_relative(ListPage& page, const std::string& prefix) const;
    Result<bool> conditional_put(const CallContext& context);
    Result<bool> conditional_replace(const CallContext& context);
    Result<bool> probe_conditional_replace(const CallContext& context);
    Result<bool> ask_once(std::optional<bool>& answer, Result<bool> (S3Store::*probe)(const CallContext&),
                          const CallContext& context);
    Result<bool> probe_conditional_put(const CallContext& context);
    Result<PutOutcome> put_conditionally(const std::string& key, ByteView content, const CallContext& context);
    Result<PutOutcome> look_and_put(const std::string& key, ByteView content, const CallContext& context);
    Result<bool> has_content(const std::string& key, ByteView content, const CallContext& context);
    Result<std::vector<std::string>> remove_batch(const std::vector<std::string>& keys, const CallContext& context);
    Status remove_one(const std::string& key, const CallContext& context);
    Result<UploadPage> uploads_page(const std::string& prefix, const UploadPage& before, const CallContext& context);

    std::string bucket_;
    std::string prefix_;  // "" or ends in "/"
    Client client_;
    std::mutex features_mutex_;
    std::optional<bool> conditional_put_;  // nothing while the store has not been asked
    std::optional<bool> conditional_replace_;
    std::atomic<bool> batch_delete_{true};
};

std::string S3Store::url() const {
    std::string text = "s3://" + bucket_;
    if (!prefix_.empty()) text += '/' + prefix_.substr(0, prefix_.size() - 1);
    return text;
}

// ---- reading ----

ObjectInfo info_of(const std::string& key, const HttpResponse& response) {
    ObjectInfo info;
    info.key = key;
    info.size = parse_number<std::uint64_t>(response.header("content-length")).value_or(0);
    info.modified = parse_http_date(response.header("last-modified")).value_or(Instant{});
    info.etag = unquoted(response.header("etag"));
    return info;
}

Result<ObjectInfo> S3Store::head(const std::string& key, const CallContext& context) {
    FORGE_TRY(check_key(key));
    const auto check = [](const Answer& answer) {
        return answer.response.header("etag").empty() ? nonsense("a HEAD request") : Status();
    };
    const Result<Answer> answer = client_.call({.method = "HEAD", .key = full(key)}, context, check);
    if (answer.ok()) return info_of(key, answer->response);
    const int status = answer.status().http_status();
    if (status < 400 || status >= 500) return fail("look at", key, answer.status());
    // The answer to a HEAD has no body that could tell a missing object from a missing bucket or an unknown user.
    ObjectInfo info;
    FORGE_TRY(fail("look at", key, head_by_range(key, info, context)));
    return info;
}

Status S3Store::head_by_range(const std::string& key, ObjectInfo& info, const CallContext& context) {
    const Request request{.method = "GET", .key = full(key), .headers = {{"range", "bytes=0-0"}}};
    FORGE_ASSIGN(const std::unique_ptr<HttpExchange> exchange, client_.open(request, context));
    info = info_of(key, exchange->response());
    const std::string range = exchange->response().header("content-range");
    const std::size_t slash = range.find('/');
    if (slash == std::string::npos) return nonsense("a ranged GET request");
    const auto size = parse_number<std::uint64_t>(std::string_view(range).substr(slash + 1));
    if (!size) return nonsense("a ranged GET request");
    info.size = *size;
    return exchange->read_text(1024).status();
}

Result<std::unique_ptr<Source>> S3Store::get(const std::string& key, std::optional<ByteRange> range,
                                             const CallContext& context) {
    FORGE_TRY(check_key(key));
    Result<std::unique_ptr<Source>> source = open_download(client_, full(key), key, range, context);
    if (!source.ok()) return fail("read", key, source.status());
    return source;
}

// ---- listing ----

Status S3Store::list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                     const CallContext& context) {
    return list_after(prefix, {}, visit, context);
}

Status S3Store::list_after(const std::string& prefix, const std::string& start_after,
                           const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) {
    const auto page = [&visit](const ListPage& listed) {
        for (const ObjectInfo& object : listed.objects) {
            if (!visit(object)) return false;
        }
        return true;
    };
    return fail("list", prefix, pages(prefix, start_after, false, page, context));
}

Result<ObjectStore::Folder> S3Store::list_folder(const std::string& prefix, const CallContext& context) {
    Folder folder;
    const auto page = [&folder](ListPage& listed) {
        std::move(listed.objects.begin(), listed.objects.end(), std::back_inserter(folder.objects));
        std::move(listed.folders.begin(), listed.folders.end(), std::back_inserter(folder.folders));
        return true;
    };
    FORGE_TRY(fail("list", prefix, pages(prefix, {}, true, page, context)));
    return folder;
}

Status S3Store::pages(const std::string& prefix, const std::string& start_after, bool by_folder,
                      const std::function<bool(ListPage&)>& page, const CallContext& context) {
    const auto check = [](const Answer& answer) { return parse_list(answer.body) ? Status() : nonsense("a listing"); };
    Request request{.method = "GET", .key = {}};
    std::string token;
    std::string last_key;
    int empty_pages = 0;
    for (;;) {
        request.query = {{"list-type", "2"}, {"prefix", full(prefix)}, {"encoding-type", "url"}, {"max-keys", "1000"}};
        if (by_folder) request.query.emplace_back("delimiter", "/");
        if (!token.empty()) request.query.emplace_back("continuation-token", token);
        if (token.empty() && !start_after.empty()) request.query.emplace_back("start-after", full(start_after));
        FORGE_ASSIGN(const Answer answer, client_.call(request, context, check));
        ListPage listed = parse_list(answer.body).value_or(ListPage{});
        FORGE_TRY(to_relative(listed, prefix));
        std::erase_if(listed.objects, [&](const ObjectInfo& object) { return object.key <= start_after; });
        if (!listed.objects.empty()) {
            // Also what keeps a store that repeats its pages from being followed for ever.
            if (listed.objects.front().key <= last_key)
                return Status(Kind::kInternal, "the listing of the store is not in order");
            last_key = listed.objects.back().key;
        }
        empty_pages = listed.objects.empty() && listed.folders.empty() ? empty_pages + 1 : 0;
        if (!page(listed) || !listed.truncated) return {};
        if (listed.next_token.empty() || listed.next_token == token || empty_pages > kMaxEmptyPages) {
            return Status(Kind::kInternal, "the store does not continue its listing");
        }
        token = listed.next_token;
    }
}

// Keys without the store's prefix, in order. Placeholders of folders (a key that ends in "/") are no objects.
Status S3Store::to_relative(ListPage& page, const std::string& prefix) const {
    const std::string wanted = full(prefix);
    std::vector<ObjectInfo> objects;
    for (ObjectInfo& object : page.objects) {
        if (object.key.rfind(wanted, 0) != 0)
            return Status(Kind::kInternal, "the store listed an object outside of the prefix");
        if (object.key.back() == '/') continue;
        object.key.erase(0, prefix_.size());
        objects.push_back(std::move(object));
    }
    std::sort(objects.begin(), objects.end(), [](const ObjectInfo& a, const ObjectInfo& b) { return a.key < b.key; });
    page.objects = std::move(objects);
    for (std::string& folder : page.folders) {
        if (folder.rfind(wanted, 0) != 0)
            return Status(Kind::kInternal, "the store listed a folder outside of the prefix");
        folder.erase(0, prefix_.size());
    }
    return {};
}

// ---- writing ----

Status S3Store::put(const std::string& key, ByteView content, const CallContext& context) {
    FORGE_TRY(check_key(key));
    const PutRequest request{.key = full(key), .headers = object_headers(client_.options()), .content = content};
    return fail("write", key, put_object(client_, request, context).status());
}

Result<std::unique_ptr<Sink>> S3Store::create(const std::string& key, const CallContext& context) {
    FORGE_TRY(check_key(key));
    return make_upload(client_, full(key), key, context);
}

// Looks before the write, too: a store may know the condition of a PUT and not that of the end of a multipart upload.
class ReplacingSink final : public Sink {
public:
    ReplacingSink(std::unique_ptr<Sink> next, ObjectStore& store, ObjectInfo expected, const CallContext& context)
        : next_(std::move(next)), store_(store), expected_(std::move(expected)), context_(context) {}
    Status write(ByteView data) override { return next_->write(data); }
    Status finish() override {
        FORGE_ASSIGN(const ObjectInfo found, store_.head(expected_.key, context_));
        if (found.etag != expected_.etag) return replaced();
        const Status status = next_->finish();
        return status.is(Kind::kAlreadyExists) ? replaced() : status;
    }

private:
    Status replaced() const {
        return Status(Kind::kConflict, "object " + quoted(expected_.key) + " was replaced meanwhile");
    }

    std::unique_ptr<Sink> next_;
    ObjectStore& store_;
    ObjectInfo expected_;
    CallContext context_;
};

Result<std::unique_ptr<Sink>> S3Store::replace(const ObjectInfo& expected, const CallContext& context) {
    FORGE_TRY(check_key(expected.key));
    const Result<bool> conditional = conditional_replace(context);
    if (!conditional.ok()) return fail("write", expected.key, conditional.status());
    NameValues conditions;
    if (*conditional) conditions.emplace_back("if-match", '"' + expected.etag + '"');
    auto upload = make_upload(client_, full(expected.key), expected.key, context, std::move(conditions));
    return std::unique_ptr<Sink>(std::make_unique<ReplacingSink>(std::move(upload), *this, expected, context));
}

Result<PutOutcome> S3Store::put_if_absent(const std::string& key, ByteView content, const CallContext& context) {
    FORGE_TRY(check_key(key));
    const Result<bool> conditional = conditional_put(context);
    if (!conditional.ok()) return fail("write", key, conditional.status());
    const Result<PutOutcome> outcome =
        *conditional ? put_conditionally(key, content, context) : look_and_put(key, content, context);
    if (!outcome.ok()) return fail("write", key, outcome.status());
    return *outcome;
}

Result<PutOutcome> S3Store::put_conditionally(const std::string& key, ByteView content, const CallContext& context) {
    Trace trace;
    PutRequest request{
        .key = full(key), .headers = object_headers(client_.options()), .content = content, .trace = &trace};
    request.headers.emplace_back("if-none-match", "*");
    const Status status = put_object(client_, request, context).status();
    if (status.ok()) return PutOutcome::kStored;
    if (!status.is(Kind::kAlreadyExists)) return status;
    if (!trace.unknown_outcome) return PutOutcome::kAlreadyThere;
    // An attempt of ours got no answer: what is there now may be its work.
    FORGE_ASSIGN(const bool ours, has_content(key, content, context));
    if (ours) return PutOutcome::kStored;
    if (!trace.damaged) return PutOutcome::kAlreadyThere;
    // What is there is our own content, damaged on its way.
    request.headers.pop_back();
    FORGE_TRY(put_object(client_, request, context).status());
    return PutOutcome::kStored;
}

// For stores without conditional writes. Between the look and the write somebody else may write.
Result<PutOutcome> S3Store::look_and_put(const std::string& key, ByteView content, const CallContext& context) {
    // The look that can be trusted when it finds nothing, without the HEAD before it.
    ObjectInfo info;
    const Status look = head_by_range(key, info, context);
    if (look.ok() || look.http_status() == 416) return PutOutcome::kAlreadyThere;  // 416: an empty object
    if (!look.is(Kind::kNotFound)) return look;
    const PutRequest request{.key = full(key), .headers = object_headers(client_.options()), .content = content};
    FORGE_TRY(put_object(client_, request, context).status());
    return PutOutcome::kStored;
}

Result<bool> S3Store::has_content(const std::string& key, ByteView content, const CallContext& context) {
    FORGE_ASSIGN(const ObjectInfo info, head(key, context));
    return info.size == content.size() && to_lower(info.etag) == to_hex(md5(content));
}

// ---- what the store can do ----

StoreFeatures S3Store::features() {
    const CallContext context{.deadline = Deadline::after(kProbeTime), .cancel = nullptr, .max_attempts = 2};
    const Result<bool> put = conditional_put(context);
    const std::lock_guard lock(features_mutex_);
    return {.conditional_put = put.ok() && *put, .conditional_replace = conditional_replace_.value_or(false)};
}

std::optional<StoreFeatures> S3Store::known_features() {
    const std::unique_lock lock(features_mutex_, std::try_to_lock);
    if (!lock.owns_lock() || !conditional_put_) return std::nullopt;
    return StoreFeatures{.conditional_put = *conditional_put_,
                         .conditional_replace = conditional_replace_.value_or(false)};
}

// Asked once; an answer that says nothing about the feature (no permission, for example) is not remembered, and the
// careful way is used.
Result<bool> S3Store::ask_once(std::optional<bool>& answer, Result<bool> (S3Store::*probe)(const CallContext&),
                               const CallContext& context) {
    std::unique_lock lock(features_mutex_, std::defer_lock);
    while (!lock.try_lock()) {  // somebody else is asking
        FORGE_TRY(check_context(context));
        static_cast<void>(cancel_of(context).wait_for(kLockPoll));
    }
    if (answer) return *answer;
    const Result<bool> probed = (this->*probe)(context);
    if (probed.ok()) {
        answer = *probed;
        return *probed;
    }
    if (probed.status().retryable() || probed.status().is(Kind::kCancelled)) return probed.status();
    return false;
}

Result<bool> S3Store::conditional_put(const CallContext& context) {
    return ask_once(conditional_put_, &S3Store::probe_conditional_put, context);
}

Result<bool> S3Store::conditional_replace(const CallContext& context) {
    return ask_once(conditional_replace_, &S3Store::probe_conditional_replace, context);
}

// Of an object that is there another version is asked to be replaced.
Result<bool> S3Store::probe_conditional_replace(const CallContext& context) {
    PutRequest request{.key = full(kReplaceProbeKey), .content = as_bytes("forge_backup\n")};
    FORGE_TRY(put_object(client_, request, context).status());
    request.headers = {{"if-match", "\"00000000000000000000000000000000\""}};
    const Status second = put_object(client_, request, context).status();
    static_cast<void>(remove_one(kReplaceProbeKey, context));
    if (second.is(Kind::kAlreadyExists)) return true;
    // Another process that asks may have removed it.
    if (second.is(Kind::kNotFound)) return true;
    if (second.ok() || is_unsupported(second)) return false;
    return second;
}

// A store that ignores the header answers 200 although the object exists, so it is not enough that the first write
// succeeds. Two processes may probe at the same time: only who wrote the object goes on and removes it.
Result<bool> S3Store::probe_conditional_put(const CallContext& context) {
    const PutRequest request{
        .key = full(kProbeKey), .headers = {{"if-none-match", "*"}}, .content = as_bytes("forge_backup\n")};
    const Status first = put_object(client_, request, context).status();
    if (first.is(Kind::kAlreadyExists)) return true;
    if (is_unsupported(first)) return false;
    FORGE_TRY(first);
    const Status second = put_object(client_, request, context).status();
    static_cast<void>(remove_one(kProbeKey, context));  // may not be allowed; then the next probe is answered at once
    if (second.is(Kind::kAlreadyExists)) return true;
    if (second.ok() || is_unsupported(second)) return false;
    return second;
}

// ---- removing ----

Status S3Store::remove(const std::vector<std::string>& keys, const CallContext& context) {
    std::vector<std::string> batch;
    std::vector<std::string> single;
    for (const std::string& key : keys) {
        FORGE_TRY(check_key(key));
        (keys.size() > 1 && batch_delete_ && xml_can_express(key) ? batch : single).push_back(key);
    }
    for (std::size_t at = 0; at < batch.size(); at += kDeleteBatch) {
        const auto begin = batch.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = batch.begin() + static_cast<std::ptrdiff_t>(std::min(batch.size(), at + kDeleteBatch));
        const std::vector<std::string> some(begin, end);
        if (!batch_delete_) {
            single.insert(single.end(), some.begin(), some.end());
            continue;
        }
        FORGE_ASSIGN(const std::vector<std::string> left, remove_batch(some, context));
        single.insert(single.end(), left.begin(), left.end());
    }
    for (const std::string& key : single) FORGE_TRY(fail("remove", key, remove_one(key, context)));
    return {};
}

// Returns the keys that have to be removed one by one: the store refused them in the batch, and says why when asked
// alone.
Result<std::vector<std::string>> S3Store::remove_batch(const std::vector<std::string>& keys,
                                                       const CallContext& context) {
    std::vector<std::string> full_keys;
    for (const std::string& key : keys) full_keys.push_back(full(key));
    const std::string body = delete_body(full_keys);
    const Request request{
        .method = "POST",
        .key = {},
        .query = {{"delete", ""}},
        .headers = {{"content-type", "application/xml"}, {"content-md5", to_base64(md5(as_bytes(body)))}},
        .body = as_bytes(body),
        .slow = true};
    const auto check = [](const Answer& answer) {
        return parse_delete(answer.body) ? Status() : nonsense("a request to remove objects");
    };
    const Result<Answer> answer = client_.call(request, context, check);
    if (!answer.ok()) {
        if (!is_unsupported(answer.status())) return fail("remove", keys.front(), answer.status());
        batch_delete_ = false;
        return keys;
    }
    std::vector<std::string> left;
    for (const DeleteFailure& failure : parse_delete(answer->body).value_or(std::vector<DeleteFailure>{})) {
        if (failure.code == "NoSuchKey" || failure.key.rfind(prefix_, 0) != 0) continue;
        left.push_back(failure.key.substr(prefix_.size()));
    }
    return left;
}

Status S3Store::remove_one(const std::string& key, const CallContext& context) {
    const Status status = client_.call({.method = "DELETE", .key = full(key)}, context).status();
    return status.is(Kind::kNotFound) ? Status() : status;
}

Result<UploadPage> S3Store::uploads_page(const std::string& prefix, const UploadPage& before,
                                         const CallContext& context) {
    Request request{.method = "GET", .key = {}};
    request.query = {{"uploads", ""}, {"prefix", full(prefix)}, {"encoding-type", "url"}};
    if (!before.next_key.empty()) {
        request.query.emplace_back("key-marker", before.next_key);
        request.query.emplace_back("upload-id-marker", before.next_upload_id);
    }
    const auto check = [](const Answer& answer) {
        return parse_uploads(answer.body) ? Status() : nonsense("a listing of uploads");
    };
    FORGE_ASSIGN(const Answer answer, client_.call(request, context, check));
    return parse_uploads(answer.body).value_or(UploadPage{});
}

Result<int> S3Store::remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) {
    int removed = 0;
    UploadPage page;
    do {
        Result<UploadPage> next = uploads_page(prefix, page, context);
        if (!next.ok()) return fail("list the uploads below", prefix, next.status());
        const bool repeated =
            next->truncated && next->next_key == page.next_key && next->next_upload_id == page.next_upload_id;
        page = std::move(*next);
        if (repeated)
            return fail("list the uploads below", prefix,
                        Status(Kind::kInternal, "the store does not continue its listing"));
        const std::int64_t limit = client_.now().nanos - std::chrono::nanoseconds(age).count();
        for (const UploadInfo& upload : page.uploads) {
            // A start that the store did not tell is no reason to take it for an old one.
            if (upload.initiated == Instant{} || upload.initiated.nanos > limit) continue;
            if (upload.key.rfind(full(prefix), 0) != 0) continue;
            FORGE_TRY(
                fail("abort the upload of", upload.key, abort_upload(client_, upload.key, upload.upload_id, context)));
            ++removed;
        }
    } while (page.truncated);
    return removed;
}

}  // namespace

Result<std::unique_ptr<ObjectStore>> open_s3_store(S3Options options, Logger& logger) {
    if (options.bucket.empty()) {
        return Status(Kind::kInvalid, "the storage setting names no bucket", "Set it to \"s3://bucket/prefix\".");
    }
    if (!options.credentials) return Status(Kind::kInternal, "no source of credentials for the store");
    if (options.part_size == 0) return Status(Kind::kInvalid, "the part size of uploads must not be 0");
    while (!options.prefix.empty() && options.prefix.front() == '/') options.prefix.erase(0, 1);
    while (!options.prefix.empty() && options.prefix.back() == '/') options.prefix.pop_back();
    if (options.region.empty()) options.region = "us-east-1";
    FORGE_ASSIGN(Endpoint endpoint, endpoint_of(options));
    return std::unique_ptr<ObjectStore>(std::make_unique<S3Store>(std::move(options), std::move(endpoint), logger));
}

}  // namespace forge::store
