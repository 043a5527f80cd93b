// How a store that asks to slow down is asked from then on (S9).
#include "core/store/s3/pacer.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "test/unit/store/support.h"

namespace forge::store::s3 {

namespace {

using Turns = std::deque<Pacer::Turn>;

CallContext patient(milliseconds time = milliseconds(10000)) {
    return {.deadline = Deadline::after(time), .cancel = nullptr, .max_attempts = 1};
}

void begin(Turns& turns, Pacer& pacer, int count) {
    for (int i = 0; i < count; ++i) ASSERT_TRUE(turns.emplace_back(pacer).begin(patient()).ok());
}

bool is_full(Pacer& pacer) {
    Pacer::Turn turn(pacer);
    return turn.begin(patient(milliseconds(1))).is(Kind::kThrottled);
}

TEST(Pacer, NothingIsHeldBackBeforeTheStoreAsks) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 100);
    EXPECT_EQ(pacer.limit(), 0);
}

TEST(Pacer, EverybodyWaitsWhileTheStoreWantsAPause) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 1);
    turns.front().throttled(milliseconds(80));
    turns.clear();
    EXPECT_TRUE(is_full(pacer));
    const Steady::time_point start = Steady::now();
    begin(turns, pacer, 1);
    EXPECT_GE(Steady::now() - start, milliseconds(70));
}

TEST(Pacer, HalfAsManyGoOnAfterThrottling) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 8);
    for (Pacer::Turn& turn : turns) turn.throttled(milliseconds(20));  // together they say it once
    turns.clear();
    EXPECT_EQ(pacer.limit(), 4);
    begin(turns, pacer, 4);
    EXPECT_TRUE(is_full(pacer));
    turns.front().throttled(milliseconds(1));
    EXPECT_EQ(pacer.limit(), 2);
    turns.pop_back();
    EXPECT_TRUE(is_full(pacer));
}

TEST(Pacer, OneIsAlwaysLetThrough) {
    Pacer pacer;
    for (int i = 0; i < 5; ++i) {
        Turns turns;
        begin(turns, pacer, 1);
        turns.front().throttled(milliseconds(1));
    }
    EXPECT_EQ(pacer.limit(), 1);
}

TEST(Pacer, SuccessesTakeTheBoundAwayAgain) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 8);
    turns.front().throttled(milliseconds(1));
    turns.clear();
    int needed = 0;
    for (; pacer.limit() != 0 && needed < 1000; ++needed) {
        Turns one;
        begin(one, pacer, 1);
        one.front().succeeded();
    }
    EXPECT_GT(needed, 8);
    EXPECT_LT(needed, 100);
}

TEST(Pacer, WhoWaitsGoesOnWhenAnotherEnds) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 1);
    turns.front().throttled(milliseconds(1));
    turns.clear();
    begin(turns, pacer, 1);
    std::atomic<bool> went{false};
    std::thread other([&] {
        Pacer::Turn turn(pacer);
        went = turn.begin(patient()).ok();
    });
    turns.clear();
    other.join();
    EXPECT_TRUE(went);
}

TEST(Pacer, CancellationEndsTheWait) {
    Pacer pacer;
    Turns turns;
    begin(turns, pacer, 1);
    turns.front().throttled(milliseconds(60000));
    CancelToken token;
    std::thread canceller([&] { token.cancel(); });
    Pacer::Turn turn(pacer);
    EXPECT_TRUE(turn.begin({.deadline = Deadline::never(), .cancel = &token, .max_attempts = 1}).is(Kind::kCancelled));
    canceller.join();
}

}  // namespace

}  // namespace forge::store::s3
