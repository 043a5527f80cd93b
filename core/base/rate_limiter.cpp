#include "core/base/rate_limiter.h"

#include <algorithm>

namespace forge {

bool RateLimiter::acquire(std::uint64_t bytes, const CancelToken& cancel) {
    if (rate_ == 0) return !cancel.cancelled();
    // A share so large that it takes longer than this is a limit set by mistake; the bound keeps the clock from
    // overflowing.
    constexpr double kLongest = 1e8;
    const double cost = std::min(kLongest, static_cast<double>(bytes) / static_cast<double>(rate_));
    Steady::time_point until;
    {
        const std::lock_guard lock(mutex_);
        next_ = std::max(next_, Steady::now() - seconds(1)) +
                std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(cost));
        until = next_;
    }
    for (;;) {
        const auto left = std::chrono::ceil<milliseconds>(until - Steady::now());
        if (left.count() <= 0) return !cancel.cancelled();
        if (cancel.wait_for(std::min<milliseconds>(left, std::chrono::hours(1)))) return false;
    }
}

}  // namespace forge
