// The examples that the signature's author published ("Authenticating Requests: Using the Authorization Header" and the
// test suite).
#include "core/store/s3/signer.h"

#include <gtest/gtest.h>

#include "test/unit/store/support.h"

namespace forge::store::s3 {

namespace {

const S3Credentials kCredentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr const char* kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// 2013-05-24 00:00:00 UTC, the time of the examples for S3.
SigningScope s3_scope() { return {"us-east-1", "s3", Instant::from_seconds(1369353600)}; }

std::string s3_authorization(const std::string& signed_headers, const std::string& signature) {
    return "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=" +
           signed_headers + ",Signature=" + signature;
}

SignedParts s3_parts(const std::string& method, const std::string& path, const std::string& payload_hash) {
    return {method,
            path,
            {},
            {{"host", "examplebucket.s3.amazonaws.com"},
             {"x-amz-date", "20130524T000000Z"},
             {"x-amz-content-sha256", payload_hash}},
            payload_hash};
}

TEST(Signer, GetVanilla) {
    const SignedParts parts{
        "GET", "/", {}, {{"host", "example.amazonaws.com"}, {"x-amz-date", "20150830T123600Z"}}, kEmptyHash};
    EXPECT_EQ(canonical_request(parts),
              "GET\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\nhost;x-amz-date\n" +
                  std::string(kEmptyHash));
    const S3Credentials credentials{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
    EXPECT_EQ(
        authorization(parts, credentials, {"us-east-1", "service", Instant::from_seconds(1440938160)}),
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,SignedHeaders=host;x-amz-date,"
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(Signer, GetObjectWithRange) {
    SignedParts parts = s3_parts("GET", "/test.txt", kEmptyHash);
    parts.headers.emplace_back("range", "bytes=0-9");
    EXPECT_EQ(authorization(parts, kCredentials, s3_scope()),
              s3_authorization("host;range;x-amz-content-sha256;x-amz-date",
                               "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
}

TEST(Signer, PutObject) {
    const std::string content = "Welcome to Amazon S3.";
    SignedParts parts = s3_parts("PUT", '/' + uri_encode("test$file.text", true), sha256_hex(as_bytes(content)));
    parts.headers.emplace_back("date", "Fri, 24 May 2013 00:00:00 GMT");
    parts.headers.emplace_back("x-amz-storage-class", "REDUCED_REDUNDANCY");
    EXPECT_EQ(authorization(parts, kCredentials, s3_scope()),
              s3_authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                               "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(Signer, GetBucketLifecycle) {
    SignedParts parts = s3_parts("GET", "/", kEmptyHash);
    parts.query = {{"lifecycle", ""}};
    EXPECT_EQ(authorization(parts, kCredentials, s3_scope()),
              s3_authorization("host;x-amz-content-sha256;x-amz-date",
                               "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(Signer, ListObjects) {
    SignedParts parts = s3_parts("GET", "/", kEmptyHash);
    parts.query = {{"prefix", "J"}, {"max-keys", "2"}};
    EXPECT_EQ(authorization(parts, kCredentials, s3_scope()),
              s3_authorization("host;x-amz-content-sha256;x-amz-date",
                               "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(Signer, EncodesEverythingButUnreservedCharacters) {
    EXPECT_EQ(uri_encode("AZaz09-._~", false), "AZaz09-._~");
    EXPECT_EQ(uri_encode("a b/c+d%ü", true), "a%20b/c%2Bd%25%C3%BC");
    EXPECT_EQ(uri_encode("a/b", false), "a%2Fb");
}

TEST(Signer, SortsTheQueryByEncodedName) {
    EXPECT_EQ(canonical_query({{"b", "2"}, {"a", "x y"}, {"a-b", ""}, {"B", "1"}}), "B=1&a=x%20y&a-b=&b=2");
}

TEST(Signer, HeaderValuesLoseSpareSpaces) {
    const SignedParts parts{"GET", "/", {}, {{"my-header", "  a   b  c "}, {"host", "h"}}, "hash"};
    EXPECT_EQ(canonical_request(parts), "GET\n/\n\nhost:h\nmy-header:a b c\n\nhost;my-header\nhash");
}

}  // namespace

}  // namespace forge::store::s3
