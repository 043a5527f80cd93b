#include "core/store/s3/signer.h"


#include <algorithm>
#include <array>
#include <ctime>

#include "core/base/libcrypto.h"
#include "core/base/text.h"

namespace forge::store::s3 {

namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

Bytes digest(const EVP_MD* method, ByteView data) {
    Bytes result(EVP_MAX_MD_SIZE);
    unsigned int size = 0;
    if (EVP_Digest(data.data(), data.size(), result.data(), &size, method, nullptr) != 1) size = 0;
    result.resize(size);
    return result;
}

Bytes hmac(ByteView key, std::string_view text) {
    Bytes result(EVP_MAX_MD_SIZE);
    unsigned int size = 0;
    const ByteView data = as_bytes(text);
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), data.data(), data.size(), result.data(), &size);
    result.resize(size);
    return result;
}

NameValues sorted(NameValues pairs) {
    std::sort(pairs.begin(), pairs.end());
    return pairs;
}

std::string signed_names(const NameValues& sorted_headers) {
    std::string names;
    for (const auto& [name, value] : sorted_headers) {
        if (!names.empty()) names += ';';
        names += name;
    }
    return names;
}

// Leading, trailing and repeated spaces do not count.
std::string canonical_value(std::string_view value) {
    std::string result;
    for (const char c : trim(value)) {
        if (c == ' ' && !result.empty() && result.back() == ' ') continue;
        result += c;
    }
    return result;
}

}  // namespace

std::string uri_encode(std::string_view text, bool keep_slash) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    constexpr std::string_view kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string result;
    for (const char c : text) {
        if (kPlain.find(c) != std::string_view::npos || (c == '/' && keep_slash)) {
            result += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        result += '%';
        result += kDigits[byte >> 4];
        result += kDigits[byte & 15];
    }
    return result;
}

std::string canonical_query(const NameValues& query) {
    NameValues encoded;
    for (const auto& [name, value] : query) encoded.emplace_back(uri_encode(name, false), uri_encode(value, false));
    std::string result;
    for (const auto& [name, value] : sorted(std::move(encoded))) {
        if (!result.empty()) result += '&';
        result += name;
        result += '=';
        result += value;
    }
    return result;
}

std::string canonical_request(const SignedParts& parts) {
    const NameValues headers = sorted(parts.headers);
    std::string text = parts.method + '\n' + parts.path + '\n' + canonical_query(parts.query) + '\n';
    for (const auto& [name, value] : headers) text += name + ':' + canonical_value(value) + '\n';
    return text + '\n' + signed_names(headers) + '\n' + parts.payload_hash;
}

std::string amz_date(Instant at) {
    const std::time_t seconds = at.seconds();
    std::tm fields{};
    gmtime_r(&seconds, &fields);
    std::array<char, 32> text{};
    const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &fields);
    return {text.data(), size};
}

std::string authorization(const SignedParts& parts, const S3Credentials& credentials, const SigningScope& scope) {
    const std::string date_time = amz_date(scope.at);
    const std::string date = date_time.substr(0, 8);
    const std::string scope_text = date + '/' + scope.region + '/' + scope.service + "/aws4_request";
    const std::string to_sign = std::string(kAlgorithm) + '\n' + date_time + '\n' + scope_text + '\n' +
                                sha256_hex(as_bytes(canonical_request(parts)));
    const Bytes date_key = hmac(as_bytes("AWS4" + credentials.secret_access_key), date);
    const Bytes region_key = hmac(date_key, scope.region);
    const Bytes service_key = hmac(region_key, scope.service);
    const Bytes key = hmac(service_key, "aws4_request");
    return std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + '/' + scope_text +
           ",SignedHeaders=" + signed_names(sorted(parts.headers)) + ",Signature=" + to_hex(hmac(key, to_sign));
}

std::string sha256_hex(ByteView data) { return to_hex(digest(EVP_sha256(), data)); }

Bytes md5(ByteView data) { return digest(EVP_md5(), data); }

}  // namespace forge::store::s3
