// Keeps a dead store from being asked over and over: after some retryable failures in a row the breaker opens, and
// nobody asks until a probe is due; one caller probes, and its success closes the breaker. The pause before a probe
// doubles up to a bound, with jitter, so that many clients do not come back at the same moment. A store that refuses
// (permissions, quota, a missing bucket) opens it at once and for longer: only somebody's action changes the answer.
//
// Thread-safe. The store does not use it by itself: who sends work owns one and asks it.
#pragma once

#include <functional>
#include <mutex>
#include <optional>

#include "core/base/cancel.h"
#include "core/store/retry.h"

namespace forge::store {

class Breaker {
public:
    enum class State { kClosed, kOpen, kHalfOpen };
    struct Options {
        int failures_to_open = 5;
        milliseconds first_pause{1000};
        // Both are less than a minute: who repairs the store, or its permissions, is to see it work within one.
        milliseconds max_pause{45000};
        milliseconds refused_pause{45000};
    };
    using Now = std::function<Steady::time_point()>;
    // Called without the breaker's lock, by the thread whose report changed the state; the error is the last one.
    using OnChange = std::function<void(State, const Status&)>;

    Breaker();
    explicit Breaker(Options options, Now now = Steady::now, Random random = random_fraction, OnChange on_change = {});

    // True: go ahead and report by success() or failure(). While half-open only one caller gets true, until it has
    // reported (or has been silent for max_pause, so that a lost thread does not keep the breaker open for ever).
    bool allow();
    void success();
    // Retryable kinds count; a refusal opens at once; a cancelled call says nothing about the store; any other kind is
    // about one object of a living store, and closes.
    void failure(const Status& error);

    State state() const;
    int failures() const;  // retryable ones in a row
    // When the next probe is due; nothing while closed.
    std::optional<Steady::time_point> next_try() const;
    Status
    last_error() const;  // of the last failure() that was not a cancellation; success if there was none since success()

private:
    void open_for(milliseconds pause, double jitter);
    void open();
    void close();
    void announce(State before);

    Options options_;
    Now now_;
    Random random_;
    OnChange on_change_;
    mutable std::mutex mutex_;
    State state_ = State::kClosed;
    int failures_ = 0;
    int openings_ = 0;  // without a success between them
    Steady::time_point next_try_{};
    Status last_error_;
};

// A denial, or another answer of the store that stays the same until its configuration or ours is changed.
bool is_refusal(const Status& error);

const char* breaker_state_name(Breaker::State state);  // "closed", "open", "half-open"

}  // namespace forge::store
