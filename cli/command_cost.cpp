#include "cli/command_cost.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <vector>

#include "cli/recovery_place.h"
#include "core/base/cancel.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

constexpr int kMostRuns = 8;
constexpr milliseconds kEnough{1000};
constexpr milliseconds kLongestRun{5000};

// Through a shell, as the server does it.
bool run_shell(const std::string& text) {
    std::string shell = "sh";
    std::string option = "-c";
    std::string command = text;
    char* const words[] = {shell.data(), option.data(), command.data(), nullptr};
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);  // to be killed with what it starts
    pid_t child = 0;
    const int failed = ::posix_spawn(&child, "/bin/sh", nullptr, &attributes, words, environ);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) return false;
    const Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    pollfd ended{handle.get(), POLLIN, 0};
    if (handle.get() < 0 || ::poll(&ended, 1, static_cast<int>(kLongestRun.count())) != 1) ::kill(-child, SIGKILL);
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::optional<double> time_restore_command(const CommandParts& parts, const std::string& segment) {
    std::string directory = join_path(temporary_directory(), "forge-backup-plan-XXXXXX");
    if (::mkdtemp(directory.data()) == nullptr) return std::nullopt;
    std::string text = "cd " + shell_quoted(directory) + " && " + shell_quoted(parts.executable) + " wal-fetch";
    for (const std::string& word : parts.words) text += " " + shell_quoted(word);
    text += " --retry-timeout=1 " + segment + " RECOVERYXLOG >/dev/null 2>&1";
    const Steady::time_point start = Steady::now();
    int runs = 0;
    bool works = true;
    while (works && runs < kMostRuns && Steady::now() - start < kEnough) {
        works = run_shell(text);
        ++runs;
    }
    const double spent = std::chrono::duration<double>(Steady::now() - start).count();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    if (!works) return std::nullopt;
    return spent / runs;
}

}  // namespace forge::cli
