// What answers mean, one line a case.
#include "core/store/s3/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/store/s3/endpoint.h"
#include "core/store/s3/upload.h"

namespace forge::store::s3 {

namespace {

using testing::AllOf;
using testing::HasSubstr;

Status meaning(int status, const std::string& code, const std::string& message = "text") {
    HttpResponse response;
    response.status = status;
    const std::string body = code.empty() ? ""
                                          : "<Error><Code>" + code + "</Code><Message>" + message +
                                                "</Message><RequestId>tx9</RequestId></Error>";
    return to_status(read_refusal("GET", "b", response, body, Instant{}));
}

TEST(S3Errors, StatusAndCodeDecideTheKind) {
    struct Case {
        int status;
        const char* code;
        Kind kind;
    };
    for (const Case& c : std::initializer_list<Case>{
             {404, "NoSuchKey", Kind::kNotFound},    // S5
             {404, "NoSuchBucket", Kind::kInvalid},  // S5
             {404, "XAdminUserNotFound", Kind::kDenied},
             {404, "SomethingElse", Kind::kDenied},
             {404, "", Kind::kInternal},
             {403, "AccessDenied", Kind::kDenied},           // S1
             {403, "SignatureDoesNotMatch", Kind::kDenied},  // S2
             {403, "InvalidAccessKeyId", Kind::kDenied},     // S2
             {401, "", Kind::kDenied},
             {403, "", Kind::kDenied},
             {403, "RequestTimeTooSkewed", Kind::kDenied},   // S3
             {400, "ExpiredToken", Kind::kDenied},           // S4
             {409, "OperationAborted", Kind::kUnavailable},  // S6
             {409, "ConditionalRequestConflict", Kind::kUnavailable},
             {412, "PreconditionFailed", Kind::kAlreadyExists},  // S7
             {412, "", Kind::kAlreadyExists},
             {429, "", Kind::kThrottled},          // S9
             {503, "SlowDown", Kind::kThrottled},  // S9
             {503, "ServiceUnavailable", Kind::kUnavailable},
             {503, "", Kind::kUnavailable},
             {500, "InternalError", Kind::kUnavailable},  // S10
             {502, "", Kind::kUnavailable},
             {504, "", Kind::kUnavailable},
             {501, "NotImplemented", Kind::kInvalid},
             {405, "MethodNotAllowed", Kind::kInvalid},
             {301, "PermanentRedirect", Kind::kInvalid},  // S11
             {200, "InternalError", Kind::kUnavailable},  // S12
             {200, "AccessDenied", Kind::kDenied},
             {400, "BadDigest", Kind::kUnavailable},        // S13
             {403, "QuotaExceeded", Kind::kExhausted},      // S22
             {507, "XMinioStorageFull", Kind::kExhausted},  // S22
             {507, "", Kind::kExhausted},
             {403, "InvalidObjectState", Kind::kInvalid},    // S23
             {400, "KMS.DisabledException", Kind::kDenied},  // S25
             {403, "KMS.AccessDeniedException", Kind::kDenied},
             {400, "RequestTimeout", Kind::kUnavailable},
             {416, "InvalidRange", Kind::kInvalid},
         }) {
        const Status status = meaning(c.status, c.code);
        EXPECT_EQ(status.kind(), c.kind) << c.status << " " << c.code << ": " << status.to_string();
        EXPECT_EQ(status.http_status(), c.status);
        EXPECT_EQ(status.store_code(), c.code);
    }
}

TEST(S3Errors, TextsEndWithCodeAndRequest) {
    EXPECT_EQ(meaning(403, "AccessDenied").message(), "access denied (403 AccessDenied, request id tx9)");
    EXPECT_EQ(meaning(400, "InvalidStorageClass", "no such\nclass").message(),
              "the store refused the request (400 InvalidStorageClass: no such class, request id tx9)");
    EXPECT_THAT(meaning(400, "KMS.DisabledException", "key is disabled").to_string(),
                AllOf(HasSubstr("key service"), HasSubstr("Enable the key")));
    EXPECT_EQ(meaning(502, "").message(), "the store is not available (502)");
    EXPECT_THAT(meaning(403, "InvalidObjectState").hint(), HasSubstr("Glacier"));
    EXPECT_THAT(meaning(404, "NoSuchBucket").message(), HasSubstr("bucket \"b\" does not exist"));
}

TEST(S3Errors, RetryAfterIsSecondsOrADate) {
    HttpResponse response;
    response.status = 503;
    const Instant now = Instant::from_seconds(1795339054);  // Sun, 22 Nov 2026 09:17:34 GMT
    for (const auto& [value, pause] :
         {std::pair{"7", 7000}, std::pair{"Sun, 22 Nov 2026 09:17:44 GMT", 10000}, std::pair{"soon", 0},
          std::pair{"Sun, 22 Nov 2026 09:17:14 GMT", 0}, std::pair{"86400", 60000}}) {
        response.headers = {{"retry-after", value}};
        EXPECT_EQ(read_refusal("GET", "b", response, "", now).retry_after.count(), pause) << value;
    }
}

TEST(Endpoint, TakesSchemeHostAndPort) {
    for (const auto& [url, origin] :
         {std::pair{"https://s3.example.com", "https://s3.example.com"},
          std::pair{"http://LocalHost:9000/", "http://localhost:9000"}, std::pair{"https://h:443", "https://h"},
          std::pair{"http://h:443", "http://h:443"}, std::pair{"http://[::1]:8080", "http://[::1]:8080"}}) {
        const auto endpoint = parse_endpoint(url);
        ASSERT_TRUE(endpoint.ok()) << url;
        EXPECT_EQ(endpoint->origin(), origin);
    }
}

TEST(Endpoint, RefusesEverythingElse) {
    for (const char* url : {"", "s3.example.com", "ftp://h", "https://", "https://h/path", "https://user:pw@h",
                            "https://h?x=1", "https://h:99999"}) {
        const auto endpoint = parse_endpoint(url);
        EXPECT_TRUE(endpoint.status().is(Kind::kInvalid)) << url;
        EXPECT_EQ(endpoint.status().to_string().find("pw"), std::string::npos);
    }
}

TEST(Endpoint, IsAwsOfTheRegionByDefault) {
    S3Options options;
    options.region = "eu-west-1";
    EXPECT_EQ(endpoint_of(options)->origin(), "https://s3.eu-west-1.amazonaws.com");
    options.region = "cn-north-1";
    EXPECT_EQ(endpoint_of(options)->origin(), "https://s3.cn-north-1.amazonaws.com.cn");
}

TEST(Endpoint, AddressesAndOddBucketsNeedPathStyle) {
    const auto style = [](const char* url, const char* bucket) {
        return needs_path_style(*parse_endpoint(url), bucket);
    };
    EXPECT_FALSE(style("https://s3.example.com", "my-bucket"));
    EXPECT_TRUE(style("http://127.0.0.1:9000", "bucket"));
    EXPECT_TRUE(style("http://[::1]:9000", "bucket"));
    EXPECT_TRUE(style("http://localhost:9000", "bucket"));
    EXPECT_TRUE(style("https://s3.example.com", "my.bucket"));
    EXPECT_TRUE(style("https://s3.example.com", "My_Bucket"));
}

// Dates at the ends of what an instant can hold: their difference to now is no number.
TEST(S3Errors, ImpossibleClocksSayNothing) {
    HttpResponse response;
    response.status = 503;
    const Instant now = Instant::from_seconds(1795339054);
    for (const char* date : {"Sun, 22 Nov 1680 09:17:34 GMT", "Sun, 22 Nov 2261 09:17:34 GMT"}) {
        response.headers = {{"date", date}, {"retry-after", date}};
        const Refusal refusal = read_refusal("GET", "b", response, "", now);
        EXPECT_FALSE(refusal.date) << date;
        EXPECT_EQ(refusal.retry_after.count(),
                  std::string_view(date).find("1680") != std::string_view::npos ? 0 : 60000);
    }
    response.headers = {{"date", "Sun, 22 Nov 2026 09:17:34 GMT"}};
    EXPECT_EQ(read_refusal("GET", "b", response, "", now).date, now);
}

TEST(Endpoint, RedirectsStayInTheDomain) {  // S11
    const auto same = [](const char* from, const char* to) {
        return is_same_domain(*parse_endpoint(from), *parse_endpoint(to));
    };
    EXPECT_TRUE(same("https://s3.example.com", "https://s3.example.com:444"));
    EXPECT_TRUE(same("https://s3.example.com", "https://bucket.s3.example.com"));
    EXPECT_TRUE(same("https://s3.us-east-1.amazonaws.com", "https://b.s3.eu-west-1.amazonaws.com"));
    EXPECT_FALSE(same("https://s3.example.com", "http://s3.example.com"));
    EXPECT_FALSE(same("https://s3.example.com", "https://s3.example.com.evil.org"));
    EXPECT_FALSE(same("https://s3.example.com", "https://evils3.example.com"));
}

TEST(Multipart, PartsGrowSoThatTenThousandSuffice) {  // S20
    std::uint64_t total = 0;
    for (int part = 1; part <= kMaxParts; ++part) total += part_size_at(8 << 20, part);
    EXPECT_GE(total, 5ULL << 40);
    EXPECT_EQ(part_size_at(8 << 20, 1000), 8U << 20);
    EXPECT_EQ(part_size_at(8 << 20, 1001), 16U << 20);
    EXPECT_LE(part_size_at(8 << 20, kMaxParts), 5ULL << 30);  // the most that S3 takes as one part
}

}  // namespace

}  // namespace forge::store::s3
