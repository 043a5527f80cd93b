// One WAL file into its place: a temporary name, checked, synced, renamed.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/stream.h"
#include "core/layout/names.h"

namespace forge::wal {

// A WAL file that is written under a temporary name, and gone again unless it gets its lasting one.
class WrittenWalFile {
public:
    // Creates the empty file.
    static Result<WrittenWalFile> create(std::string path);
    WrittenWalFile(WrittenWalFile&& other) noexcept
        : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, std::string())) {}
    WrittenWalFile& operator=(WrittenWalFile&&) = delete;
    ~WrittenWalFile();

    int fd() const { return fd_.get(); }
    const std::string& path() const { return path_; }
    // Renames it, where must_sync() with what is in it on disk. The new name may still be lost in a crash, and the old
    // one be there.
    Status commit(const std::string& destination);

private:
    WrittenWalFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

    Fd fd_;
    std::string path_;
};

// What is not the file called `name` is refused: kCorrupt, and `temporary` is gone.
Result<WrittenWalFile> write_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                                      std::optional<std::uint64_t> segment_size, const std::string& temporary);
// Durable where must_sync(); after a failure `destination` is as it was.
Status copy_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                     std::optional<std::uint64_t> segment_size, const std::string& temporary,
                     const std::string& destination);

// False for the name under which a server in recovery wants a segment: it syncs the file itself before it gives it a
// lasting name (durable_rename() in KeepFileRestoredFromArchive()), and fetches it anew after a crash.
bool must_sync(const std::string& destination);

}  // namespace forge::wal
