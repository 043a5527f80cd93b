#include "core/settings/storage_url.h"

#include <gtest/gtest.h>

namespace forge::settings {
namespace {

TEST(Storage, FormsThatAreUnderstood) {
    const std::pair<const char*, const char*> cases[] = {
        {"s3://bucket/some/path", "s3://bucket/some/path"},
        {"s3://bucket//some/path/", "s3://bucket/some/path"},
        {"s3://bucket", "s3://bucket"},
        {"s3://bucket/", "s3://bucket"},
        {"file:///srv/backup/", "file:///srv/backup"},
        {"file://localhost/srv/backup", "file:///srv/backup"},
        {"/srv/my backup", "file:///srv/my backup"},
    };
    for (const auto& [text, url] : cases) {
        const auto place = parse_storage(text);
        ASSERT_TRUE(place.ok()) << text << ": " << place.status().to_string();
        EXPECT_EQ(place->url(), url) << text;
    }
}

TEST(Storage, FormsThatAreRefused) {
    for (const char* text : {"", "relative/dir", "file://relative", "file://", "/", "s3://", "s3:///prefix",
                             "s3://buc ket/x", "s3://user:password@bucket/x", "s3://bucket/a/../b", "s3://bucket/a//b",
                             "gs://bucket/x", "S3://bucket/x", "https://host/bucket", "/srv/a\nb"}) {
        const auto place = parse_storage(text);
        ASSERT_FALSE(place.ok()) << text;
        EXPECT_TRUE(place.status().is(Kind::kInvalid)) << text;
        EXPECT_FALSE(place.status().hint().empty()) << text;
        EXPECT_EQ(place.status().to_string().find("password"), std::string::npos);
    }
}

TEST(Endpoint, FormsThatAreUnderstood) {
    const std::pair<const char*, const char*> cases[] = {
        {"https://s3.example.com", "https://s3.example.com"},
        {"http://127.0.0.1:9000/", "http://127.0.0.1:9000"},
        {"minio.storage.svc:9000", "https://minio.storage.svc:9000"},
        {"https://[::1]:443", "https://[::1]:443"},
    };
    for (const auto& [text, url] : cases) {
        const auto endpoint = parse_endpoint(text);
        ASSERT_TRUE(endpoint.ok()) << text << ": " << endpoint.status().to_string();
        EXPECT_EQ(*endpoint, url);
    }
}

TEST(Endpoint, FormsThatAreRefused) {
    for (const char* text : {"", "ftp://host", "https://", "https://host:0", "https://host:70000", "https://host:port",
                             "https://host/path", "https://host?x=1", "https://user:password@host", "https://ho st",
                             "https://[::1", "https://:9000"}) {
        const auto endpoint = parse_endpoint(text);
        ASSERT_FALSE(endpoint.ok()) << text;
        EXPECT_TRUE(endpoint.status().is(Kind::kInvalid)) << text;
        EXPECT_EQ(endpoint.status().to_string().find("password"), std::string::npos);
    }
}

TEST(Endpoint, ConventionOfTheOlderForm) {
    auto parsed = parse_wale_endpoint("https+path://host:9000");
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->endpoint, "https://host:9000");
    EXPECT_EQ(parsed->path_style, true);
    parsed = parse_wale_endpoint("http+virtualhost://host");
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(parsed->endpoint, "http://host");
    EXPECT_EQ(parsed->path_style, false);
    parsed = parse_wale_endpoint("https://host");
    ASSERT_TRUE(parsed.ok());
    EXPECT_FALSE(parsed->path_style);
    EXPECT_FALSE(parse_wale_endpoint("https+maybe://host").ok());
}

}  // namespace
}  // namespace forge::settings
