#include "core/wal/segment_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/crash_point.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/page_header.h"

namespace forge::wal {

namespace {

// Twice a block of lz4 as we write them: what is as large is decompressed in place, else by way of the library's
// buffer.
constexpr std::size_t kBlock = 512 << 10;
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
                write_back_.wrote(fd, got);
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
    WriteBack write_back_;
};

}  // namespace

bool must_sync(const std::string& destination) { return base_name(destination) != "RECOVERYXLOG"; }

Result<WrittenWalFile> WrittenWalFile::create(std::string path) {
    FORGE_ASSIGN(Fd fd, open_file(path, O_RDWR | O_CREAT | O_TRUNC, 0600));
    return WrittenWalFile(std::move(fd), std::move(path));
}

WrittenWalFile::~WrittenWalFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

Status WrittenWalFile::commit(const std::string& destination) {
    const StageScope scope(Stage::kFile);
    if (must_sync(destination)) {
        FORGE_TRY(sync_fd(fd_.get(), path_));
    } else {
        // A file that is renamed over another is written out by some file systems at once.
        ::unlink(destination.c_str());
    }
    if (::rename(path_.c_str(), destination.c_str()) != 0)
        return errno_status(errno, "could not create file", destination);
    path_.clear();
    return {};
}

Result<WrittenWalFile> write_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                                      std::optional<std::uint64_t> segment_size, const std::string& temporary) {
    FORGE_ASSIGN(WrittenWalFile file, WrittenWalFile::create(temporary));
    FORGE_TRY(CheckedCopy(name, kind, segment_size).run(source, file.fd(), file.path()));
    return file;
}

Status copy_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                     std::optional<std::uint64_t> segment_size, const std::string& temporary,
                     const std::string& destination) {
    FORGE_ASSIGN(WrittenWalFile file, write_wal_file(source, name, kind, segment_size, temporary));
    FORGE_CRASH_POINT("fetch-before-rename");
    FORGE_TRY(file.commit(destination));
    return must_sync(destination) ? sync_directory(parent_path(destination)) : Status();
}

}  // namespace forge::wal
