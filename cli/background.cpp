#include "cli/background.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

namespace forge::cli {
namespace {

constexpr int kLevel = 10;

}  // namespace

void lower_priority() {
    if (::getpriority(PRIO_PROCESS, 0) >= kLevel) return;
    [[maybe_unused]] const int refused = ::setpriority(PRIO_PROCESS, 0, kLevel);
}

void lower_priority_of_session() {
    lower_priority();
    const int fd = ::open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    const std::string level = std::to_string(kLevel);
    [[maybe_unused]] const ssize_t ignored = ::write(fd, level.data(), level.size());
    ::close(fd);
}

}  // namespace forge::cli
