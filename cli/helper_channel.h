// The helper's end of the link to the server: whole frames in and out, end of file, and the signals that mean the same.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <string>

#include "core/base/cancel.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/protocol/frame.h"

namespace forge::cli {

// send() may be called by any thread; receive() by one.
class Channel {
public:
    // Frames come on `input` and go to `output`; both stay the caller's. Signals to stop are read from `signals` (a
    // signalfd).
    Channel(int input, int output, int signals) : input_(input), output_(output), signals_(signals) {}

    // A dead peer is noticed by receive(); what is sent to it is lost. Before the end of an answer goes what keys have
    // opened (kKeyUse) and what was measured (kStatistics) meanwhile.
    void send(const protocol::Frame& frame);
    enum class Event { kFrame, kTimeout, kEnd };
    // kEnd: the peer is gone, sent nonsense, or a signal asked to stop.
    Event receive(protocol::Frame& frame, milliseconds timeout);

private:
    void write(const protocol::Frame& frame);
    void tell_key_use();
    void tell_statistics();
    bool read_more();

    int input_;
    int output_;
    int signals_;
    protocol::Decoder decoder_;
    std::mutex mutex_;
    bool broken_ = false;
    std::map<std::string, std::uint64_t> told_;  // by fingerprint: objects that the peer knows of
};

// Messages as kLog frames.
class ChannelLogger final : public Logger {
public:
    explicit ChannelLogger(Channel& channel) : channel_(channel) {}
    void log(LogLevel level, std::string_view message) override;

private:
    Channel& channel_;
};

protocol::Frame failed_frame(const Status& status);
protocol::Frame& add_status(protocol::Frame& frame, const Status& status);  // kKind, kMessage, kHint

}  // namespace forge::cli
