#include "core/wal/fetcher.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/page_header.h"

namespace forge::wal {

namespace {

constexpr std::size_t kBlock = 256 << 10;
// History files and backup labels are some hundred bytes.
constexpr std::uint64_t kMaxSmallFile = 64 << 20;
constexpr std::string_view kPartSuffix = ".part";  // of a segment on its way into the spool
constexpr std::string_view kLockName = "lock";

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
        Bytes block(kBlock);
        std::uint64_t size = 0;
        for (;;) {
            FORGE_ASSIGN(const std::size_t got, read_full(source, block));
            const ByteView piece = ByteView(block).first(got);
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
        FORGE_TRY(sync_fd(fd_.get(), path_));
        if (::rename(path_.c_str(), destination.c_str()) != 0)
            return errno_status(errno, "could not create file", destination);
        path_.clear();
        return sync_directory(parent_path(destination));
    }

private:
    TemporaryFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
    Fd fd_;
    std::string path_;
};

// In pg_wal the server removes what is called "xlogtemp.*" when it starts after a crash, so not even kill -9 leaves
// garbage there.
std::string temporary_path(const std::string& destination) {
    return join_path(parent_path(destination), "xlogtemp.forge-" + std::to_string(::getpid()));
}

Status copy_into(Source& source, const std::string& name, layout::WalKind kind,
                 std::optional<std::uint64_t> segment_size, const std::string& temporary,
                 const std::string& destination) {
    FORGE_ASSIGN(TemporaryFile file, TemporaryFile::create(temporary));
    FORGE_TRY(CheckedCopy(name, kind, segment_size).run(source, file.fd(), file.path()));
    FORGE_CRASH_POINT("fetch-before-rename");
    const StageScope scope(Stage::kFile);
    return file.commit(destination);
}

std::string part_path(const std::string& spool, const std::string& name) {
    return join_path(spool, name) + std::string(kPartSuffix);
}

Result<Fd> lock_spool(const std::string& spool) {
    FORGE_ASSIGN(Fd lock, open_file(join_path(spool, kLockName), O_RDWR | O_CREAT, 0600));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return Status(Kind::kAlreadyExists, "another process is fetching WAL ahead into " + quoted(spool));
        return errno_status(errno, "could not lock directory", spool);
    }
    return lock;
}

std::uint64_t file_size(const std::string& path) {
    const auto info = stat_path(path);
    return info.ok() ? static_cast<std::uint64_t>(info->st_size) : 0;
}

// While another process is bringing `name` into the spool, waiting for it is faster than fetching it again; as long as
// it gets on.
void wait_for_prefetch(const std::string& spool, const std::string& name, const store::CallContext& context) {
    const std::string part = part_path(spool, name);
    std::uint64_t last = 0;
    auto patience = Deadline::after(seconds(2));
    while (path_exists(part) && !patience.passed() && !context.deadline.passed()) {
        if (lock_spool(spool).ok()) return;  // left behind by a process that is gone
        if (const std::uint64_t now = file_size(part); now != last) {
            last = now;
            patience = Deadline::after(seconds(2));
        }
        const CancelToken nobody;
        if ((context.cancel != nullptr ? *context.cancel : nobody).wait_for(milliseconds(5))) return;
    }
}

// Success when `name` was in the spool and is in its place now. What is wrong there is removed: the store has it.
Status take_from_spool(const std::string& name, const FetchOptions& options, const store::CallContext& context) {
    {
        const StageScope scope(Stage::kWait);
        wait_for_prefetch(options.spool_directory, name, context);
    }
    const std::string spooled = join_path(options.spool_directory, name);
    FORGE_ASSIGN(const std::unique_ptr<FileSource> source, FileSource::open(spooled));
    const std::string temporary = temporary_path(options.destination);
    // A rename costs nothing; the check reads the start of the file only, as it was checked whole before it got its
    // name.
    Bytes start(kLongHeaderSize);
    FORGE_ASSIGN(const std::size_t got, read_full(*source, start));
    Status status = [&]() -> Status {
        FORGE_ASSIGN(const PageHeader header, parse_first_page(ByteView(start).first(got), file_text(name)));
        const std::uint64_t segment_size = options.segment_size.value_or(header.segment_size);
        FORGE_TRY(check_first_page(header, name, segment_size, 0));
        if (file_size(spooled) != segment_size)
            return Status(Kind::kCorrupt, file_text(name) + " in the spool has another size");
        return {};
    }();
    if (status.ok()) {
        if (::rename(spooled.c_str(), options.destination.c_str()) == 0)
            return sync_directory(parent_path(options.destination));
        if (errno != EXDEV) return errno_status(errno, "could not rename file", spooled);
        FORGE_ASSIGN(const std::unique_ptr<FileSource> whole, FileSource::open(spooled));
        status =
            copy_into(*whole, name, layout::WalKind::kSegment, options.segment_size, temporary, options.destination);
    }
    FORGE_TRY(remove_file(spooled));
    return status;
}

// Of the cluster, by the first page of `name`.
Result<std::uint64_t> find_segment_size(repository::Repository& repository, const std::string& name,
                                        const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_wal(name, context));
    Bytes start(kLongHeaderSize);
    FORGE_ASSIGN(const std::size_t got, read_full(*source, start));
    FORGE_ASSIGN(const PageHeader header, parse_first_page(ByteView(start).first(got), file_text(name)));
    return header.segment_size;
}

// Names of the `count` segments after `name`.
std::vector<std::string> successors(const std::string& name, std::uint64_t segment_size, int count) {
    std::vector<std::string> names;
    auto segment = layout::parse_segment(name, segment_size);
    for (int i = 0; segment && i < count; ++i) {
        ++segment->number;
        names.push_back(layout::segment_name(*segment, segment_size));
    }
    return names;
}

// Leaves only what is of use in the spool, which bounds it. Called by the holder of the lock, so parts there belong to
// nobody.
Status clean_spool(const std::string& spool, const std::vector<std::string>& wanted) {
    FORGE_ASSIGN(const std::vector<std::string> present, list_directory(spool));
    for (const std::string& file : present) {
        const bool is_part = file.ends_with(kPartSuffix);
        const std::string segment = is_part ? file.substr(0, file.size() - kPartSuffix.size()) : file;
        if (layout::classify_wal_name(segment) != layout::WalKind::kSegment) continue;
        if (is_part || std::find(wanted.begin(), wanted.end(), file) == wanted.end())
            FORGE_TRY(remove_file(join_path(spool, file)));
    }
    return {};
}

// The threads of one prefetch: each takes the next name until one is missing.
class Prefetch {
public:
    Prefetch(repository::Repository& repository, const FetchOptions& options, const store::CallContext& context,
             std::vector<std::string> names)
        : repository_(repository), options_(options), context_(context), names_(std::move(names)) {}

    Status run() {
        const std::size_t wanted = static_cast<std::size_t>(std::max(1, repository_.settings().download_concurrency));
        std::vector<std::thread> threads;
        for (std::size_t i = 1; i < std::min(wanted, names_.size()); ++i) threads.emplace_back([this] { work(); });
        work();
        for (std::thread& thread : threads) thread.join();
        return first_error_;
    }

private:
    void work() {
        for (std::size_t i = next_++; i < names_.size() && !ended_; i = next_++) {
            Status status = guarded_fetch(names_[i]);
            if (status.ok()) continue;
            ended_ = true;
            const std::lock_guard lock(mutex_);
            if (!status.is(Kind::kNotFound) && first_error_.ok()) first_error_ = std::move(status);
        }
    }
    Status guarded_fetch(const std::string& name) {
        try {
            return fetch(name);
        } catch (const std::exception& error) {
            return Status(Kind::kExhausted, "could not fetch " + file_text(name) + ": " + error.what());
        }
    }
    Status fetch(const std::string& name) {
        const std::string destination = join_path(options_.spool_directory, name);
        if (path_exists(destination)) return {};
        Measurement measurement;
        const MeasuredScope measured(measurement);
        FORGE_ASSIGN(const std::unique_ptr<Source> source, repository_.open_wal(name, context_));
        FORGE_TRY(copy_into(*source, name, layout::WalKind::kSegment, options_.segment_size,
                            part_path(options_.spool_directory, name), destination));
        measurement.commit_stages();
        return {};
    }

    repository::Repository& repository_;
    const FetchOptions& options_;
    const store::CallContext& context_;
    const std::vector<std::string> names_;
    std::atomic<std::size_t> next_{0};
    std::atomic<bool> ended_{false};
    std::mutex mutex_;
    Status first_error_;
};

}  // namespace

Status fetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                 const store::CallContext& context) {
    const auto kind = layout::classify_wal_name(name);
    if (!kind) return Status(Kind::kInvalid, quoted(name) + " is no name of a WAL file");
    if (*kind == layout::WalKind::kSegment && !options.spool_directory.empty() &&
        take_from_spool(name, options, context).ok())
        return {};
    FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_wal(name, context));
    return copy_into(*source, name, *kind, options.segment_size, temporary_path(options.destination),
                     options.destination);
}

Status prefetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                    const store::CallContext& context) {
    if (options.spool_directory.empty() || options.prefetch <= 0 ||
        layout::classify_wal_name(name) != layout::WalKind::kSegment)
        return {};
    FORGE_TRY(make_directories(options.spool_directory));
    FORGE_ASSIGN(const Fd lock, lock_spool(options.spool_directory));
    std::uint64_t segment_size = options.segment_size.value_or(0);
    if (segment_size == 0) {
        FORGE_ASSIGN(segment_size, find_segment_size(repository, name, context));
    }
    std::vector<std::string> names = successors(name, segment_size, options.prefetch);
    FORGE_TRY(clean_spool(options.spool_directory, names));
    return Prefetch(repository, options, context, std::move(names)).run();
}

}  // namespace forge::wal
