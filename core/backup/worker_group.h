// Threads that work on one thing: the first failure stops all of them, and so does the caller's cancellation.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/cancel.h"

namespace forge::backup {

// What the job returns; an error where it throws.
Status guarded(const std::function<Status()>& job);

class WorkerGroup {
public:
    // `caller` outlives the group.
    explicit WorkerGroup(const CancelToken& caller) : caller_(caller) {}
    ~WorkerGroup();
    WorkerGroup(const WorkerGroup&) = delete;
    WorkerGroup& operator=(const WorkerGroup&) = delete;

    // What the jobs look at.
    const CancelToken& stop() const { return stop_; }
    // False when the system has no more threads to give and others run already; without any, the job runs here and now.
    bool start(std::function<Status()> job);
    // Until all have ended. kCancelled when the caller cancelled, else the first failure.
    Status wait();

private:
    void run(const std::function<Status()>& job);
    void report(Status status);

    const CancelToken& caller_;
    CancelToken stop_;
    std::mutex mutex_;
    std::condition_variable changed_;
    int running_ = 0;
    Status first_failure_;
    std::vector<std::thread> threads_;
};

}  // namespace forge::backup
