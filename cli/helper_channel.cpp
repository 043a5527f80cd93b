#include "cli/helper_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/measurement.h"
#include "core/crypto/key_use.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

bool ends_answer(FrameType type) {
    return type == FrameType::kDone || type == FrameType::kFailed || type == FrameType::kArchived ||
           type == FrameType::kBackupCopied;
}

}  // namespace

void Channel::send(const Frame& frame) {
    const std::lock_guard lock(mutex_);
    if (ends_answer(frame.type)) {
        tell_key_use();
        tell_statistics();
    }
    write(frame);
}

void Channel::tell_key_use() {
    Frame frame(FrameType::kKeyUse);
    for (const auto& [fingerprint, use] : crypto::key_use()) {
        std::uint64_t& told = told_[fingerprint];
        if (use.objects > told) frame.add(Tag::kKey, fingerprint + "\t" + std::to_string(use.objects - told));
        told = use.objects;
    }
    if (!frame.fields.empty()) write(frame);
}

void Channel::tell_statistics() {
    const Statistics statistics = take_statistics();
    if (!statistics.empty()) write(Frame(FrameType::kStatistics).add(Tag::kValue, encode_statistics(statistics)));
}

void Channel::write(const Frame& frame) {
    std::optional<std::string> bytes = protocol::encode(frame);
    if (!bytes) bytes = protocol::encode(failed_frame(Status(Kind::kInternal, "answer is too long for one frame")));
    std::string_view rest = *bytes;
    while (!rest.empty() && !broken_) {
        const ssize_t written = ::write(output_, rest.data(), rest.size());
        if (written > 0) {
            rest.remove_prefix(static_cast<std::size_t>(written));
        } else if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            pollfd writable{output_, POLLOUT, 0};
            ::poll(&writable, 1, -1);
        } else if (written == 0 || errno != EINTR) {
            broken_ = true;  // half a frame must not be followed by another one
        }
    }
}

// False at the end.
bool Channel::read_more() {
    std::array<char, 65536> buffer;
    const ssize_t count = ::read(input_, buffer.data(), buffer.size());
    if (count > 0) decoder_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK));
}

Channel::Event Channel::receive(Frame& frame, milliseconds timeout) {
    const Deadline deadline = Deadline::after(timeout);
    while (true) {
        switch (decoder_.next(frame)) {
            case protocol::Decoder::Outcome::kFrame: return Event::kFrame;
            case protocol::Decoder::Outcome::kBroken: return Event::kEnd;
            case protocol::Decoder::Outcome::kNeedMore: break;
        }
        std::array<pollfd, 2> wanted{pollfd{input_, POLLIN, 0}, pollfd{signals_, POLLIN, 0}};
        const int ready = ::poll(wanted.data(), wanted.size(), static_cast<int>(deadline.left().count()));
        if (ready < 0 && errno != EINTR) return Event::kEnd;
        if (ready == 0) return Event::kTimeout;
        if (ready < 0) continue;
        if (wanted[1].revents != 0) return Event::kEnd;
        if (wanted[0].revents != 0 && !read_more()) return Event::kEnd;
    }
}

void ChannelLogger::log(LogLevel level, std::string_view message) {
    constexpr std::array<std::string_view, 4> kNames{"debug", "info", "notice", "warning"};
    Frame frame(FrameType::kLog);
    frame.add(Tag::kLevel, kNames[static_cast<std::size_t>(level)]).add(Tag::kMessage, message);
    channel_.send(frame);
}

Frame& add_status(Frame& frame, const Status& status) {
    frame.add(Tag::kKind, kind_name(status.kind()));
    if (!status.ok()) frame.add(Tag::kMessage, status.message()).add(Tag::kHint, status.hint());
    return frame;
}

Frame failed_frame(const Status& status) {
    Frame frame(FrameType::kFailed);
    add_status(frame, status);
    return frame;
}

}  // namespace forge::cli
