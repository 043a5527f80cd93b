#include "extension/helper_link.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "extension/keys.h"
#include "extension/settings.h"
#include "extension/statistics.h"
#include "extension/wall_clock.h"

namespace forge::server {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLongestWait{500};
constexpr int kWaitedEvents = 3;  // latch, death of the postmaster, socket

std::string_view role_name(HelperRole role) {
    switch (role) {
        case HelperRole::kArchiver: return "archiver";
        case HelperRole::kBackup: return "backup";
        case HelperRole::kQuery: return "query";
    }
    return "query";
}

// Attributes and file actions of a spawn, freed at the end of the scope.
class SpawnPlan {
public:
    // The child's end of the socket pair becomes its standard input and output; standard error stays the server's log.
    // The server's descriptors are not all close-on-exec and its signal settings would be inherited, hence the rest.
    explicit SpawnPlan(int child_end) {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_adddup2(&actions_, child_end, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions_, child_end, STDOUT_FILENO);
        posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
        sigset_t none;
        sigset_t all;
        sigemptyset(&none);
        sigfillset(&all);
        posix_spawnattr_init(&attributes_);
        posix_spawnattr_setsigmask(&attributes_, &none);
        posix_spawnattr_setsigdefault(&attributes_, &all);
        // No new process group: an immediate shutdown signals the group of the server process, and so the helper.
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    }
    ~SpawnPlan() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    SpawnPlan(const SpawnPlan&) = delete;
    SpawnPlan& operator=(const SpawnPlan&) = delete;

    const posix_spawn_file_actions_t* actions() const { return &actions_; }
    const posix_spawnattr_t* attributes() const { return &attributes_; }

private:
    posix_spawn_file_actions_t actions_;
    posix_spawnattr_t attributes_;
};

Frame hello(HelperRole role) {
    Frame frame(FrameType::kHello);
    frame.add(Tag::kVersion, FORGE_VERSION);
    frame.add(Tag::kRole, role_name(role));
    frame.add(Tag::kDataDirectory, DataDir);
    frame.add_number(Tag::kSegmentSize, static_cast<std::uint64_t>(wal_segment_size));
    frame.add_number(Tag::kSystemIdentifier, GetSystemIdentifier());
    frame.add_number(Tag::kServerVersion, kServerVersion);
    frame.add(Tag::kClusterName, cluster_name);
    return frame;
}

// What the helper says belongs into the log at a level of ours: its warnings are warnings, its steps are for debugging.
void log_frame(const Frame& frame) {
    const std::string_view level = frame.text(Tag::kLevel);
    const std::string message(frame.text(Tag::kMessage));
    int elevel = DEBUG2;
    if (level == "warning") elevel = WARNING;
    if (level == "notice") elevel = LOG;
    if (level == "info") elevel = DEBUG1;
    const char* const text = message.c_str();
    call_server([=] { ereport(elevel, (errmsg("forge_backup: %s", text))); });
}

std::string describe_end(int wait_status) {
    if (WIFSIGNALED(wait_status)) return "killed by signal " + std::to_string(WTERMSIG(wait_status));
    return "exit code " + std::to_string(WEXITSTATUS(wait_status));
}

}  // namespace

TimestampTz instant_of(const protocol::Frame& frame, protocol::Tag tag) {
    const std::uint64_t micros = frame.number(tag);
    return micros == 0 ? 0 : from_unix_micros(static_cast<std::int64_t>(micros));
}

Status status_of(const Frame& frame) {
    const std::string_view kind = frame.text(Tag::kKind);
    if (kind == "ok") return {};
    std::string message(frame.text(Tag::kMessage));
    if (message.empty()) message = "the helper process gave no reason";
    return Status(kind_from_name(kind), std::move(message), std::string(frame.text(Tag::kHint)));
}

Status HelperLink::spawn() {
    if (!AcquireExternalFD()) return errno_status(errno, "could not open a socket for helper", settings.helper_path);
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        const int error = errno;
        ReleaseExternalFD();
        return errno_status(error, "could not create a socket pair for helper", settings.helper_path);
    }
    std::string program = settings.helper_path;
    std::string verb = "helper";
    char* const arguments[] = {program.data(), verb.data(), nullptr};
    pid_t child = 0;
    const SpawnPlan plan(ends[1]);
    const int error = posix_spawn(&child, program.c_str(), plan.actions(), plan.attributes(), arguments, environ);
    close(ends[1]);
    if (error != 0) {
        close(ends[0]);
        ReleaseExternalFD();
        return errno_status(error, "could not start helper", program)
            .with_kind(Kind::kUnavailable)
            .with_hint("Install the executable forge-backup, or correct forge_backup.helper_path.");
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    socket_ = ends[0];
    pid_ = child;
    decoder_ = protocol::Decoder();
    end_ = Status();
    return {};
}

Status HelperLink::start(Deadline deadline) {
    stop(milliseconds(500));
    FORGE_TRY(spawn());
    FORGE_TRY(send(hello(role_), deadline));
    auto answer = receive(deadline);
    Status failure = answer.status();
    if (answer.ok() && answer->type == FrameType::kFailed)
        failure = status_of(*answer);
    else if (answer.ok() && answer->type != FrameType::kWelcome)
        failure = Status(Kind::kInternal, "unexpected answer");
    else if (answer.ok() && answer->text(Tag::kVersion) != FORGE_VERSION) {
        failure = Status(Kind::kInvalid,
                         "helper " + quoted(settings.helper_path) + " has version " +
                             std::string(answer->text(Tag::kVersion)) + ", the server library " FORGE_VERSION,
                         "Install the same version of both, then restart the server.");
    }
    if (!failure.ok()) stop(milliseconds(0));
    return failure;
}

Status HelperLink::send_settings(std::uint64_t epoch, const std::vector<std::string>& snapshot, Deadline deadline) {
    Frame frame(FrameType::kConfigure);
    frame.add_number(Tag::kEpoch, epoch);
    for (const std::string& setting : snapshot) frame.add(Tag::kSetting, setting);
    return send(frame, deadline);
}

Result<Frame> HelperLink::configure(std::uint64_t epoch, const std::vector<std::string>& snapshot, Deadline deadline) {
    FORGE_TRY(send_settings(epoch, snapshot, deadline));
    for (;;) {
        FORGE_ASSIGN(Frame answer, receive(deadline));
        if (answer.type == FrameType::kConfigured && answer.number(Tag::kEpoch) == epoch) return answer;
        if (answer.type == FrameType::kFailed) return status_of(answer);
    }
}

void HelperLink::prepare_waiting() {
    std::unique_ptr<WaitEventSet, FreeWaitSet> set(call_server([] { return create_wait_set(kWaitedEvents); }));
    const int death = role_ == HelperRole::kArchiver ? WL_POSTMASTER_DEATH : WL_EXIT_ON_PM_DEATH;
    socket_position_ = call_server([&set, death, socket = socket_] {
        AddWaitEventToSet(set.get(), WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
        AddWaitEventToSet(set.get(), death, PGINVALID_SOCKET, nullptr, nullptr);
        return AddWaitEventToSet(set.get(), WL_SOCKET_READABLE, socket, nullptr, nullptr);
    });
    wait_set_ = std::move(set);
}

Status HelperLink::wait(int socket_events, Deadline deadline) {
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now());
    const long timeout = static_cast<long>(std::clamp(left, milliseconds(0), kLongestWait).count());
    if (!wait_set_) prepare_waiting();
    const std::uint32_t events = call_server([this, socket_events, timeout] {
        ModifyWaitEvent(wait_set_.get(), socket_position_, static_cast<std::uint32_t>(socket_events), nullptr);
        WaitEvent happened[kWaitedEvents];
        const int count = WaitEventSetWait(wait_set_.get(), timeout, happened, kWaitedEvents, wait_event());
        std::uint32_t all = 0;
        for (int i = 0; i < count; ++i) all |= happened[i].events;
        if ((all & WL_LATCH_SET) != 0) {
            ResetLatch(MyLatch);
            latch_consumed_ = true;
        }
        CHECK_FOR_INTERRUPTS();
        return all;
    });
    if ((events & WL_POSTMASTER_DEATH) != 0) return Status(Kind::kCancelled, "the server has ended");
    if (on_wake_) FORGE_TRY(on_wake_());
    if (SteadyClock::now() >= deadline) return Status(Kind::kTimeout, "the helper process did not answer in time");
    return {};
}

bool HelperLink::read_available() {
    std::array<char, 64 * 1024> buffer;
    for (;;) {
        const ssize_t count = recv(socket_, buffer.data(), buffer.size(), 0);
        if (count > 0) {
            decoder_.feed(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
            if (static_cast<std::size_t>(count) < buffer.size()) return true;
            continue;
        }
        if (count < 0 && errno == EINTR) continue;
        return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
}

Status HelperLink::send(const Frame& frame, Deadline deadline) {
    if (!running()) return Status(Kind::kUnavailable, "the helper process does not run");
    const auto bytes = protocol::encode(frame);
    if (!bytes) return Status(Kind::kInvalid, "the settings or arguments are too long for the helper process");
    std::string_view rest = *bytes;
    while (!rest.empty()) {
        const ssize_t count = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (count >= 0) {
            rest.remove_prefix(static_cast<std::size_t>(count));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) return lost();
        // Reading as well: a helper that is busy sending takes nothing.
        if (Status waited = wait(WL_SOCKET_WRITEABLE | WL_SOCKET_READABLE, deadline); !waited.ok()) {
            stop(milliseconds(0));  // half a frame is out: nothing sensible can follow
            return waited;
        }
        if (!read_available()) return lost();
    }
    return {};
}

Result<std::optional<Frame>> HelperLink::next_frame() {
    for (;;) {
        Frame frame;
        switch (decoder_.next(frame)) {
            case protocol::Decoder::Outcome::kNeedMore: return std::optional<Frame>();
            case protocol::Decoder::Outcome::kBroken:
                stop(milliseconds(0));
                return Status(Kind::kInternal, "the helper process sent something that is not a frame",
                              "Install the same version of the server library and of the executable forge-backup.");
            case protocol::Decoder::Outcome::kFrame: break;
        }
        if (frame.type == FrameType::kLog)
            log_frame(frame);
        else if (frame.type == FrameType::kKeyUse || frame.type == FrameType::kKeys)
            note_keys(frame);
        else if (frame.type == FrameType::kStatistics)
            note_statistics(role_, frame);
        else
            return std::optional<Frame>(std::move(frame));
    }
}

Result<Frame> HelperLink::receive(Deadline deadline) {
    if (!running()) return Status(Kind::kUnavailable, "the helper process does not run");
    for (;;) {
        FORGE_ASSIGN(auto frame, next_frame());
        if (frame) return *std::move(frame);
        FORGE_TRY(wait(WL_SOCKET_READABLE, deadline));
        if (!read_available()) {
            // What it said before it ended counts.
            FORGE_ASSIGN(auto last, next_frame());
            if (last) return *std::move(last);
            return lost();
        }
    }
}

std::optional<Frame> HelperLink::poll() {
    if (!running()) return std::nullopt;
    auto frame = next_frame();
    if (frame.ok() && !*frame) {
        const bool open = read_available();
        frame = next_frame();
        if (frame.ok() && !*frame && !open) (void)lost();
    }
    return frame.ok() ? *std::move(frame) : std::nullopt;
}

Status HelperLink::lost() {
    int wait_status = 0;
    // The stream has ended, so the process is about to; a moment is enough to learn why.
    for (int tries = 0; tries < 100 && pid_ != 0; ++tries) {
        const pid_t ended = waitpid(pid_, &wait_status, WNOHANG);
        if (ended == pid_ || (ended < 0 && errno != EINTR)) {
            pid_ = 0;
            break;
        }
        pg_usleep(1000);
    }
    const bool known = pid_ == 0;
    stop(milliseconds(0));
    std::string message = "the helper process ended unexpectedly";
    if (known) message += " (" + describe_end(wait_status) + ")";
    end_ = Status(Kind::kUnavailable, std::move(message), "Earlier lines of the server's log may say why.");
    return end_;
}

void HelperLink::stop(milliseconds grace) noexcept {
    wait_set_.reset();
    if (socket_ >= 0) {
        close(socket_);
        ReleaseExternalFD();
        socket_ = -1;
    }
    const Deadline deadline = deadline_in(grace);
    // A killed process that hangs in the kernel (a dead network file system) must not hang this one as well.
    const Deadline abandon = deadline + std::chrono::seconds(2);
    bool killed = false;
    while (pid_ != 0) {
        const pid_t ended = waitpid(pid_, nullptr, WNOHANG);
        const auto now = SteadyClock::now();
        if (ended == pid_ || (ended < 0 && errno == ECHILD) || now >= abandon) {
            pid_ = 0;
        } else {
            if (!killed && now >= deadline) {
                kill(pid_, SIGKILL);
                killed = true;
            }
            // DROP DATABASE waits for every process to absorb its barrier, this one as well (P11).
            if (ProcSignalBarrierPending) (void)run_caught([] { call_server([] { ProcessProcSignalBarrier(); }); });
            pg_usleep(2000);
        }
    }
}

}  // namespace forge::server
