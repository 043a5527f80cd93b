#include "core/store/retry.h"

#include <algorithm>
#include <random>

#include "core/base/measurement.h"

namespace forge::store {

double random_fraction() {
    thread_local std::mt19937_64 engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
}

Retry::Retry(RetryPolicy policy, const CallContext& context, Random random)
    : policy_(policy), context_(context), random_(std::move(random)) {}

void Retry::reset() {
    failures_ = 0;
    began_ = Steady::now();
}

milliseconds Retry::delay() const {
    milliseconds bound = policy_.first_delay;
    for (int i = 1; i < failures_ && bound < policy_.max_delay; ++i) bound *= 2;
    bound = std::min(bound, policy_.max_delay);
    return milliseconds(static_cast<std::int64_t>(static_cast<double>(bound.count()) * random_()));
}

Status Retry::next(Status error, milliseconds at_least) {
    ++failures_;
    // Content damaged on the way is sent again once; damaged twice, something is broken that repetition does not mend.
    const bool damaged_once = error.is(Kind::kCorrupt) && !corrupt_before_;
    if (error.is(Kind::kCorrupt)) corrupt_before_ = true;
    if (!error.retryable() && !damaged_once) return error;
    if (failures_ >= context_.max_attempts) return error;
    const milliseconds pause = at_least + delay();
    const auto spent = std::chrono::duration_cast<milliseconds>(Steady::now() - began_);
    if (policy_.time - pause < spent) return error;
    if (context_.deadline.left() <= pause) return error;
    if (cancel_of(context_).wait_for(pause)) return Status(Kind::kCancelled, "canceled");
    note_retry(error.kind());
    return {};
}

}  // namespace forge::store
