#include "core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace forge {

namespace {

// A name beside `path` that no other process or thread uses.
std::string temporary_name(const std::string& path) {
    std::array<std::uint8_t, 8> random{};
    if (getrandom(random.data(), random.size(), GRND_NONBLOCK) != static_cast<ssize_t>(random.size())) {
        // Not seeded yet, early at boot: O_EXCL still refuses a name that is taken.
        store_le(random.data(), static_cast<std::uint64_t>(::getpid()));
    }
    return path + ".tmp." + to_hex(random);
}

Status write_and_sync(Fd fd, ByteView content, const std::string& path) {
    FORGE_TRY(write_fd(fd.get(), content, path));
    FORGE_TRY(sync_fd(fd.get(), path));
    // Some file systems (NFS) report a failed write at close only.
    if (::close(fd.release()) != 0 && errno != EINTR) return errno_status(errno, "could not close file", path);
    return {};
}

struct DirectoryCloser {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = other.release();
    }
    return *this;
}

void Fd::reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Result<Fd> open_file(const std::string& path, int flags, mode_t mode) {
    for (;;) {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
        if (fd >= 0) return Fd(fd);
        if (errno == EINTR) continue;
        return errno_status(errno, (flags & O_CREAT) != 0 ? "could not create file" : "could not open file", path);
    }
}

Result<std::size_t> read_fd(int fd, MutableBytes buffer, const std::string& path) {
    std::size_t filled = 0;
    while (filled < buffer.size()) {
        const ssize_t n = ::read(fd, buffer.data() + filled, buffer.size() - filled);
        if (n == 0) break;
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno_status(errno, "could not read file", path);
        }
        filled += static_cast<std::size_t>(n);
    }
    return filled;
}

Status write_fd(int fd, ByteView data, const std::string& path) {
    while (!data.empty()) {
        const ssize_t n = ::write(fd, data.data(), data.size());
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno_status(errno, "could not write to file", path);
        }
        data = data.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

Status sync_fd(int fd, const std::string& path) {
    // Never repeated after a failure: the kernel may have dropped the pages, and a second call would succeed for
    // nothing.
    if (::fsync(fd) != 0) return errno_status(errno, "could not fsync file", path);
    return {};
}

void WriteBack::wrote(int fd, std::size_t size) {
    constexpr std::uint64_t kEnough = 8 << 20;
    written_ += size;
    if (written_ - started_ < kEnough) return;
    static_cast<void>(::sync_file_range(fd, static_cast<off_t>(started_), static_cast<off_t>(written_ - started_),
                                        SYNC_FILE_RANGE_WRITE));
    started_ = written_;
}

Status sync_directory(const std::string& path) {
    FORGE_ASSIGN(const Fd fd, open_file(path, O_RDONLY | O_DIRECTORY));
    // Some file systems cannot fsync a directory and say so; there is nothing to be done then, as in the server.
    if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != EBADF) {
        return errno_status(errno, "could not fsync directory", path);
    }
    return {};
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
    FORGE_ASSIGN(const Fd fd, open_file(path, O_RDONLY));
    std::string content;
    std::array<std::uint8_t, 16384> buffer;
    for (;;) {
        FORGE_ASSIGN(const std::size_t n, read_fd(fd.get(), buffer, path));
        if (n == 0) return content;
        if (n > limit - content.size()) {
            return Status(Kind::kExhausted,
                          "file \"" + path + "\" is larger than the limit of " + std::to_string(limit) + " bytes");
        }
        content.append(as_text(ByteView(buffer.data(), n)));
    }
}

Status write_file_durably(const std::string& path, ByteView content, mode_t mode) {
    const std::string temporary = temporary_name(path);
    FORGE_ASSIGN(Fd fd, open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode));
    Status status = write_and_sync(std::move(fd), content, temporary);
    if (status.ok() && std::rename(temporary.c_str(), path.c_str()) != 0) {
        status = errno_status(errno, "could not rename file \"" + temporary + "\" to", path);
    }
    if (!status.ok()) {
        ::unlink(temporary.c_str());
        return status;
    }
    return sync_directory(parent_path(path));
}

Result<struct ::stat> stat_path(const std::string& path) {
    struct ::stat result {};
    if (::stat(path.c_str(), &result) != 0) return errno_status(errno, "could not stat file", path);
    return result;
}

bool path_exists(const std::string& path) {
    struct ::stat ignored {};
    return ::lstat(path.c_str(), &ignored) == 0;
}

bool is_directory(const std::string& path) {
    struct ::stat result {};
    return ::stat(path.c_str(), &result) == 0 && S_ISDIR(result.st_mode);
}

Status make_directories(const std::string& path, mode_t mode) {
    if (path.empty() || is_directory(path)) return {};
    const std::string parent = parent_path(path);
    if (parent != path) FORGE_TRY(make_directories(parent, mode));
    if (::mkdir(path.c_str(), mode) == 0) return {};
    const int error = errno;
    // Somebody else may have made it meanwhile; a file of that name is an error.
    if (error == EEXIST && is_directory(path)) return {};
    return errno_status(error, "could not create directory", path);
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
    const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(path.c_str()));
    if (!directory) return errno_status(errno, "could not open directory", path);
    std::vector<std::string> names;
    for (;;) {
        errno = 0;
        const struct ::dirent* entry = ::readdir(directory.get());
        if (entry == nullptr) break;
        const std::string_view name(entry->d_name);
        if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return errno_status(errno, "could not read directory", path);
    std::sort(names.begin(), names.end());
    return names;
}

Status remove_file(const std::string& path) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return errno_status(errno, "could not remove file", path);
    return {};
}

std::string join_path(std::string_view directory, std::string_view name) {
    std::string path(directory);
    if (!path.empty() && path.back() != '/') path += '/';
    path += name;
    return path;
}

std::string parent_path(std::string_view path) {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    path = path.substr(0, slash);
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    return path.empty() ? "/" : std::string(path);
}

std::string base_name(std::string_view path) {
    while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
    const std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos || path.size() == 1) return std::string(path);
    return std::string(path.substr(slash + 1));
}

Result<std::unique_ptr<FileSource>> FileSource::open(const std::string& path) {
    FORGE_ASSIGN(Fd fd, open_file(path, O_RDONLY));
    return std::make_unique<FileSource>(std::move(fd), path);
}

Result<std::size_t> FileSource::read(MutableBytes buffer) {
    for (;;) {
        const ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno != EINTR) return errno_status(errno, "could not read file", path_);
    }
}

}  // namespace forge
