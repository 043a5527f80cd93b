#include "core/backup/worker_group.h"

#include <exception>
#include <new>
#include <system_error>

namespace forge::backup {
namespace {

constexpr milliseconds kCancelPoll{50};

}  // namespace

Status guarded(const std::function<Status()>& job) {
    try {
        return job();
    } catch (const std::bad_alloc&) {
        return Status(Kind::kExhausted, "out of memory");
    } catch (const std::exception& error) {
        return Status(Kind::kInternal, std::string("a worker failed: ") + error.what());
    }
}

WorkerGroup::~WorkerGroup() {
    stop_.cancel();
    for (std::thread& thread : threads_)
        if (thread.joinable()) thread.join();
}

bool WorkerGroup::start(std::function<Status()> job) {
    {
        const std::lock_guard lock(mutex_);
        ++running_;
    }
    try {
        threads_.emplace_back([this, job] { run(job); });
        return true;
    } catch (const std::system_error&) {
        if (threads_.empty()) {
            run(job);
            return true;
        }
        const std::lock_guard lock(mutex_);
        --running_;
        return false;
    }
}

void WorkerGroup::run(const std::function<Status()>& job) {
    report(guarded(job));
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
}

void WorkerGroup::report(Status status) {
    if (status.ok()) return;
    {
        const std::lock_guard lock(mutex_);
        if (first_failure_.ok()) first_failure_ = std::move(status);
    }
    stop_.cancel();
}

Status WorkerGroup::wait() {
    {
        std::unique_lock lock(mutex_);
        while (!changed_.wait_for(lock, kCancelPoll, [this] { return running_ == 0; }))
            if (caller_.cancelled()) stop_.cancel();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    FORGE_TRY(caller_.check());
    return first_failure_;
}

}  // namespace forge::backup
