#include "core/wal/segment_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/page_header.h"

namespace forge::wal {

namespace {

// A block of lz4 as it is written: what is as large is decompressed in place, else by way of the library's own buffer.
constexpr std::size_t kBlock = 4 << 20;
// History files and backup labels are some hundred bytes.
constexpr std::uint64_t kMaxSmallFile = 64 << 20;

std::string file_text(const std::string& name) { return "WAL file " + quoted(name); }

// Passes a WAL file on and refuses what is not the file called `name`.
class CheckedCopy {
public:
    CheckedCopy(std::string name, layout::WalKind kind, std::optional<std::uint64_t> segment_size)
        : name_(std::move(name)), is_segment_(kind == layout::WalKind::kSegment),
          limit_(is_segment_ ? segment_size : std::nullopt) {
        if (kind == layout::WalKind::kHistory || kind == layout::WalKind::kBackupHistory) limit_ = kMaxSmallFile;
    }

    Status run(Source& source, int fd, const std::string& path) {
        const auto memory = std::make_unique_for_overwrite<std::uint8_t[]>(kBlock);
        const MutableBytes block(memory.get(), kBlock);
        std::uint64_t size = 0;
        for (;;) {
            FORGE_ASSIGN(const std::size_t got, read_full(source, block));
            const ByteView piece = block.first(got);
            if (size == 0 && is_segment_) FORGE_TRY(check_start(piece));
            size += got;
            if (limit_ && size > *limit_) return wrong_size("more than " + std::to_string(*limit_));
            {
                const StageScope scope(Stage::kFile);
                if (got > 0) FORGE_TRY(write_fd(fd, piece, path));
            }
            if (Measurement* const measurement = Measurement::current()) measurement->plain += got;
            if (got < block.size()) break;
        }
        if (is_segment_ && size != *limit_)
            return wrong_size(std::to_string(size) + ", expected " + std::to_string(*limit_));
        return {};
    }

private:
    Status check_start(ByteView start) {
        FORGE_ASSIGN(const PageHeader header, parse_first_page(start, file_text(name_)));
        if (!limit_) limit_ = header.segment_size;
        return check_first_page(header, name_, *limit_, 0);
    }
    Status wrong_size(const std::string& bytes) const {
        return Status(Kind::kCorrupt, file_text(name_) + " has a size of " + bytes + " bytes");
    }

    std::string name_;
    bool is_segment_;
    std::optional<std::uint64_t> limit_;
};

// A file beside its final place, gone again unless committed.
class TemporaryFile {
public:
    static Result<TemporaryFile> create(std::string path) {
        FORGE_ASSIGN(Fd fd, open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
        return TemporaryFile(std::move(fd), std::move(path));
    }
    TemporaryFile(TemporaryFile&& other) noexcept
        : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, std::string())) {}
    TemporaryFile& operator=(TemporaryFile&&) = delete;
    ~TemporaryFile() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }
    int fd() const { return fd_.get(); }
    const std::string& path() const { return path_; }
    Status commit(const std::string& destination) {
        if (must_sync(destination)) {
            FORGE_TRY(sync_fd(fd_.get(), path_));
        } else {
            // A file that is renamed over another is written out by some file systems at once.
            ::unlink(destination.c_str());
        }
        if (::rename(path_.c_str(), destination.c_str()) != 0)
            return errno_status(errno, "could not create file", destination);
        path_.clear();
        return must_sync(destination) ? sync_directory(parent_path(destination)) : Status();
    }

private:
    TemporaryFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Fd fd_;
    std::string path_;
};

}  // namespace

bool must_sync(const std::string& destination) { return base_name(destination) != "RECOVERYXLOG"; }

Status copy_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                     std::optional<std::uint64_t> segment_size, const std::string& temporary,
                     const std::string& destination) {
    FORGE_ASSIGN(TemporaryFile file, TemporaryFile::create(temporary));
    FORGE_TRY(CheckedCopy(name, kind, segment_size).run(source, file.fd(), file.path()));
    FORGE_CRASH_POINT("fetch-before-rename");
    const StageScope scope(Stage::kFile);
    return file.commit(destination);
}

}  // namespace forge::wal
