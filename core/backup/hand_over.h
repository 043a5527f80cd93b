// Two threads for one pipeline: what is written is sent on by a thread of its own, while the writer makes the next bytes.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "core/base/measurement.h"
#include "core/base/stream.h"

namespace forge::backup {

// Holds two buffers of 1 MiB: one is filled, the other one sent. What ends before the first is full, and what finds no
// thread to be had, is sent by the writer itself. A failure of `next` is reported by one of the following calls. Waiting
// for the sender is Stage::kWait of the measurement that is the thread's current one when this is made.
class HandOverSink final : public Sink {
public:
    explicit HandOverSink(std::unique_ptr<Sink> next) : next_(std::move(next)), measurement_(Measurement::current()) {}
    // Without finish() what was not sent is dropped; waits for the write that runs.
    ~HandOverSink() override;
    Status write(ByteView data) override;
    // In the thread of the caller, after all was sent.
    Status finish() override;

private:
    Status hand_over();
    bool start_sender();
    void send();
    void end_sender();

    std::unique_ptr<Sink> next_;
    Measurement* measurement_;  // null = nobody measures
    Bytes filling_;
    std::thread sender_;
    std::mutex mutex_;  // of all below
    std::condition_variable changed_;
    Bytes sending_;  // the sender's own while `full_`
    bool full_ = false, ended_ = false;
    Status failure_;
};

}  // namespace forge::backup
