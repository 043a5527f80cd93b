// The XML bodies of S3 requests and answers. Parsers return nothing where the text is not the document that was
// expected (a proxy's HTML page, for example); keys come back decoded.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/store/object_store.h"

namespace forge::store::s3 {

struct ErrorAnswer {
    std::string code;
    std::string message;
    std::string request_id;
    std::string region;    // where the store says the bucket is
    std::string endpoint;  // the host the store wants to be asked
};
std::optional<ErrorAnswer> parse_error(std::string_view text);

struct ListPage {
    std::vector<ObjectInfo> objects;   // keys as in the bucket
    std::vector<std::string> folders;  // common prefixes
    bool truncated = false;
    std::string next_token;
};
std::optional<ListPage> parse_list(std::string_view text);

std::optional<std::string> parse_upload_id(std::string_view text);

struct UploadInfo {
    std::string key;
    std::string upload_id;
    Instant initiated;
};
struct UploadPage {
    std::vector<UploadInfo> uploads;
    bool truncated = false;
    std::string next_key;
    std::string next_upload_id;
};
std::optional<UploadPage> parse_uploads(std::string_view text);

struct DeleteFailure {
    std::string key;
    std::string code;
    std::string message;
};
std::optional<std::vector<DeleteFailure>> parse_delete(std::string_view text);
// The ETag of the whole object, without quotes.
std::optional<std::string> parse_complete(std::string_view text);

// What the token service answers to a role that may be assumed.
struct AssumedRole {
    std::string access_key_id;
    std::string secret_access_key;
    std::string session_token;
    std::optional<Instant> expires;
};
std::optional<AssumedRole> parse_assumed_role(std::string_view text);

std::string complete_body(const std::vector<std::string>& part_etags);
std::string delete_body(const std::vector<std::string>& keys);
// Keys with characters that XML 1.0 cannot express are not for delete_body().
bool xml_can_express(std::string_view key);

std::string unquoted(std::string_view etag);

}  // namespace forge::store::s3
