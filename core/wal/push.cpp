#include "core/wal/push.h"

#include <fcntl.h>
#include <sodium.h>

#include <algorithm>
#include <array>

#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/crypto/secretstream.h"
#include "core/repository/restore_points.h"
#include "core/wal/page_header.h"

namespace forge::wal {

namespace {

constexpr std::size_t kPiece = 256 << 10;
constexpr std::size_t kBlock = 512 << 10;  // lz4 compresses whole blocks of its own without copying them

class Sha256 {
public:
    Sha256() { crypto_hash_sha256_init(&state_); }
    void update(ByteView data) { crypto_hash_sha256_update(&state_, data.data(), data.size()); }
    std::string hex() {
        std::array<std::uint8_t, crypto_hash_sha256_BYTES> digest{};
        crypto_hash_sha256_final(&state_, digest.data());
        return to_hex(digest);
    }

private:
    crypto_hash_sha256_state state_{};
};

// The last page of the segment that precedes, from beside it, else from the store; empty where neither has it, or what
// the store has cannot be read: the archive has no use for a record then that began in it.
Result<Bytes> last_page_of(const layout::Segment& segment, std::size_t page_size, const PushRequest& request,
                           repository::Repository& repository, const store::CallContext& context) {
    const std::string name = layout::segment_name(segment, request.segment_size);
    Bytes page(page_size);
    const std::string beside = request.path.substr(0, request.path.rfind('/') + 1) + name;
    if (auto fd = open_file(beside, O_RDONLY); fd.ok()) {
        const auto offset = static_cast<off_t>(request.segment_size - page_size);
        if (::pread(fd->get(), page.data(), page.size(), offset) == static_cast<ssize_t>(page.size())) return page;
    }
    auto stored = repository.open_wal(name, context);
    Status status = stored.status();
    for (Bytes block(page_size); status.ok();) {
        const auto got = read_full(**stored, block);
        status = got.status();
        if (got.ok() && *got == 0) return page;
        page = block;
    }
    if (status.retryable() || status.is(Kind::kCancelled)) return status;
    return Bytes();
}

// A WAL file, open: hands out its content from the start, block by block, as often as asked, and says what is wrong
// with it.
class LocalFile {
public:
    static Result<LocalFile> open(const PushRequest& request, repository::Repository& repository) {
        const auto kind = layout::classify_wal_name(request.name);
        if (!kind) return Status(Kind::kInvalid, quoted(request.name) + " is no name of a WAL file");
        FORGE_ASSIGN(Fd fd, open_file(request.path, O_RDONLY));
        struct ::stat info {};
        if (::fstat(fd.get(), &info) != 0) return errno_status(errno, "could not stat file", request.path);
        if (!S_ISREG(info.st_mode)) return Status(Kind::kInvalid, quoted(request.path) + " is no regular file");
        LocalFile file(std::move(fd), request, repository);
        file.size_ = static_cast<std::uint64_t>(info.st_size);
        file.is_segment_ = *kind == layout::WalKind::kSegment;
        if (file.is_segment_ && file.size_ != request.segment_size) {
            return Status(Kind::kCorrupt, "WAL file " + quoted(request.path) + " has " + std::to_string(file.size_) +
                                              " bytes, expected " + std::to_string(request.segment_size));
        }
        return file;
    }

    std::uint64_t size() const { return size_; }

    // What was found in the segment when it was read last.
    SegmentEvents events() const { return scan_ ? scan_->events() : SegmentEvents(); }

    // A read error and a file that ends early are failures that name the file: never a short upload (D3).
    template <typename Consumer>
    Status read(const store::CallContext& context, Consumer&& consume) {
        if (::lseek(fd_.get(), 0, SEEK_SET) < 0) return errno_status(errno, "could not seek in file", request_.path);
        const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(kBlock, size_ + 1));
        const auto memory = std::make_unique_for_overwrite<std::uint8_t[]>(room);
        std::uint64_t done = 0;
        scan_.reset();
        for (std::size_t got = room; got == room && done <= size_;) {
            FORGE_ASSIGN(got, fill(MutableBytes(memory.get(), room), done, context));
            done += got;
            if (got > 0 && done <= size_) FORGE_TRY(consume(ByteView(memory.get(), got)));
        }
        if (done == size_) return {};
        return Status(Kind::kCorrupt, "WAL file " + quoted(request_.path) + " changed its size from " +
                                          std::to_string(size_) + " to " + std::to_string(done) +
                                          " bytes while it was read");
    }

private:
    // What the file has at `done`, as much as the block holds. Each piece is looked at while the processor's cache has
    // it.
    Result<std::size_t> fill(MutableBytes block, std::uint64_t done, const store::CallContext& context) {
        std::size_t filled = 0;
        while (filled < block.size()) {
            if (context.cancel != nullptr) FORGE_TRY(context.cancel->check());
            const MutableBytes room = block.subspan(filled, std::min(kPiece, block.size() - filled));
            auto got = read_piece(room);
            if (!got.ok()) return unreadable(std::move(got).status());
            const ByteView piece = room.first(*got);
            if (done + filled == 0 && is_segment_) {
                FORGE_TRY(check_header(piece));
                FORGE_TRY(begin_scan(piece, context));
            }
            filled += *got;
            if (scan_ && done + filled <= size_) scan_->take(piece);
            if (*got < room.size()) break;
        }
        return filled;
    }
    Result<std::size_t> read_piece(MutableBytes block) const {
        const StageScope scope(Stage::kFile);
        return read_fd(fd_.get(), block, request_.path);
    }
    LocalFile(Fd fd, const PushRequest& request, repository::Repository& repository)
        : fd_(std::move(fd)), request_(request), repository_(repository) {}
    // Of a kind that nobody takes for a failure of the store, which would be left alone for a while then.
    static Status unreadable(Status failure) {
        if (!failure.retryable()) return failure;
        return std::move(failure)
            .with_kind(Kind::kCorrupt)
            .with_hint("Look for errors of the disk in the kernel's log; reading the file is tried again.");
    }
    Status begin_scan(ByteView start, const store::CallContext& context) {
        const auto segment = layout::parse_segment(request_.name, request_.segment_size);
        if (!segment) return {};
        Bytes before;
        if (const Continued record = continued_record(start); record.is_wanted && segment->number > 0) {
            FORGE_ASSIGN(before, last_page_of({record.timeline, segment->number - 1}, record.page_size, request_,
                                              repository_, context));
        }
        scan_ = std::make_unique<SegmentScan>(segment->number, request_.segment_size);
        scan_->begin(start, before);
        return {};
    }
    Status check_header(ByteView start) const {
        FORGE_ASSIGN(const PageHeader header, parse_first_page(start, "WAL file " + quoted(request_.path)));
        return check_first_page(header, request_.name, request_.segment_size, request_.system_identifier);
    }

    Fd fd_;
    const PushRequest& request_;
    repository::Repository& repository_;
    std::uint64_t size_ = 0;
    bool is_segment_ = false;
    std::unique_ptr<SegmentScan> scan_;
};

// Appends to bytes of somebody else.
class AppendSink final : public Sink {
public:
    explicit AppendSink(Bytes& bytes) : bytes_(bytes) {}
    Status write(ByteView data) override {
        bytes_.insert(bytes_.end(), data.begin(), data.end());
        return {};
    }
    Status finish() override { return {}; }

private:
    Bytes& bytes_;
};

Result<store::PutOutcome> put_new(repository::Repository& repository, const std::string& key, ByteView content,
                                  const store::CallContext& context) {
    const StageScope scope(Stage::kStore);
    return repository.store().put_if_absent(key, content, context);
}

// What is archived under `key` is compared with the file, both unpacked: encrypted objects differ on every run.
Result<PushResult> compare(repository::Repository& repository, LocalFile& file, const std::string& name,
                           const std::string& key, const store::CallContext& context) {
    auto opened = repository.open_object(key, repository.settings().compression, context);
    // It was there a moment ago: somebody deletes. Trying again will store it.
    if (!opened.ok() && opened.status().is(Kind::kNotFound)) return opened.status().with_kind(Kind::kUnavailable);
    FORGE_ASSIGN(const std::unique_ptr<Source> stored, std::move(opened));
    Sha256 stored_digest;
    Bytes block(kPiece);
    for (;;) {
        FORGE_ASSIGN(const std::size_t got, stored->read(block));
        if (got == 0) break;
        stored_digest.update(ByteView(block).first(got));
    }
    Sha256 local_digest;
    FORGE_TRY(file.read(context, [&](ByteView piece) {
        local_digest.update(piece);
        return Status();
    }));
    const std::string theirs = stored_digest.hex();
    const std::string ours = local_digest.hex();
    if (theirs == ours) return PushResult{PushOutcome::kIdentical, file.size(), 0, {}};
    return Status(Kind::kConflict,
                  "WAL file " + quoted(name) + " is already archived with different content (stored sha256 " + theirs +
                      ", local sha256 " + ours + ")",
                  "Either two clusters write to " + repository.store().url() +
                      ", or pg_resetwal made this one use old names again. Nothing was overwritten; give this cluster "
                      "a new prefix.");
}

Status store_points(repository::Repository& repository, const std::string& segment, const LocalFile& file,
                    const store::CallContext& context) {
    const SegmentEvents events = file.events();
    repository::RestorePoints points{segment, {}, events.restore_points_left_out};
    for (const WalEvent& event : events.restore_points)
        points.points.push_back({segment, event.name, event.end_lsn, event.time});
    const Status stored = repository::store_restore_points(repository, points, context);
    // The list is a convenience, and a restore finds the point in the WAL itself: credentials for WAL-G's folders alone
    // must not keep WAL from being archived.
    return stored.is(Kind::kDenied) ? Status() : stored;
}

// Before the segment itself: once that is there, the server may be lost, and another one of its cluster takes the
// segment for done. Where there is an object already, its content decides first.
Status store_points_before(repository::Repository& repository, const std::string& segment, const std::string& key,
                           const LocalFile& file, const store::CallContext& context) {
    if (file.events().restore_points.empty()) return {};
    const auto present = repository.store().head(key, context);
    if (present.ok()) return {};
    // Credentials that only write are not told.
    if (!present.status().is(Kind::kNotFound) && !present.status().is(Kind::kDenied)) return present.status();
    return store_points(repository, segment, file, context);
}

Result<PushResult> push_buffered(repository::Repository& repository, LocalFile& file, const PushRequest& request,
                                 const std::string& key, const store::CallContext& context) {
    Bytes own;
    Bytes& packed = request.buffer != nullptr ? *request.buffer : own;
    packed.clear();
    // Room for content that does not compress; pages that stay unused cost nothing.
    packed.reserve(static_cast<std::size_t>(file.size() + file.size() / 128 + 4096));
    {
        FORGE_ASSIGN(const std::unique_ptr<Sink> sink,
                     repository.pack(repository.settings().compression, std::make_unique<AppendSink>(packed)));
        FORGE_TRY(file.read(context, [&](ByteView piece) { return sink->write(piece); }));
        FORGE_TRY(sink->finish());
    }
    if (request.on_packed) request.on_packed();
    FORGE_TRY(store_points_before(repository, request.name, key, file, context));
    FORGE_CRASH_POINT("wal-before-put");
    FORGE_ASSIGN(const store::PutOutcome outcome, put_new(repository, key, packed, context));
    FORGE_CRASH_POINT("wal-after-put");
    if (outcome == store::PutOutcome::kStored) return PushResult{PushOutcome::kStored, file.size(), packed.size(), {}};
    packed = Bytes();
    return compare(repository, file, request.name, key, context);
}

// For files too large to be packed in memory. A stream cannot be stored on condition, so the store is asked first.
Result<PushResult> push_streamed(repository::Repository& repository, LocalFile& file, const std::string& name,
                                 const std::string& key, const store::CallContext& context) {
    const auto present = repository.store().head(key, context);
    if (present.ok()) return compare(repository, file, name, key, context);
    if (!present.status().is(Kind::kNotFound)) return present.status();
    PushResult result{PushOutcome::kStored, file.size(), 0, {}};
    FORGE_ASSIGN(const std::unique_ptr<Sink> sink,
                 repository.create(key, repository.settings().compression, context, &result.bytes_stored));
    FORGE_TRY(file.read(context, [&](ByteView piece) { return sink->write(piece); }));
    FORGE_TRY(store_points_before(repository, name, key, file, context));
    FORGE_TRY(sink->finish());
    return result;
}

}  // namespace

std::uint64_t packing_memory(std::uint64_t size) {
    constexpr std::uint64_t kFilters = 8 << 20;  // windows of the compressors, blocks, the store's own buffers
    return size + size / 128 + kFilters;
}

Result<PushResult> push_file(repository::Repository& repository, const PushRequest& request,
                             const store::CallContext& context) {
    FORGE_ASSIGN(LocalFile file, LocalFile::open(request, repository));
    // Checked after opening: without it the segment may have been recycled, and its content be that of another
    // (postgres-hooks 6, rule 3).
    if (!request.ready_file.empty() && !path_exists(request.ready_file))
        return PushResult{PushOutcome::kNotReady, 0, 0, {}};
    const std::string key = layout::wal_key(request.name, repository.settings().compression);
    auto result = file.size() <= request.buffer_limit ? push_buffered(repository, file, request, key, context)
                                                      : push_streamed(repository, file, request.name, key, context);
    // The store cannot know what a caller takes "not found" for; here the object is being written.
    if (!result.ok() && result.status().is(Kind::kNotFound)) return result.status().with_kind(Kind::kInternal);
    if (!result.ok()) return result;
    result->last_end = file.events().last_end;
    // By another program, or a version that did not know of them.
    if (result->outcome == PushOutcome::kIdentical) FORGE_TRY(store_points(repository, request.name, file, context));
    return result;
}

}  // namespace forge::wal
