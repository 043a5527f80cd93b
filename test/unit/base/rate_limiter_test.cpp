#include "core/base/rate_limiter.h"

#include <gtest/gtest.h>

#include <thread>

namespace forge {
namespace {

milliseconds since(Steady::time_point start) { return std::chrono::duration_cast<milliseconds>(Steady::now() - start); }

TEST(RateLimiter, NoLimitNeverWaits) {
    RateLimiter limiter(0);
    const CancelToken cancel;
    const auto start = Steady::now();
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(limiter.acquire(1ULL << 40, cancel));
    EXPECT_LT(since(start), seconds(5));
}

TEST(RateLimiter, LetsABurstPassAndThenHoldsTheRate) {
    RateLimiter limiter(1'000'000);
    const CancelToken cancel;
    const auto start = Steady::now();
    EXPECT_TRUE(limiter.acquire(900'000, cancel));
    EXPECT_LT(since(start), milliseconds(100));
    // 1.2 million bytes in all: 1 million at once, the rest at the rate.
    for (int i = 0; i < 30; ++i) EXPECT_TRUE(limiter.acquire(10'000, cancel));
    EXPECT_GE(since(start), milliseconds(150));
    EXPECT_LT(since(start), seconds(5));
}

TEST(RateLimiter, SharesTheRateBetweenThreads) {
    RateLimiter limiter(1'000'000);
    const CancelToken cancel;
    EXPECT_TRUE(limiter.acquire(1'000'000, cancel));
    const auto start = Steady::now();
    std::thread other([&] { EXPECT_TRUE(limiter.acquire(100'000, cancel)); });
    EXPECT_TRUE(limiter.acquire(100'000, cancel));
    other.join();
    EXPECT_GE(since(start), milliseconds(150));
}

TEST(RateLimiter, CancelEndsTheWait) {
    RateLimiter limiter(1);
    CancelToken cancel;
    std::thread canceller([&] { cancel.cancel(); });
    EXPECT_FALSE(limiter.acquire(UINT64_MAX, cancel));
    canceller.join();
    EXPECT_FALSE(limiter.acquire(1, cancel));
    EXPECT_FALSE(RateLimiter(0).acquire(1, cancel));
}

TEST(Deadline, EarlierOneWins) {
    const Deadline soon = Deadline::after(milliseconds(0));
    EXPECT_TRUE(soon.passed());
    EXPECT_EQ(soon.left(), milliseconds(0));
    EXPECT_FALSE(Deadline::never().passed());
    EXPECT_TRUE(Deadline::never().or_earlier(soon).passed());
    EXPECT_TRUE(soon.or_earlier(Deadline::never()).passed());
    EXPECT_GT(Deadline::after(seconds(100)).left(), seconds(90));
}

}  // namespace
}  // namespace forge
