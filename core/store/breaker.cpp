#include "core/store/breaker.h"

#include <algorithm>

namespace forge::store {

Breaker::Breaker() : Breaker(Options{}) {}

Breaker::Breaker(Options options, Now now, Random random, OnChange on_change)
    : options_(options), now_(std::move(now)), random_(std::move(random)), on_change_(std::move(on_change)) {}

bool Breaker::allow() {
    State before;
    {
        const std::lock_guard lock(mutex_);
        if (state_ == State::kClosed) return true;
        if (now_() < next_try_) return false;
        before = state_;
        state_ = State::kHalfOpen;
        next_try_ = now_() + options_.max_pause;  // for the case that this probe never reports
    }
    announce(before);
    return true;
}

void Breaker::success() {
    State before;
    {
        const std::lock_guard lock(mutex_);
        before = state_;
        close();
        last_error_ = Status();
    }
    announce(before);
}

void Breaker::failure(const Status& error) {
    State before;
    {
        const std::lock_guard lock(mutex_);
        before = state_;
        if (error.is(Kind::kCancelled)) {
            if (state_ == State::kHalfOpen) {  // the probe was called back: the next caller may probe at once
                state_ = State::kOpen;
                next_try_ = now_();
            }
        } else {
            last_error_ = error;
            if (is_refusal(error)) {
                ++failures_;
                if (state_ != State::kOpen) open_for(options_.refused_pause, 0.1);
            } else if (!error.retryable()) {
                close();
            } else if (++failures_; state_ == State::kHalfOpen ||
                                    (state_ == State::kClosed && failures_ >= options_.failures_to_open)) {
                open();
            }
        }
    }
    announce(before);
}

void Breaker::open() {
    milliseconds bound = options_.first_pause;
    for (int i = 0; i < openings_ && bound < options_.max_pause; ++i) bound *= 2;
    bound = std::min(bound, options_.max_pause);
    ++openings_;
    // Half of the pause is fixed: with full jitter a probe could follow at once.
    open_for(bound, 0.5);
}

// `jitter`: the part of the pause that is left to chance.
void Breaker::open_for(milliseconds pause, double jitter) {
    const double length = static_cast<double>(pause.count()) * (1 - jitter + jitter * random_());
    state_ = State::kOpen;
    next_try_ = now_() + milliseconds(static_cast<std::int64_t>(length));
}

void Breaker::close() {
    state_ = State::kClosed;
    failures_ = 0;
    openings_ = 0;
}

void Breaker::announce(State before) {
    if (!on_change_) return;
    State after;
    Status error;
    {
        const std::lock_guard lock(mutex_);
        after = state_;
        error = last_error_;
    }
    if (after != before) on_change_(after, error);
}

Breaker::State Breaker::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

int Breaker::failures() const {
    const std::lock_guard lock(mutex_);
    return failures_;
}

std::optional<Steady::time_point> Breaker::next_try() const {
    const std::lock_guard lock(mutex_);
    if (state_ == State::kClosed) return std::nullopt;
    return next_try_;
}

Status Breaker::last_error() const {
    const std::lock_guard lock(mutex_);
    return last_error_;
}

bool is_refusal(const Status& error) {
    if (error.is(Kind::kDenied)) return true;
    return error.http_status() != 0 && (error.is(Kind::kInvalid) || error.is(Kind::kExhausted));
}

const char* breaker_state_name(Breaker::State state) {
    switch (state) {
        case Breaker::State::kClosed: return "closed";
        case Breaker::State::kOpen: return "open";
        case Breaker::State::kHalfOpen: return "half-open";
    }
    return "closed";
}

}  // namespace forge::store
