// The store: a flat map from keys to immutable objects, in a directory or an S3 bucket. Keys are relative to the prefix
// the store was opened with ("wal_005/000000010000000000000001.zst"), never start with "/" and never contain ".." or
// empty parts.
//
// Thread-safe: any number of threads may use one store; Sources and Sinks it returns belong to one thread each.
// Every call ends within the deadlines of its CallContext, and soon after cancellation.
//
// Errors: kNotFound only if the store itself said that the object does not exist (for S3: code NoSuchKey; a missing
// bucket is kInvalid with store code NoSuchBucket); kDenied for credentials and permissions; the retryable kinds after
// retries were used up. Messages name the key, and end with the store's code and request id where there are any.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/log.h"
#include "core/base/stream.h"
#include "core/base/time.h"

namespace forge::store {

struct ObjectInfo {
    std::string key;
    std::uint64_t size = 0;
    Instant modified;
    std::string etag;  // without quotes; empty if the store has none
};

struct ByteRange {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  // > 0
};

// How long a call may take and who may stop it. The token outlives the call and every stream it returned.
struct CallContext {
    Deadline deadline = Deadline::never();  // whole call, retries included; for streams: until the last byte
    const CancelToken* cancel = nullptr;
    int max_attempts = 5;  // of each request
};

// What callers may expect of a store, found out by asking it, never by its name.
struct StoreFeatures {
    bool conditional_put =
        false;  // honours "only if absent" itself; otherwise put_if_absent looks first (a race remains)
    bool conditional_replace = false;  // honours "only if it is still this one"; otherwise replace() looks first. Known
                                       // once replace() was called.
};

enum class PutOutcome { kStored, kAlreadyThere };

class ObjectStore {
public:
    virtual ~ObjectStore() = default;

    // "s3://bucket/prefix" or "file:///dir": for messages, never with credentials.
    virtual std::string url() const = 0;
    virtual StoreFeatures features() = 0;
    // The same without asking the store; nothing while it has not been asked. Never waits.
    virtual std::optional<StoreFeatures> known_features() { return std::nullopt; }

    virtual Result<ObjectInfo> head(const std::string& key, const CallContext& context) = 0;
    // The object's bytes, all or a range. The Source verifies that as many bytes came as were announced (kCorrupt when
    // the store keeps sending less; broken connections are resumed by range).
    virtual Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<ByteRange> range,
                                                const CallContext& context) = 0;
    // One durable object from memory, replacing what is there. Checked by digest on the way (Content-MD5 for S3).
    virtual Status put(const std::string& key, ByteView content, const CallContext& context) = 0;
    // The same, but never replaces: kAlreadyThere leaves the object as it is.
    virtual Result<PutOutcome> put_if_absent(const std::string& key, ByteView content, const CallContext& context) = 0;
    // A durable object of unknown size, streamed (S3: multipart with growing parts once it exceeds one part). Visible
    // after finish() only; destroyed without it, everything sent is removed (upload aborted).
    virtual Result<std::unique_ptr<Sink>> create(const std::string& key, const CallContext& context) = 0;
    // The same, in the place of the object that `expected` (of a listing or head()) describes. finish() leaves what is
    // there as it is, kConflict or kNotFound, when it is another one by then. In a store without conditional writes a
    // moment remains between the look and the write (StoreFeatures::conditional_replace).
    virtual Result<std::unique_ptr<Sink>> replace(const ObjectInfo& expected, const CallContext& context) = 0;
    // Every object whose key starts with `prefix`, in bytewise key order, page by page through `visit`; false from
    // `visit` ends the listing.
    virtual Status list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                        const CallContext& context) = 0;
    // Like list(), starting after `start_after` (a full key).
    virtual Status list_after(const std::string& prefix, const std::string& start_after,
                              const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) = 0;
    // "Directories" directly below `prefix` (which ends in "/" or is empty), and the objects directly there.
    struct Folder {
        std::vector<ObjectInfo> objects;
        std::vector<std::string> folders;  // full keys, each with a trailing "/"
    };
    virtual Result<Folder> list_folder(const std::string& prefix, const CallContext& context) = 0;
    // Missing objects are success.
    virtual Status remove(const std::vector<std::string>& keys, const CallContext& context) = 0;
    // Removes what interrupted writers left behind (multipart uploads, temporary files) below `prefix`, older than
    // `age`. Returns how many.
    virtual Result<int> remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) = 0;
};

// kInvalid for a key that breaks the rules above ("/a", "a//b", "a/../b", "a/"): no store ever sees one.
Status check_key(const std::string& key);
// kCancelled or kTimeout when the call must end now.
Status check_context(const CallContext& context);
// The context's token, or one that nobody cancels.
const CancelToken& cancel_of(const CallContext& context);

Result<std::vector<ObjectInfo>> list_all(ObjectStore& store, const std::string& prefix, const CallContext& context);

}  // namespace forge::store
