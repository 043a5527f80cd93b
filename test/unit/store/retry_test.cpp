#include "core/store/retry.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <utility>

#include "core/store/breaker.h"
#include "test/unit/store/support.h"

namespace forge::store {

namespace {

const Status kDown(Kind::kUnavailable, "down");

CallContext attempts(int n) { return {.deadline = Deadline::never(), .cancel = nullptr, .max_attempts = n}; }
Random fixed(double value) {
    return [value] { return value; };
}

TEST(Retry, EndsAfterTheAttempts) {
    Retry retry({milliseconds(0), milliseconds(0)}, attempts(3));
    expect_ok(retry.next(kDown));
    expect_ok(retry.next(kDown));
    EXPECT_EQ(retry.next(kDown).message(), "down");
    retry.reset();
    expect_ok(retry.next(kDown));
}

TEST(Retry, DoesNotRepeatWhatCannotHelp) {
    for (const Kind kind :
         {Kind::kNotFound, Kind::kDenied, Kind::kInvalid, Kind::kAlreadyExists, Kind::kInternal, Kind::kCancelled}) {
        Retry retry({}, attempts(3));
        EXPECT_TRUE(retry.next(Status(kind, "x")).is(kind));
    }
}

TEST(Retry, RepeatsDamagedContentOnce) {  // S13
    Retry retry({milliseconds(0), milliseconds(0)}, attempts(10));
    expect_ok(retry.next(Status(Kind::kCorrupt, "damaged")));
    EXPECT_TRUE(retry.next(Status(Kind::kCorrupt, "damaged")).is(Kind::kCorrupt));
}

TEST(Retry, PausesDoubleUpToTheBound) {
    Retry retry({milliseconds(4), milliseconds(10)}, attempts(100), fixed(0.999999));
    for (const int least : {3, 7, 9, 9}) {
        const auto start = Steady::now();
        expect_ok(retry.next(kDown));
        const auto waited = std::chrono::duration_cast<milliseconds>(Steady::now() - start).count();
        EXPECT_GE(waited, least);
    }
}

TEST(Retry, WaitsAtLeastWhatTheStoreAsksFor) {
    Retry retry({milliseconds(0), milliseconds(0)}, attempts(2));
    const auto start = Steady::now();
    expect_ok(retry.next(kDown, milliseconds(30)));
    EXPECT_GE(Steady::now() - start, milliseconds(30));
}

TEST(Retry, DoesNotWaitBeyondTheDeadline) {
    CallContext context = attempts(10);
    context.deadline = Deadline::after(milliseconds(100));
    Retry retry({}, context);
    const auto start = Steady::now();
    EXPECT_TRUE(retry.next(kDown, milliseconds(5000)).is(Kind::kUnavailable));
    EXPECT_LT(Steady::now() - start, milliseconds(90));
}

TEST(Retry, EndsAfterItsTimeWithoutProgress) {
    const RetryPolicy policy{.first_delay = milliseconds(1), .max_delay = milliseconds(1), .time = milliseconds(50)};
    Retry retry(policy, {.max_attempts = 1'000'000}, fixed(0));
    EXPECT_TRUE(retry.next(kDown).ok());
    EXPECT_EQ(retry.next(kDown, milliseconds(60)).message(), "down");
    const auto ended = [&] { return !retry.next(kDown).ok(); };
    EXPECT_TRUE(eventually(ended));
    retry.reset();
    EXPECT_TRUE(retry.next(kDown).ok());
}

TEST(Retry, CancellationEndsThePause) {
    CancelToken cancel;
    CallContext context = attempts(10);
    context.cancel = &cancel;
    Retry retry({}, context);
    std::thread stopper([&cancel] { cancel.cancel(); });
    EXPECT_TRUE(retry.next(kDown, milliseconds(60000)).is(Kind::kCancelled));
    stopper.join();
}

class BreakerTest : public testing::Test {
protected:
    Breaker make() {
        return Breaker(
            {.failures_to_open = 5, .first_pause = milliseconds(1000), .max_pause = milliseconds(60000)},
            [this] { return now_; }, fixed(1.0),
            [this](Breaker::State state, const Status& error) {
                changes_.push_back(std::string(breaker_state_name(state)) + ": " + error.message());
            });
    }
    static void fail(Breaker& breaker, int times) {
        for (int i = 0; i < times; ++i) breaker.failure(kDown);
    }

    Steady::time_point now_{std::chrono::hours(1)};
    std::vector<std::string> changes_;
};

TEST_F(BreakerTest, OpensAfterConsecutiveRetryableFailures) {
    Breaker breaker = make();
    fail(breaker, 4);
    EXPECT_TRUE(breaker.allow());
    breaker.success();
    fail(breaker, 4);
    EXPECT_EQ(breaker.state(), Breaker::State::kClosed);
    EXPECT_FALSE(breaker.next_try());
    fail(breaker, 1);
    EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
    EXPECT_EQ(breaker.failures(), 5);
    EXPECT_EQ(breaker.last_error().message(), "down");
    EXPECT_FALSE(breaker.allow());
}

TEST_F(BreakerTest, OneProbeAtATime) {
    Breaker breaker = make();
    fail(breaker, 5);
    EXPECT_EQ(*breaker.next_try(), now_ + milliseconds(1000));
    now_ += milliseconds(1000);
    EXPECT_TRUE(breaker.allow());
    EXPECT_EQ(breaker.state(), Breaker::State::kHalfOpen);
    EXPECT_FALSE(breaker.allow());
    breaker.success();
    EXPECT_TRUE(breaker.allow());
    EXPECT_TRUE(breaker.allow());
    EXPECT_EQ(breaker.failures(), 0);
}

TEST_F(BreakerTest, PausesGrowToTheBoundAndStartAnewAfterSuccess) {
    Breaker breaker = make();
    fail(breaker, 5);
    for (const int pause : {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000}) {
        EXPECT_EQ(*breaker.next_try(), now_ + milliseconds(pause));
        now_ = *breaker.next_try();
        ASSERT_TRUE(breaker.allow());
        breaker.failure(kDown);
    }
    now_ = *breaker.next_try();
    ASSERT_TRUE(breaker.allow());
    breaker.success();
    fail(breaker, 5);
    EXPECT_EQ(*breaker.next_try(), now_ + milliseconds(1000));
}

TEST_F(BreakerTest, AnAnswerAboutOneObjectCloses) {
    for (const Kind kind : {Kind::kConflict, Kind::kCorrupt, Kind::kInvalid, Kind::kExhausted}) {
        Breaker breaker = make();
        fail(breaker, 5);
        now_ += milliseconds(1000);
        ASSERT_TRUE(breaker.allow());
        breaker.failure(Status(kind, "this one"));
        EXPECT_EQ(breaker.state(), Breaker::State::kClosed);
        EXPECT_EQ(breaker.last_error().message(), "this one");
    }
}

// S1, S2, S5, S22: nobody's patience changes these, so they are said at once and tried again once a minute.
TEST_F(BreakerTest, ARefusalOpensAtOnceAndForLonger) {
    const std::vector<Status> refusals{
        Status(Kind::kDenied, "access denied").with_http(403, "AccessDenied", "1"),
        Status(Kind::kDenied, "could not read the key file"),
        Status(Kind::kInvalid, "no such bucket").with_http(404, "NoSuchBucket", "2"),
        Status(Kind::kExhausted, "the store is full").with_http(403, "QuotaExceeded", "3"),
    };
    for (const Status& refusal : refusals) {
        changes_.clear();
        Breaker breaker = make();
        breaker.failure(refusal);
        EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
        EXPECT_FALSE(breaker.allow());
        for (int i = 0; i < 3; ++i) {  // the pause does not grow
            EXPECT_EQ(*breaker.next_try(), now_ + milliseconds(45000));
            now_ = *breaker.next_try();
            ASSERT_TRUE(breaker.allow());
            breaker.failure(refusal);
        }
        EXPECT_EQ(changes_.front(), "open: " + refusal.message());
        now_ = *breaker.next_try();
        ASSERT_TRUE(breaker.allow());
        breaker.success();
        EXPECT_EQ(breaker.state(), Breaker::State::kClosed);
    }
}

TEST_F(BreakerTest, PausesAfterRefusalsVaryALittle) {
    Breaker breaker(
        {}, [this] { return now_; }, fixed(0));
    breaker.failure(Status(Kind::kDenied, "denied"));
    EXPECT_EQ(*breaker.next_try(), now_ + milliseconds(40500));
}

TEST_F(BreakerTest, CancelledProbeLeavesTheNextOneToOthers) {
    Breaker breaker = make();
    fail(breaker, 5);
    now_ += milliseconds(1000);
    ASSERT_TRUE(breaker.allow());
    breaker.failure(Status(Kind::kCancelled, "canceled"));
    EXPECT_EQ(breaker.state(), Breaker::State::kOpen);
    EXPECT_EQ(breaker.last_error().message(), "down");
    EXPECT_TRUE(breaker.allow());
}

TEST_F(BreakerTest, LostProbeIsReplaced) {
    Breaker breaker = make();
    fail(breaker, 5);
    now_ += milliseconds(1000);
    ASSERT_TRUE(breaker.allow());
    now_ += milliseconds(59999);
    EXPECT_FALSE(breaker.allow());
    now_ += milliseconds(1);
    EXPECT_TRUE(breaker.allow());
}

TEST_F(BreakerTest, LateFailuresDoNotProlongThePause) {
    Breaker breaker = make();
    fail(breaker, 5);
    const auto due = breaker.next_try();
    fail(breaker, 10);
    EXPECT_EQ(breaker.next_try(), due);
}

TEST_F(BreakerTest, SaysEachChangeOnce) {
    Breaker breaker = make();
    fail(breaker, 7);
    now_ += milliseconds(1000);
    ASSERT_TRUE(breaker.allow());
    breaker.success();
    breaker.success();
    EXPECT_EQ(changes_, (std::vector<std::string>{"open: down", "half-open: down", "closed: "}));
}

TEST_F(BreakerTest, FlappingStoreMakesProgress) {  // N15: 2 s up, 8 s down, for half an hour
    std::mt19937_64 engine(1);
    Breaker breaker(
        {}, [this] { return now_; }, [&engine] { return std::uniform_real_distribution<>(0, 1)(engine); });
    int found = 0;
    bool found_now = false;
    for (int tick = 0; tick < 18000; ++tick, now_ += milliseconds(100)) {
        if (tick % 100 == 0) found_now = false;
        if (!breaker.allow()) continue;
        if (tick % 100 >= 20) {
            breaker.failure(kDown);
            continue;
        }
        breaker.success();
        if (!std::exchange(found_now, true)) ++found;
    }
    EXPECT_GE(found, 10);
}

}  // namespace

}  // namespace forge::store
