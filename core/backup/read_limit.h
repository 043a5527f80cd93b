// What holds back the reading of a base backup: the disk's rate and, while others need the processors, their share.
#pragma once

#include "core/base/processor_share.h"
#include "core/base/rate_limiter.h"

namespace forge::backup {

// Thread-safe.
class ReadLimit {
public:
    ReadLimit(std::uint64_t bytes_per_second, double share_of_processors)
        : disk_(bytes_per_second), processors_(share_of_processors) {}
    // Waits until `bytes` may be read; false when cancelled meanwhile.
    bool acquire(std::uint64_t bytes, const CancelToken& cancel) {
        return processors_.acquire(cancel) && disk_.acquire(bytes, cancel);
    }

private:
    RateLimiter disk_;
    ProcessorShare processors_;
};

}  // namespace forge::backup
