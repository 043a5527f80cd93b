#include "core/backup/packer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "core/backup/changed_pages.h"
#include "core/backup/exclude.h"
#include "core/base/crash_point.h"
#include "core/base/crc32c.h"
#include "core/base/text.h"
#include "core/layout/increment.h"

namespace forge::backup {
namespace {

constexpr std::size_t kBuffer = 256 * 1024;  // a multiple of the page size

std::int64_t rounded_seconds(Instant at) { return Instant{at.nanos + 500'000'000}.seconds(); }

TarMember tar_member(const ScanEntry& entry, OwnerNames& owners) {
    TarMember member;
    switch (entry.type) {
        case ScanEntry::Type::kFile: member.type = TarMember::Type::kFile; break;
        case ScanEntry::Type::kDirectory: member.type = TarMember::Type::kDirectory; break;
        case ScanEntry::Type::kSymlink: member.type = TarMember::Type::kSymlink; break;
    }
    member.name = entry.name;
    member.target = entry.target;
    member.size = entry.size;
    member.mode = entry.mode;
    member.uid = entry.uid;
    member.gid = entry.gid;
    member.user = owners.user(entry.uid);
    member.group = owners.group(entry.gid);
    member.mtime_seconds = rounded_seconds(entry.mtime);
    return member;
}

PackedMember packed_member(const ScanEntry& entry, std::size_t part) {
    PackedMember member;
    member.name = entry.name;
    member.mtime = entry.mtime;
    member.size = entry.size;
    member.part = static_cast<std::uint32_t>(part);
    member.is_file = entry.type == ScanEntry::Type::kFile;
    return member;
}

std::unique_ptr<BadPages> bad_pages(std::uint64_t count, const std::vector<std::uint32_t>& blocks) {
    return count == 0 ? nullptr : std::make_unique<BadPages>(BadPages{count, blocks});
}

// How many of `blocks` from `first` on lie side by side in the file, at most what the buffer holds.
std::size_t run_length(const std::vector<std::uint32_t>& blocks, std::size_t first) {
    std::size_t length = 1;
    while (length < kBuffer / kPageSize && first + length < blocks.size() &&
           blocks[first + length] == blocks[first] + length)
        ++length;
    return length;
}

}  // namespace

// O_NONBLOCK: whatever took the file's place since the scan, opening it does not wait.
Result<std::optional<Fd>> open_source(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd.valid()) return std::optional<Fd>(std::move(fd));
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<Fd>();
    return errno_status(errno, "could not open file", path);
}

std::optional<PageChecker> page_checker(const PackContext& context, const ScanEntry& file, int fd) {
    if (!context.verify_pages || !file.is_relation) return std::nullopt;
    const auto relation = parse_relation_file(base_name(file.name));
    return PageChecker(fd, relation ? relation->segment * context.relation_segment_blocks : 0, context.start_lsn);
}

Result<std::unique_ptr<PartWriter>> PartWriter::open(PackContext& context, const std::string& file_name,
                                                     const CancelToken& cancel) {
    std::unique_ptr<PartWriter> part(new PartWriter(context, file_name));
    store::CallContext call;
    call.cancel = &cancel;
    const MeasuredScope measured(part->measurement_);
    FORGE_ASSIGN(auto sink, context.repository.create_compressed(layout::parts_folder(context.backup_name) + file_name,
                                                                 call, &part->stored_));
    sink = std::make_unique<DigestSink>(std::move(sink), part->compressed_);
    FORGE_ASSIGN(sink, context.team.compressor(std::move(sink)));
    FORGE_ASSIGN(part->tar_, TarWriter::create(std::make_unique<CountingSink>(std::move(sink), part->plain_)));
    return part;
}

void PartWriter::report_stored() {
    context_.progress.bytes_stored += stored_ - reported_;
    reported_ = stored_;
}

Result<ManifestPart> PartWriter::finish() {
    FORGE_TRY(tar_->finish());
    report_stored();
    measurement_.plain = plain_;
    measurement_.commit();
    ManifestPart record;
    record.name = file_name_;
    record.stored_size = stored_;
    record.plain_size = plain_;
    record.sha256 = compressed_.hash.finish();
    return record;
}

Status Packer::ensure_part() {
    if (part_) return {};
    const int number = next_number_ > 0 ? next_number_ : ++context_.last_part_number;
    next_number_ = 0;
    FORGE_ASSIGN(part_, PartWriter::open(context_, layout::part_file_name(number, context_.method), context_.stop));
    part_bytes_ = 0;
    return {};
}

Status Packer::close() {
    if (!part_) return {};
    FORGE_ASSIGN(ManifestPart record, part_->finish());
    part_.reset();
    parts_.push_back(std::move(record));
    return {};
}

Status Packer::add_header(ScanEntry entry) {
    FORGE_TRY(ensure_part());
    FORGE_TRY(part_->tar().begin(tar_member(entry, owners_)));
    members_.push_back(packed_member(entry, parts_.size()));
    return {};
}

Status Packer::add_file(ScanEntry entry) {
    const std::string path = source_path(context_.sources, entry);
    FORGE_ASSIGN(const std::optional<Fd> fd, open_source(path));
    if (!fd) return {};
    struct stat info {};
    if (::fstat(fd->get(), &info) != 0) return errno_status(errno, "could not access file", path);
    if (!S_ISREG(info.st_mode)) {
        context_.logger.warning("special file " + quoted(path) + " is left out of the backup");
        return {};
    }
    FORGE_TRY(ensure_part());
    FORGE_CRASH_POINT("backup-file");
    if (entry.changed) return add_increment(entry, path, fd->get());
    // The size now is what the header promises; what comes later is in the WAL.
    entry.size = static_cast<std::uint64_t>(info.st_size);
    return add_whole(std::move(entry), path, fd->get());
}

Status Packer::add_whole(ScanEntry entry, const std::string& path, int fd) {
    FORGE_TRY(part_->tar().begin(tar_member(entry, owners_)));
    PackedMember member = packed_member(entry, parts_.size());
    std::optional<PageChecker> checker = page_checker(context_, entry, fd);
    FORGE_TRY(copy_content(fd, path, entry.size, member, checker ? &*checker : nullptr));
    if (checker) member.bad = bad_pages(checker->bad_count(), checker->bad_blocks());
    return end_file(std::move(member));
}

// Everything about the increment was decided by the plan; only the pages are as they are now. One that was written
// since, or is gone, is in the WAL of this backup.
Status Packer::add_increment(const ScanEntry& entry, const std::string& path, int fd) {
    const ChangedPages& pages = *entry.changed;
    const layout::IncrementHeader header{pages.file_size, pages.blocks()};
    TarMember head = tar_member(entry, owners_);
    head.size = layout::increment_size(pages.count);
    FORGE_TRY(part_->tar().begin(head));
    PackedMember member = packed_member(entry, parts_.size());
    member.size = head.size;
    member.incremented_size = pages.file_size;
    member.bad = bad_pages(pages.bad_count, pages.bad_blocks);
    const Bytes start = layout::encode_increment_header(header);
    FORGE_TRY(part_->tar().write(start));
    context_.progress.bytes_done += start.size();
    FORGE_TRY(copy_pages(fd, path, header.blocks));
    return end_file(std::move(member));
}

// Waits for the limit; false when the backup stops.
bool Packer::may_read(std::uint64_t bytes) {
    const StageScope scope(&part_->measurement(), Stage::kWait);
    return context_.limit.acquire(bytes, context_.stop);
}

Result<std::size_t> Packer::read_timed(int fd, MutableBytes block, const std::string& path) {
    const StageScope scope(&part_->measurement(), Stage::kFile);
    return read_fd(fd, block, path);
}

Status Packer::copy_pages(int fd, const std::string& path, const std::vector<std::uint32_t>& blocks) {
    if (buffer_.empty()) buffer_.resize(kBuffer);
    for (std::size_t at = 0; at < blocks.size();) {
        FORGE_TRY(context_.stop.check());
        const std::size_t count = run_length(blocks, at);
        const MutableBytes run(buffer_.data(), count * kPageSize);
        if (!may_read(run.size())) return context_.stop.check();
        if (::lseek(fd, static_cast<off_t>(blocks[at]) * static_cast<off_t>(kPageSize), SEEK_SET) < 0)
            return errno_status(errno, "could not read file", path);
        FORGE_ASSIGN(const std::size_t got, read_timed(fd, run, path));
        std::fill(run.begin() + static_cast<std::ptrdiff_t>(got), run.end(), std::uint8_t{0});
        FORGE_TRY(part_->tar().write(run));
        context_.progress.bytes_done += run.size();
        at += count;
    }
    return {};
}

Status Packer::end_file(PackedMember member) {
    report_bad_pages(member);
    part_bytes_ += member.size;
    members_.push_back(std::move(member));
    part_->report_stored();
    if (part_bytes_ >= context_.part_size_limit) return close();
    return {};
}

// A page that the disk does not give back must not keep the rest of the database from being saved (D4).
Result<std::size_t> Packer::read_block(int fd, const std::string& path, MutableBytes block, std::uint64_t at,
                                       PageChecker* checker) {
    auto read = read_timed(fd, block, path);
    if (read.ok() || checker == nullptr) return read;
    context_.logger.warning(read.status().message());
    FORGE_ASSIGN(const std::size_t got, checker->read_singly(block, at, path));
    if (::lseek(fd, static_cast<off_t>(at + got), SEEK_SET) < 0)
        return errno_status(errno, "could not read file", path);
    return got;
}

// Exactly `size` bytes go into the part, whatever happens to the file meanwhile.
Status Packer::copy_content(int fd, const std::string& path, std::uint64_t size, PackedMember& member,
                            PageChecker* checker) {
    if (buffer_.empty()) buffer_.resize(kBuffer);
    // Only a hint to read ahead. The pages stay in the cache: they may be what the server's queries live on.
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    bool ended = false;
    for (std::uint64_t at = 0; at < size;) {
        FORGE_TRY(context_.stop.check());
        const MutableBytes block(buffer_.data(), static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, size - at)));
        if (!may_read(block.size())) return context_.stop.check();
        std::size_t got = 0;
        if (!ended) {
            FORGE_ASSIGN(got, read_block(fd, path, block, at, checker));
        }
        if (checker != nullptr) checker->check(block.first(got), at, context_.stop);
        if (got < block.size()) {
            ended = true;
            std::fill(block.begin() + static_cast<std::ptrdiff_t>(got), block.end(), std::uint8_t{0});
        }
        member.crc32c = crc32c(block, member.crc32c);
        FORGE_TRY(part_->tar().write(block));
        context_.progress.bytes_done += block.size();
        at += block.size();
    }
    if (checker != nullptr && size % kPageSize != 0)
        context_.logger.warning("checksum of the last page of file " + quoted(path) +
                                " is not verified: the size of the file is not a multiple of " +
                                std::to_string(kPageSize) + " bytes");
    return {};
}

void Packer::report_bad_pages(const PackedMember& member) {
    if (!member.bad) return;
    context_.logger.warning("checksum verification failed for " + std::to_string(member.bad->count) +
                            (member.bad->count == 1 ? " page" : " pages") + " of file " +
                            quoted(member.name.substr(1)) + ", first block " +
                            std::to_string(member.bad->blocks.front()));
}

}  // namespace forge::backup
