#include "core/store/s3/pacer.h"

#include <algorithm>

namespace forge::store::s3 {

namespace {

constexpr milliseconds kPoll{20};  // for a request that waits until another one ends

}  // namespace

milliseconds Pacer::try_begin() {
    const std::lock_guard lock(mutex_);
    const auto pause = std::chrono::ceil<milliseconds>(gate_ - Steady::now());
    if (pause.count() > 0) return pause;
    if (limit_ > 0 && under_way_ >= static_cast<int>(limit_)) return kPoll;
    ++under_way_;
    most_ = std::max(most_, under_way_);
    return milliseconds(0);
}

Status Pacer::Turn::begin(const CallContext& context) {
    for (;;) {
        const milliseconds pause = pacer_.try_begin();
        if (pause.count() == 0) break;
        if (context.deadline.left() < pause) return Status(Kind::kThrottled, "the store asks to slow down");
        if (cancel_of(context).wait_for(pause)) return Status(Kind::kCancelled, "canceled");
    }
    begun_ = true;
    return {};
}

Pacer::Turn::~Turn() {
    if (!begun_) return;
    const std::lock_guard lock(pacer_.mutex_);
    --pacer_.under_way_;
}

void Pacer::Turn::succeeded() {
    const std::lock_guard lock(pacer_.mutex_);
    if (pacer_.limit_ == 0) return;
    pacer_.limit_ += 1 / pacer_.limit_;
    if (pacer_.limit_ > pacer_.most_) pacer_.limit_ = 0;
}

// The answers to requests that were sent together say one thing, not one thing each.
void Pacer::Turn::throttled(milliseconds pause) {
    const std::lock_guard lock(pacer_.mutex_);
    const Steady::time_point now = Steady::now();
    if (now >= pacer_.gate_) pacer_.limit_ = std::max(1.0, pacer_.under_way_ / 2.0);
    pacer_.gate_ = std::max(pacer_.gate_, now + pause);
}

int Pacer::limit() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(limit_);
}

}  // namespace forge::store::s3
