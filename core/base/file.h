// Files and directories with errors that name the path. All paths are used as given (relative to the working directory
// of the process if not absolute).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/status.h"
#include "core/base/stream.h"

namespace forge {

// Owns a descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(other.release()) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd() { reset(); }
    int get() const { return fd_; }
    bool valid() const { return fd_ >= 0; }
    int release() {
        const int fd = fd_;
        fd_ = -1;
        return fd;
    }
    void reset();

private:
    int fd_ = -1;
};

// open(2) with O_CLOEXEC.
Result<Fd> open_file(const std::string& path, int flags, mode_t mode = 0600);
// Reads until `buffer` is full or the file ends, from the current offset.
Result<std::size_t> read_fd(int fd, MutableBytes buffer, const std::string& path);
Status write_fd(int fd, ByteView data, const std::string& path);
Status sync_fd(int fd, const std::string& path);
// fsync of the directory, which makes names in it durable.
Status sync_directory(const std::string& path);

// Starts to write back what is written to a file from its start on, some megabytes at a time, so that the disk works
// while the next bytes are made and a sync at the end finds little left to do. What fails here fails at the sync as
// well.
class WriteBack {
public:
    // `fd`: where `size` more bytes were just written.
    void wrote(int fd, std::size_t size);

private:
    std::uint64_t written_ = 0, started_ = 0;  // bytes
};

// Whole content; kExhausted above `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);
// Writes a temporary name beside `path`, fsyncs, renames over `path`, fsyncs the directory: after success the file is
// durable and complete, after a failure or crash `path` is as before.
Status write_file_durably(const std::string& path, ByteView content, mode_t mode = 0600);

Result<struct ::stat> stat_path(const std::string& path);  // follows symlinks
bool path_exists(const std::string& path);                 // lstat succeeds
bool is_directory(const std::string& path);                // follows symlinks
// mkdir -p with `mode` for what is created.
Status make_directories(const std::string& path, mode_t mode = 0700);
// Names in the directory without "." and "..", sorted bytewise.
Result<std::vector<std::string>> list_directory(const std::string& path);
Status remove_file(const std::string& path);  // a missing file is success
std::string join_path(std::string_view directory, std::string_view name);
std::string parent_path(std::string_view path);
std::string base_name(std::string_view path);

// Reads a file from its start.
class FileSource final : public Source {
public:
    static Result<std::unique_ptr<FileSource>> open(const std::string& path);
    FileSource(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Result<std::size_t> read(MutableBytes buffer) override;
    int fd() const { return fd_.get(); }

private:
    Fd fd_;
    std::string path_;
};

// Writes to an open descriptor that outlives it; finish() fsyncs.
class FdSink final : public Sink {
public:
    FdSink(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
    Status write(ByteView data) override { return write_fd(fd_, data, path_); }
    Status finish() override { return sync_fd(fd_, path_); }

private:
    int fd_;
    std::string path_;
};

}  // namespace forge
