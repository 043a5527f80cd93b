// Writing one object: a single PUT of what fits into one part, a multipart upload of more.
#pragma once

#include <memory>
#include <string>

#include "core/store/s3/client.h"

namespace forge::store::s3 {

inline constexpr int kMaxParts = 10000;  // of one multipart upload

// Size of a part: grows twofold every 1000 parts, so that 10000 parts suffice for 5 TiB, while objects of usual size
// need little memory.
std::uint64_t part_size_at(std::uint64_t first_part_size, int part_number);

// Headers that go with every object: storage class and encryption by the server.
NameValues object_headers(const S3Options& options);

// One object (or part) from memory, its digest checked by the store on arrival and by us on the answer's ETag.
struct PutRequest {
    std::string key;  // prefix included
    NameValues query{};
    NameValues headers{};
    ByteView content{};
    Trace* trace = nullptr;
};
struct PutResult {
    std::string etag;
    Bytes md5;  // of the content; empty where MD5 is forbidden
};
Result<PutResult> put_object(Client& client, const PutRequest& request, const CallContext& context);

// `shown_key` is the key for messages. The client outlives the sink. `conditions`: headers of the request that makes
// the object visible; kAlreadyExists when the store finds that they do not hold.
std::unique_ptr<Sink> make_upload(Client& client, const std::string& key, const std::string& shown_key,
                                  const CallContext& context, NameValues conditions = {});

// Success also when there is no such upload any more.
Status abort_upload(Client& client, const std::string& key, const std::string& upload_id, const CallContext& context);

}  // namespace forge::store::s3
