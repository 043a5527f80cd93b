#include "core/store/s3/xml.h"

#include <pugixml.hpp>
#include <sstream>

#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

bool load(pugi::xml_document& document, std::string_view text) {
    return static_cast<bool>(document.load_buffer(text.data(), text.size(), pugi::parse_default, pugi::encoding_utf8));
}

std::string text_of(const pugi::xml_node& node, const char* name) { return node.child_value(name); }

bool is_true(const pugi::xml_node& node, const char* name) { return trim(node.child_value(name)) == "true"; }

// What encoding-type=url asks for: form encoding, so "+" is a space.
std::string url_decoded(std::string_view text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            result += ' ';
            continue;
        }
        if (text[i] == '%' && i + 2 < text.size()) {
            if (const auto byte = parse_number<unsigned>(text.substr(i + 1, 2), 16)) {
                result += static_cast<char>(*byte);
                i += 2;
                continue;
            }
        }
        result += text[i];
    }
    return result;
}

// Keys of one answer, which says itself whether it encoded them.
class KeyDecoder {
public:
    explicit KeyDecoder(const pugi::xml_node& root) : encoded_(to_lower(root.child_value("EncodingType")) == "url") {}
    std::string operator()(const std::string& key) const { return encoded_ ? url_decoded(key) : key; }

private:
    bool encoded_;
};

Instant time_of(const pugi::xml_node& node, const char* name) {
    const Result<Instant> at = parse_time(node.child_value(name));
    return at.ok() ? *at : Instant{};
}

std::string print(const pugi::xml_document& document) {
    std::ostringstream out;
    document.save(out, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
    return out.str();
}

void add_text(pugi::xml_node parent, const char* name, const std::string& value) {
    parent.append_child(name).append_child(pugi::node_pcdata).set_value(value.c_str());
}

}  // namespace

std::string unquoted(std::string_view etag) {
    etag = trim(etag);
    if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
    return std::string(etag);
}

std::optional<ErrorAnswer> parse_error(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    pugi::xml_node root = document.child("Error");
    if (!root) root = document.child("ErrorResponse").child("Error");
    if (!root || !root.child("Code")) return std::nullopt;
    return ErrorAnswer{std::string(trim(text_of(root, "Code"))), std::string(trim(text_of(root, "Message"))),
                       std::string(trim(text_of(root, "RequestId"))), std::string(trim(text_of(root, "Region"))),
                       std::string(trim(text_of(root, "Endpoint")))};
}

std::optional<ListPage> parse_list(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    const pugi::xml_node root = document.child("ListBucketResult");
    if (!root) return std::nullopt;
    const KeyDecoder decoded(root);
    ListPage page;
    for (const pugi::xml_node& node : root.children("Contents")) {
        ObjectInfo object;
        object.key = decoded(text_of(node, "Key"));
        const auto size = parse_number<std::uint64_t>(trim(node.child_value("Size")));
        if (object.key.empty() || !size) return std::nullopt;
        object.size = *size;
        object.modified = time_of(node, "LastModified");
        object.etag = unquoted(text_of(node, "ETag"));
        page.objects.push_back(std::move(object));
    }
    for (const pugi::xml_node& node : root.children("CommonPrefixes")) {
        page.folders.push_back(decoded(text_of(node, "Prefix")));
    }
    page.truncated = is_true(root, "IsTruncated");
    page.next_token = text_of(root, "NextContinuationToken");
    return page;
}

std::optional<std::string> parse_upload_id(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    std::string id = text_of(document.child("InitiateMultipartUploadResult"), "UploadId");
    if (id.empty()) return std::nullopt;
    return id;
}

std::optional<UploadPage> parse_uploads(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    const pugi::xml_node root = document.child("ListMultipartUploadsResult");
    if (!root) return std::nullopt;
    const KeyDecoder decoded(root);
    UploadPage page;
    for (const pugi::xml_node& node : root.children("Upload")) {
        page.uploads.push_back({decoded(text_of(node, "Key")), text_of(node, "UploadId"), time_of(node, "Initiated")});
    }
    page.truncated = is_true(root, "IsTruncated");
    page.next_key = decoded(text_of(root, "NextKeyMarker"));
    page.next_upload_id = text_of(root, "NextUploadIdMarker");
    return page;
}

std::optional<std::vector<DeleteFailure>> parse_delete(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    const pugi::xml_node root = document.child("DeleteResult");
    if (!root) return std::nullopt;
    std::vector<DeleteFailure> failures;
    for (const pugi::xml_node& node : root.children("Error")) {
        failures.push_back({text_of(node, "Key"), text_of(node, "Code"), text_of(node, "Message")});
    }
    return failures;
}

std::optional<std::string> parse_complete(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    const pugi::xml_node root = document.child("CompleteMultipartUploadResult");
    if (!root) return std::nullopt;
    return unquoted(text_of(root, "ETag"));
}

std::optional<AssumedRole> parse_assumed_role(std::string_view text) {
    pugi::xml_document document;
    if (!load(document, text)) return std::nullopt;
    // <AssumeRoleResponse> or <AssumeRoleWithWebIdentityResponse>, with a result named alike in it.
    for (const pugi::xml_node& result : document.document_element().children()) {
        const pugi::xml_node keys = result.child("Credentials");
        if (!keys) continue;
        AssumedRole role{std::string(trim(text_of(keys, "AccessKeyId"))),
                         std::string(trim(text_of(keys, "SecretAccessKey"))),
                         std::string(trim(text_of(keys, "SessionToken"))), std::nullopt};
        if (role.access_key_id.empty() || role.secret_access_key.empty()) return std::nullopt;
        const Result<Instant> at = parse_time(trim(keys.child_value("Expiration")));
        if (at.ok()) role.expires = *at;
        return role;
    }
    return std::nullopt;
}

std::string complete_body(const std::vector<std::string>& part_etags) {
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("CompleteMultipartUpload");
    for (std::size_t i = 0; i < part_etags.size(); ++i) {
        pugi::xml_node part = root.append_child("Part");
        add_text(part, "PartNumber", std::to_string(i + 1));
        add_text(part, "ETag", '"' + part_etags[i] + '"');
    }
    return print(document);
}

std::string delete_body(const std::vector<std::string>& keys) {
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("Delete");
    for (const std::string& key : keys) add_text(root.append_child("Object"), "Key", key);
    add_text(root, "Quiet", "true");
    return print(document);
}

bool xml_can_express(std::string_view key) {
    for (const char c : key) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
    }
    return true;
}

}  // namespace forge::store::s3
