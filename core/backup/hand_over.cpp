#include "core/backup/hand_over.h"

#include <algorithm>
#include <new>
#include <system_error>

namespace forge::backup {
namespace {

constexpr std::size_t kBuffer = 1 << 20;

Status write_guarded(Sink& next, ByteView data) {
    try {
        return next.write(data);
    } catch (const std::bad_alloc&) {
        return Status(Kind::kExhausted, "out of memory");
    }
}

}  // namespace

HandOverSink::~HandOverSink() { end_sender(); }

Status HandOverSink::write(ByteView data) {
    while (!data.empty()) {
        const std::size_t size = std::min(data.size(), kBuffer - filling_.size());
        filling_.insert(filling_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size));
        data = data.subspan(size);
        if (filling_.size() == kBuffer) FORGE_TRY(hand_over());
    }
    return {};
}

Status HandOverSink::hand_over() {
    if (!sender_.joinable() && !start_sender()) {
        FORGE_TRY(next_->write(filling_));
        filling_.clear();
        return {};
    }
    const StageScope scope(measurement_, Stage::kWait);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !full_; });
    FORGE_TRY(failure_);
    filling_.swap(sending_);
    full_ = true;
    changed_.notify_all();
    return {};
}

bool HandOverSink::start_sender() {
    try {
        sender_ = std::thread([this] { send(); });
        return true;
    } catch (const std::system_error&) {
        return false;
    }
}

void HandOverSink::send() {
    std::unique_lock lock(mutex_);
    while (failure_.ok()) {
        changed_.wait(lock, [this] { return full_ || ended_; });
        if (ended_) return;
        lock.unlock();
        Status status = write_guarded(*next_, sending_);
        lock.lock();
        sending_.clear();
        full_ = false;
        failure_ = std::move(status);
        changed_.notify_all();
    }
}

void HandOverSink::end_sender() {
    if (!sender_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        ended_ = true;
        changed_.notify_all();
    }
    sender_.join();
}

Status HandOverSink::finish() {
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !full_; });
    }
    end_sender();
    FORGE_TRY(failure_);
    if (!filling_.empty()) FORGE_TRY(next_->write(filling_));
    return next_->finish();
}

}  // namespace forge::backup
