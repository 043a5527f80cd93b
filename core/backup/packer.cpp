#include "core/backup/packer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "core/backup/exclude.h"
#include "core/base/file.h"
#include "core/base/text.h"

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

// Nothing when the file is gone. O_NONBLOCK: whatever took the file's place since the scan, opening it does not wait.
Result<std::optional<Fd>> open_source(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (fd.valid()) return std::optional<Fd>(std::move(fd));
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<Fd>();
    return errno_status(errno, "could not open file", path);
}

}  // namespace

Result<std::unique_ptr<PartWriter>> PartWriter::open(PackContext& context, const std::string& file_name,
                                                     const CancelToken& cancel) {
    std::unique_ptr<PartWriter> part(new PartWriter(context, file_name));
    store::CallContext call;
    call.cancel = &cancel;
    FORGE_ASSIGN(auto sink, context.repository.create(layout::parts_folder(context.backup_name) + file_name,
                                                      context.method, call, &part->stored_));
    FORGE_ASSIGN(part->tar_, TarWriter::create(std::make_unique<DigestSink>(std::move(sink), part->digest_)));
    return part;
}

void PartWriter::report_stored() {
    context_.progress.bytes_stored += stored_ - reported_;
    reported_ = stored_;
}

Result<ManifestPart> PartWriter::finish() {
    FORGE_TRY(tar_->finish());
    report_stored();
    ManifestPart record;
    record.name = file_name_;
    record.stored_size = stored_;
    record.plain_size = digest_.size;
    record.sha256 = digest_.hash.finish();
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
    // The size now is what the header promises; what comes later is in the WAL.
    entry.size = static_cast<std::uint64_t>(info.st_size);
    FORGE_TRY(ensure_part());
    FORGE_TRY(part_->tar().begin(tar_member(entry, owners_)));
    PackedMember member = packed_member(entry, parts_.size());
    std::optional<PageChecker> checker;
    if (context_.verify_pages && entry.is_relation) {
        const auto file = parse_relation_file(base_name(path));
        const std::uint32_t first_block = file ? file->segment * context_.relation_segment_blocks : 0;
        checker.emplace(fd->get(), first_block, context_.start_lsn);
    }
    FORGE_TRY(copy_content(fd->get(), path, entry.size, member, checker ? &*checker : nullptr));
    if (checker) {
        member.bad_count = checker->bad_count();
        member.bad_blocks = checker->bad_blocks();
        report_bad_pages(entry, member);
    }
    members_.push_back(std::move(member));
    part_bytes_ += entry.size;
    part_->report_stored();
    if (part_bytes_ >= context_.part_size_limit) return close();
    return {};
}

// Exactly `size` bytes go into the part, whatever happens to the file meanwhile.
Status Packer::copy_content(int fd, const std::string& path, std::uint64_t size, PackedMember& member,
                            PageChecker* checker) {
    if (buffer_.empty()) buffer_.resize(kBuffer);
    // Only a hint to read ahead. The pages stay in the cache: they may be what the server's queries live on.
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    Sha256 hash;
    bool ended = false;
    for (std::uint64_t at = 0; at < size;) {
        FORGE_TRY(context_.stop.check());
        const MutableBytes block(buffer_.data(), static_cast<std::size_t>(std::min<std::uint64_t>(kBuffer, size - at)));
        if (!context_.disk_limit.acquire(block.size(), context_.stop)) return context_.stop.check();
        std::size_t got = 0;
        if (!ended) {
            FORGE_ASSIGN(got, read_fd(fd, block, path));
        }
        if (checker != nullptr) checker->check(block.first(got), at, context_.stop);
        if (got < block.size()) {
            ended = true;
            std::fill(block.begin() + static_cast<std::ptrdiff_t>(got), block.end(), std::uint8_t{0});
        }
        hash.update(block);
        FORGE_TRY(part_->tar().write(block));
        context_.progress.bytes_done += block.size();
        at += block.size();
    }
    if (checker != nullptr && size % kPageSize != 0)
        context_.logger.warning("checksum of the last page of file " + quoted(path) +
                                " is not verified: the size of the file is not a multiple of " +
                                std::to_string(kPageSize) + " bytes");
    member.sha256 = hash.finish();
    return {};
}

void Packer::report_bad_pages(const ScanEntry& entry, const PackedMember& member) {
    if (member.bad_count == 0) return;
    context_.logger.warning("checksum verification failed for " + std::to_string(member.bad_count) +
                            (member.bad_count == 1 ? " page" : " pages") + " of file " + quoted(entry.name.substr(1)) +
                            ", first block " + std::to_string(member.bad_blocks.front()));
}

}  // namespace forge::backup
