// forge-backup helper: the child process that does the work for the server (archiver, base backup, queries). It must
// never harm the server: its exit code is 0 or 1 and it dies by no signal, since the postmaster would take that of an
// orphan for a crash of its own child.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <exception>

#include "cli/background.h"
#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "cli/helper_roles.h"
#include "cli/version.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

void crashed(int) {
    constexpr std::string_view kText = "forge-backup helper: internal error, the process ends\n";
    [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, kText.data(), kText.size());
    ::_exit(kExitFailure);
}

// Signals that mean "stop" become readable on the descriptor returned; the ones that mean a bug end the process with
// exit code 1.
int take_over_signals() {
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
        struct sigaction action {};
        action.sa_handler = crashed;
        sigaction(number, &action, nullptr);
    }
    sigset_t stop;
    sigemptyset(&stop);
    for (const int number : {SIGTERM, SIGQUIT, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&stop, number);
    pthread_sigmask(SIG_SETMASK, &stop, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGTERM, SIGQUIT, SIGINT}) sigaddset(&wanted, number);
    return ::signalfd(-1, &wanted, SFD_CLOEXEC);
}

// The kernel should take this process before one of the server's when memory is short. Raising the score needs no
// privilege.
void volunteer_for_out_of_memory() {
    const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    [[maybe_unused]] const ssize_t ignored = ::write(fd, "500", 3);
    ::close(fd);
}

bool is_pipe(int fd) {
    struct stat info {};
    return ::fstat(fd, &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode));
}

// Reads kHello and answers kWelcome; nothing = the peer is gone or is no server.
std::optional<Hello> greet(Channel& channel) {
    Frame frame;
    if (channel.receive(frame, seconds(30)) != Channel::Event::kFrame || frame.type != FrameType::kHello)
        return std::nullopt;
    Hello hello;
    hello.role = frame.text(Tag::kRole);
    hello.data_directory = frame.text(Tag::kDataDirectory);
    if (const std::uint64_t size = frame.number(Tag::kSegmentSize); layout::is_valid_segment_size(size))
        hello.segment_size = size;
    hello.system_identifier = frame.number(Tag::kSystemIdentifier);
    hello.server_version = static_cast<int>(frame.number(Tag::kServerVersion));
    hello.cluster_name = frame.text(Tag::kClusterName);
    Frame welcome(FrameType::kWelcome);
    channel.send(welcome.add(Tag::kVersion, version()).add_number(Tag::kPid, static_cast<std::uint64_t>(::getpid())));
    return hello;
}

int serve(int output, int signals) {
    Channel channel(STDIN_FILENO, output, signals);
    ChannelLogger logger(channel);
    const std::optional<Hello> hello = greet(channel);
    if (!hello) return kExitOk;
    // The server's worker, which is the only other process in the session, does next to nothing.
    if (hello->role == "backup") lower_priority_of_session();
    ::prctl(PR_SET_DUMPABLE, 0);  // keys will be in memory; takes the right to files in /proc away
    if (hello->role == "archiver")
        run_archiver_role(channel, logger, *hello);
    else if (hello->role == "backup")
        run_backup_role(channel, logger, *hello);
    else if (hello->role == "query")
        run_query_role(channel, logger, *hello);
    else
        channel.send(failed_frame(Status(Kind::kInternal, "role \"" + hello->role + "\" is not known")));
    return kExitOk;
}

}  // namespace

int run_helper(CommandLine& line) {
    line.more_help("The database server starts this by itself; there is no use for it on a command line.\n");
    if (const auto code = line.parse()) return *code;
    if (!is_pipe(STDIN_FILENO) || !is_pipe(STDOUT_FILENO)) {
        std::fputs("forge-backup helper: error: standard input and output are no pipe\n"
                   "forge-backup helper: hint: Only the database server starts this command.\n",
                   stderr);
        return kExitFailure;
    }
    const pid_t parent = ::getppid();
    const int signals = take_over_signals();
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) return kExitOk;  // the parent died before the line above
    volunteer_for_out_of_memory();
    // What a library prints must not end up between two frames.
    const int output = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    std::set_terminate([] { crashed(0); });
    try {
        return serve(output, signals);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "forge-backup helper: error: %s\n", error.what());
        return kExitFailure;
    }
}

}  // namespace forge::cli
