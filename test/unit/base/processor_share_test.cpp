#include "core/base/processor_share.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace forge {
namespace {

// A machine of four processors whose clock the test moves.
struct {
    double all = 0, own = 0;
    Steady::time_point now{seconds(1000)};
} g_machine;

class Share : public ::testing::Test {
protected:
    Share() { g_machine = {}; }
    static ProcessorShare share(double part) {
        return ProcessorShare(
            part, {4, [] { return g_machine.all; }, [] { return g_machine.own; }, [] { return g_machine.now; }});
    }
    // Time passes in which others and this process use so many processors.
    static void pass(milliseconds time, double others, double own) {
        const double span = std::chrono::duration<double>(time).count();
        g_machine.now += time;
        g_machine.own += span * own;
        g_machine.all += span * (others + own);
    }
};

TEST_F(Share, NobodyIsHeldBackWhereOthersAreIdle) {
    ProcessorShare limit = share(0.1);
    for (int i = 0; i < 20; ++i) {
        pass(milliseconds(300), 1.9, 2);
        EXPECT_EQ(limit.due().count(), 0) << i;
    }
}

TEST_F(Share, HoldsBackWhileOthersAreBusy) {
    ProcessorShare limit = share(0.1);
    pass(milliseconds(300), 3, 1);
    EXPECT_EQ(limit.due().count(), 0) << "what it used before they came is not held against it";
    pass(milliseconds(40), 3, 1);  // of 0.4 processors for 40 ms it may have 16 ms
    EXPECT_EQ(limit.due().count(), 60);
    pass(milliseconds(60), 4, 0);
    EXPECT_EQ(limit.due().count(), 0);
    // In the long run.
    const double before = g_machine.own;
    for (int i = 0; i < 10'000; ++i) {
        const bool may = limit.due().count() == 0;
        pass(milliseconds(1), 3, may ? 1 : 0);
    }
    EXPECT_NEAR(g_machine.own - before, 10 * 4 * 0.1, 0.1);
}

TEST_F(Share, WhatIsNotUsedIsNotKept) {
    ProcessorShare limit = share(0.1);
    pass(milliseconds(300), 4, 0);
    EXPECT_EQ(limit.due().count(), 0);
    for (int i = 0; i < 40; ++i) {
        pass(milliseconds(250), 4, 0);
        EXPECT_EQ(limit.due().count(), 0);
    }
    pass(milliseconds(100), 3, 1);
    EXPECT_GT(limit.due().count(), 0);
}

TEST_F(Share, EndsWhenOthersAreDone) {
    ProcessorShare limit = share(0.1);
    pass(milliseconds(300), 3, 1);
    EXPECT_EQ(limit.due().count(), 0);
    pass(milliseconds(200), 3, 1);
    EXPECT_GT(limit.due().count(), 0);
    pass(milliseconds(250), 0, 0);
    EXPECT_EQ(limit.due().count(), 0);
    pass(milliseconds(200), 0, 4);
    EXPECT_EQ(limit.due().count(), 0);
}

TEST_F(Share, WholeMachineIsNoLimit) {
    ProcessorShare limit = share(1);
    pass(milliseconds(300), 4, 0);
    EXPECT_EQ(limit.due().count(), 0);
    pass(milliseconds(200), 0, 4);
    EXPECT_EQ(limit.due().count(), 0);
}

TEST_F(Share, CancelledWorkDoesNotWait) {
    ProcessorShare limit = share(0.01);
    pass(milliseconds(300), 4, 0);
    EXPECT_EQ(limit.due().count(), 0);
    pass(milliseconds(200), 0, 4);
    CancelToken cancel;
    cancel.cancel();
    EXPECT_FALSE(limit.acquire(cancel));
}

// The kernel's figures: this thread is seen as part of all.
TEST(ShareHere, CountsThisProcess) {
    const ProcessorShare::Machine machine = ProcessorShare::here();
    const double all = machine.time_of_all(), own = machine.time_of_process();
    while (machine.time_of_process() - own < 0.2) {}
    EXPECT_GT(machine.time_of_all() - all, 0.1);
    EXPECT_GE(machine.processors, 1);
}

}  // namespace
}  // namespace forge
