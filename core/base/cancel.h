// Telling work to stop, and how long it may take. Thread-safe: any thread may cancel, any number may ask.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "core/base/status.h"

namespace forge {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

class CancelToken {
public:
    void cancel() {
        {
            const std::lock_guard lock(mutex_);
            cancelled_.store(true, std::memory_order_release);
        }
        changed_.notify_all();
    }
    bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
    // Waits up to `pause`; true when cancelled (at once if it already is).
    bool wait_for(milliseconds pause) const {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, pause, [this] { return cancelled(); });
    }
    // kCancelled once cancelled.
    Status check() const { return cancelled() ? Status(Kind::kCancelled, "canceled") : Status(); }

private:
    std::atomic<bool> cancelled_{false};
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
};

// A point on the monotonic clock, so that jumps of the wall clock do not matter.
class Deadline {
public:
    static Deadline after(milliseconds span) { return Deadline(Steady::now() + span); }
    static Deadline never() { return Deadline(Steady::time_point::max()); }
    bool passed() const { return at_ != Steady::time_point::max() && Steady::now() >= at_; }
    bool is_never() const { return at_ == Steady::time_point::max(); }
    // Not below zero; a day where there is no deadline.
    milliseconds left() const {
        if (is_never()) return std::chrono::hours(24);
        const auto rest = std::chrono::duration_cast<milliseconds>(at_ - Steady::now());
        return rest.count() > 0 ? rest : milliseconds(0);
    }
    Deadline or_earlier(Deadline other) const { return at_ < other.at_ ? *this : other; }

private:
    explicit Deadline(Steady::time_point at) : at_(at) {}
    Steady::time_point at_;
};

}  // namespace forge
