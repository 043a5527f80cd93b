// A library for LD_PRELOAD that makes system calls of forge-backup fail by a script, as broken disks and machines that
// run out of something do. Every other program stays as it is: the test's server inherits the variable as well.
//
// FAULTY_LIBC_DIR names a directory with a file "script", which is read again at every call. A line of it:
//
//     CALL PATTERN ERRNO COUNT [OFFSET]
//
// CALL: open read write fsync rename thread. PATTERN: of the path, as in a shell ("-" for thread). ERRNO: its name.
// COUNT: how often, "-" for always, "2+3" for three times after two that pass. OFFSET: only a read that reaches this
// byte. How often line N was used is the size of the file "used.N" in the directory.
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/limits.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

namespace {

constexpr std::string_view kProgram = "/forge-backup";

template <typename Function>
Function next(const char* name) {
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

std::string link_target(const char* link) {
    char path[PATH_MAX];
    const ssize_t size = readlink(link, path, sizeof(path));
    return size > 0 ? std::string(path, static_cast<std::size_t>(size)) : std::string();
}

const char* directory() {
    static const char* const found =
        link_target("/proc/self/exe").ends_with(kProgram) ? std::getenv("FAULTY_LIBC_DIR") : nullptr;
    return found;
}

// By system calls themselves: the functions are ours.
std::string script() {
    const std::string path = std::string(directory()) + "/script";
    const int fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd < 0) return {};
    char text[4096];
    const ssize_t size = syscall(SYS_read, fd, text, sizeof(text));
    close(fd);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
}

int number_of(const std::string& name) {
    for (int error = 1; error < 134; ++error) {
        const char* const known = strerrorname_np(error);
        if (known != nullptr && name == known) return error;
    }
    std::fprintf(stderr, "faulty_libc: unknown error \"%s\"\n", name.c_str());
    std::abort();
}

// Takes one of the line's uses; false when there are none left.
bool take(int line, const std::string& count) {
    const std::string path = std::string(directory()) + "/used." + std::to_string(line);
    const int fd =
        static_cast<int>(syscall(SYS_openat, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    // Between threads as well: each call opened the file for itself.
    if (flock(fd, LOCK_EX) != 0) std::abort();
    struct stat info {};
    const std::size_t plus = count.find('+');
    const off_t pass = plus == count.npos ? 0 : std::atoll(count.c_str());
    const off_t last = count == "-" ? std::numeric_limits<off_t>::max()
                                    : pass + std::atoll(count.c_str() + (plus == count.npos ? 0 : plus + 1));
    const bool left = fstat(fd, &info) == 0 && info.st_size < last;
    if (left && syscall(SYS_write, fd, ".", 1) != 1) std::abort();
    close(fd);
    return left && info.st_size >= pass;
}

struct Fault {
    int error = 0;  // 0: none
    off_t offset = -1;
};

// `first` and `size`: what is read; no offset of a line counts where nothing is.
Fault fault(const char* call, const std::string& path, off_t first = -1, std::size_t size = 0) {
    if (directory() == nullptr) return {};
    const int before = errno;
    const std::string text = script();
    Fault found;
    int line = 0;
    for (std::size_t at = 0; at < text.size() && found.error == 0; ++line) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        char name[16], pattern[1024], error[24], count[16];
        long long offset = -1;
        const int fields = std::sscanf(text.substr(at, end - at).c_str(), "%15s %1023s %23s %15s %lld", name, pattern,
                                       error, count, &offset);
        at = end + 1;
        if (fields < 4 || std::strcmp(name, call) != 0 || fnmatch(pattern, path.c_str(), 0) != 0) continue;
        if (offset >= 0 && (offset < first || offset >= first + static_cast<off_t>(size))) continue;
        if (take(line, count)) found = {number_of(error), static_cast<off_t>(offset)};
    }
    errno = before;
    return found;
}

std::string path_of(int fd) {
    if (directory() == nullptr) return {};
    return link_target(("/proc/self/fd/" + std::to_string(fd)).c_str());
}

std::string path_at(int base, const char* path) {
    if (directory() == nullptr || path[0] == '/' || base == AT_FDCWD) return path;
    return path_of(base) + "/" + path;
}

bool fails(const char* call, const std::string& path) {
    const Fault found = fault(call, path);
    if (found.error != 0) errno = found.error;
    return found.error != 0;
}

// What lies before the bad byte is still read.
bool read_fails(int fd, off_t first, std::size_t& size) {
    if (directory() == nullptr) return false;
    const Fault found = fault("read", path_of(fd), first, size);
    if (found.error == 0) return false;
    if (found.offset > first) {
        size = static_cast<std::size_t>(found.offset - first);
        return false;
    }
    errno = found.error;
    return true;
}

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    static const auto real = next<int (*)(const char*, int, ...)>("open");
    return fails("open", path) ? -1 : real(path, flags, mode);
}

int openat(int base, const char* path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    static const auto real = next<int (*)(int, const char*, int, ...)>("openat");
    return fails("open", path_at(base, path)) ? -1 : real(base, path, flags, mode);
}

ssize_t read(int fd, void* buffer, std::size_t size) {
    static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
    const off_t at = directory() != nullptr ? lseek(fd, 0, SEEK_CUR) : -1;
    return at >= 0 && read_fails(fd, at, size) ? -1 : real(fd, buffer, size);
}

ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) {
    static const auto real = next<ssize_t (*)(int, void*, std::size_t, off_t)>("pread");
    return read_fails(fd, offset, size) ? -1 : real(fd, buffer, size, offset);
}

ssize_t write(int fd, const void* data, std::size_t size) {
    static const auto real = next<ssize_t (*)(int, const void*, std::size_t)>("write");
    return fails("write", path_of(fd)) ? -1 : real(fd, data, size);
}

ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) {
    static const auto real = next<ssize_t (*)(int, const void*, std::size_t, off_t)>("pwrite");
    return fails("write", path_of(fd)) ? -1 : real(fd, data, size, offset);
}

int fsync(int fd) {
    static const auto real = next<int (*)(int)>("fsync");
    return fails("fsync", path_of(fd)) ? -1 : real(fd);
}

int syncfs(int fd) noexcept {
    static const auto real = next<int (*)(int)>("syncfs");
    return fails("fsync", path_of(fd)) ? -1 : real(fd);
}

int rename(const char* from, const char* to) noexcept {
    static const auto real = next<int (*)(const char*, const char*)>("rename");
    return fails("rename", to) ? -1 : real(from, to);
}

int renameat2(int from_base, const char* from, int to_base, const char* to, unsigned int flags) noexcept {
    static const auto real = next<int (*)(int, const char*, int, const char*, unsigned int)>("renameat2");
    return fails("rename", path_at(to_base, to)) ? -1 : real(from_base, from, to_base, to, flags);
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
    static const auto real =
        next<int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
    const Fault found = fault("thread", "-");
    return found.error != 0 ? found.error : real(thread, attributes, start, argument);
}

}  // extern "C"
