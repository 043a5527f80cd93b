#include "core/base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace forge {
namespace {

TEST(Status, DefaultIsSuccess) {
    const Status status;
    EXPECT_TRUE(status.ok());
    EXPECT_EQ(status.kind(), Kind::kOk);
    EXPECT_EQ(status.message(), "");
    EXPECT_EQ(status.to_string(), "ok");
}

TEST(Status, ContextReadsLikeAPath) {
    const Status status = Status(Kind::kTimeout, "no answer", "Check the network.").with_context("put wal_005/x");
    EXPECT_EQ(status.message(), "put wal_005/x: no answer");
    EXPECT_EQ(status.to_string(), "put wal_005/x: no answer (hint: Check the network.)");
    EXPECT_EQ(status.with_context("archive").message(), "archive: put wal_005/x: no answer");
    EXPECT_TRUE(Status().with_context("anything").ok());
}

TEST(Status, CopiesAreIndependent) {
    Status first(Kind::kDenied, "no");
    const Status second = first;
    first = std::move(first).with_kind(Kind::kInvalid);
    EXPECT_EQ(first.kind(), Kind::kInvalid);
    EXPECT_EQ(second.kind(), Kind::kDenied);
}

TEST(Status, CarriesWhatTheStoreSaid) {
    const Status status = Status(Kind::kThrottled, "slow down").with_http(503, "SlowDown", "abc");
    EXPECT_EQ(status.http_status(), 503);
    EXPECT_EQ(status.store_code(), "SlowDown");
    EXPECT_EQ(status.request_id(), "abc");
}

TEST(Status, OnlyPassingTroubleIsRetryable) {
    EXPECT_TRUE(is_retryable(Kind::kThrottled));
    EXPECT_TRUE(is_retryable(Kind::kUnavailable));
    EXPECT_TRUE(is_retryable(Kind::kTimeout));
    for (const Kind kind : {Kind::kNotFound, Kind::kAlreadyExists, Kind::kConflict, Kind::kDenied, Kind::kInvalid,
                            Kind::kCorrupt, Kind::kCancelled, Kind::kExhausted, Kind::kInternal}) {
        EXPECT_FALSE(is_retryable(kind)) << kind_name(kind);
    }
}

TEST(Status, KindNamesGoBothWays) {
    for (int i = 0; i <= static_cast<int>(Kind::kInternal); ++i) {
        const auto kind = static_cast<Kind>(i);
        EXPECT_EQ(kind_from_name(kind_name(kind)), kind);
    }
    EXPECT_EQ(kind_from_name("nonsense"), Kind::kInternal);
}

TEST(Status, ErrnoGivesKindAndText) {
    const Status full = errno_status(ENOSPC, "could not write to file", "/a/b");
    EXPECT_EQ(full.kind(), Kind::kExhausted);
    EXPECT_EQ(full.message(), "could not write to file \"/a/b\": No space left on device");
    // "Not found" is what a store says; a missing local file is bad input.
    EXPECT_EQ(errno_status(ENOENT, "could not open file", "x").kind(), Kind::kInvalid);
    EXPECT_EQ(errno_status(EACCES, "could not open file", "x").kind(), Kind::kDenied);
    EXPECT_EQ(errno_status(EIO, "could not read file", "x").kind(), Kind::kUnavailable);
}

Result<int> halve(int value) {
    if (value % 2 != 0) return Status(Kind::kInvalid, "odd");
    return value / 2;
}
Result<int> quarter(int value) {
    FORGE_ASSIGN(const int half, halve(value));
    return halve(half);
}
Status check_even(int value) {
    FORGE_TRY(halve(value).status());
    return {};
}

TEST(Result, MacrosPassErrorsOn) {
    EXPECT_EQ(quarter(12).value(), 3);
    EXPECT_EQ(quarter(6).status().message(), "odd");
    EXPECT_EQ(quarter(5).status().kind(), Kind::kInvalid);
    EXPECT_TRUE(check_even(2).ok());
    EXPECT_FALSE(check_even(3).ok());
}

}  // namespace
}  // namespace forge
