// When to try a failed request again: exponential backoff with full jitter, within the attempts and the deadline of the
// call. One Retry belongs to one call and one thread.
#pragma once

#include <functional>

#include "core/store/object_store.h"

namespace forge::store {

// Uniform in [0, 1); handed in so that tests can fix it.
using Random = std::function<double()>;
// Seeded for each thread.
double random_fraction();

struct RetryPolicy {
    milliseconds first_delay{200};
    milliseconds max_delay{10000};
    milliseconds time = milliseconds::max();  // after that much without progress nothing is tried again
};

class Retry {
public:
    Retry(RetryPolicy policy, const CallContext& context, Random random = random_fraction);

    // To be called after a failed attempt. Success: it has waited (at least `at_least`, what the store asked for), try
    // again now. Otherwise what to return: `error` itself when it is not worth another attempt or the deadline would
    // pass before one, kCancelled when cancelled meanwhile.
    Status next(Status error, milliseconds at_least = milliseconds(0));
    // The attempt got further than the ones before: count from the start again.
    void reset();
    int failures() const { return failures_; }

private:
    milliseconds delay() const;

    RetryPolicy policy_;
    CallContext context_;
    Random random_;
    int failures_ = 0;
    Steady::time_point began_ = Steady::now();
    bool corrupt_before_ = false;
};

}  // namespace forge::store
