// Token bucket over bytes. Thread-safe; shared by all streams that one limit covers.
#pragma once

#include <cstdint>
#include <mutex>

#include "core/base/cancel.h"

namespace forge {

class RateLimiter {
public:
    // 0 bytes a second = no limit. Bursts up to a second's worth.
    explicit RateLimiter(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}
    // Waits until `bytes` may pass; false when cancelled meanwhile.
    bool acquire(std::uint64_t bytes, const CancelToken& cancel);

private:
    std::uint64_t rate_;
    std::mutex mutex_;
    Steady::time_point next_{};  // when the bucket is empty again
};

}  // namespace forge
