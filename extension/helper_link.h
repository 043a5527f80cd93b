// The link to one helper process: spawn it, talk to it in frames over a socket pair, bury it.
//
// The helper is the executable forge-backup with the verb "helper"; it does all work with user data, keys and the
// store, so that a crash, a hang or the out-of-memory killer there costs one retry here. Its output is untrusted input.
// Every wait is on the process's latch and the socket, at most half a second at a time, and handles interrupts after
// each, so that neither DROP DATABASE nor a shutdown waits for a store.
//
// Owned by one process, used from its main thread. Functions throw ServerError where an interrupt raises ERROR.
#pragma once

#include "extension/boundary.h"

namespace forge::server {

using SteadyClock = std::chrono::steady_clock;
using Deadline = SteadyClock::time_point;
inline Deadline deadline_in(std::chrono::milliseconds span) { return SteadyClock::now() + span; }

enum class HelperRole { kArchiver, kBackup, kQuery };

class HelperLink {
public:
    // Asked after every wake-up; anything but success ends the wait with that status.
    using WakeCheck = std::function<Status()>;

    explicit HelperLink(HelperRole role, WakeCheck on_wake = {}) : role_(role), on_wake_(std::move(on_wake)) {}
    ~HelperLink() { stop(std::chrono::milliseconds(500)); }
    HelperLink(const HelperLink&) = delete;
    HelperLink& operator=(const HelperLink&) = delete;

    // Spawns the helper and exchanges kHello and kWelcome. On failure no process is left.
    Status start(Deadline deadline);
    // The helper answers kConfigured for this epoch.
    Status send_settings(std::uint64_t epoch, const std::vector<std::string>& snapshot, Deadline deadline);
    // Sends the settings and returns that answer; other frames that come before it are lost.
    Result<protocol::Frame> configure(std::uint64_t epoch, const std::vector<std::string>& snapshot, Deadline deadline);
    Status send(const protocol::Frame& frame, Deadline deadline);
    // The next frame but kLog, which goes to the server's log here, and what is said of keys, which goes to shared
    // memory. kTimeout: the deadline passed, the link is good.
    // Any other failure: the helper is gone or talks nonsense, the link is closed and the process buried.
    Result<protocol::Frame> receive(Deadline deadline);
    // A frame that has already arrived, without waiting.
    std::optional<protocol::Frame> poll();

    bool running() const { return pid_ != 0; }
    int pid() const { return pid_; }
    // Why the helper was lost; success if it was not.
    const Status& end() const { return end_; }
    // True if a wait of ours has reset the latch; whoever else waits on it must be woken again.
    bool latch_consumed() const { return latch_consumed_; }
    void forget_latch() { latch_consumed_ = false; }

    // Closes the pipe, which tells the helper to stop; waits for its end; kills it if that takes longer than `grace`.
    // Calls nothing that can raise ERROR, so that exit handlers may use it.
    void stop(std::chrono::milliseconds grace) noexcept;

private:
    struct FreeWaitSet {
        void operator()(WaitEventSet* set) const { FreeWaitEventSet(set); }
    };

    Status spawn();
    void prepare_waiting();
    Status wait(int socket_events, Deadline deadline);
    // Reads what is there; false at the end of the stream.
    bool read_available();
    Result<std::optional<protocol::Frame>> next_frame();
    Status lost();

    HelperRole role_;
    WakeCheck on_wake_;
    int pid_ = 0;
    int socket_ = -1;
    // Kept as long as the socket: to make one for each wait costs a fifth of what the archiver spends on a segment.
    std::unique_ptr<WaitEventSet, FreeWaitSet> wait_set_;
    int socket_position_ = 0;  // in the set
    bool latch_consumed_ = false;
    Status end_;
    protocol::Decoder decoder_;
};

// The Status a kFailed, kConfigured or kArchived frame carries.
Status status_of(const protocol::Frame& frame);
// What it says as microseconds since 1970; 0 = nothing.
TimestampTz instant_of(const protocol::Frame& frame, protocol::Tag tag);

}  // namespace forge::server
