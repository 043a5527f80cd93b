// A store whose reads keep to a rate and are counted, as stored. Everything else is passed on.
#pragma once

#include <atomic>
#include <memory>

#include "core/base/rate_limiter.h"
#include "core/store/object_store.h"

namespace forge::store {

struct Meter {
    RateLimiter& limit;
    std::atomic<std::uint64_t>& bytes;
    const CancelToken& cancel;
};
// `next` and what the meter refers to outlive the store and its streams.
std::shared_ptr<ObjectStore> metered(ObjectStore& next, const Meter& meter);

}  // namespace forge::store
