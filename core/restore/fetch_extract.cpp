#include "core/restore/fetch_extract.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/backup/file_checksum.h"
#include "core/base/crash_point.h"
#include "core/base/text.h"
#include "core/layout/increment.h"
#include "core/restore/part_reading.h"

namespace forge::restore {
namespace {

constexpr std::size_t kPage = layout::kIncrementPage;
constexpr std::size_t kBuffer = 16 * kPage;
constexpr std::size_t kSmallLimit = 16 << 20;  // of a held back file; pg_control has 8 kB

Status damaged_file(const std::string& name, const std::string& what) {
    return Status(Kind::kCorrupt, "file " + quoted(name) + " " + what);
}

std::string bytes_instead(std::uint64_t there, std::uint64_t expected) {
    return "has " + std::to_string(there) + " bytes instead of " + std::to_string(expected);
}

// The content of the member a tar reader stands at.
class MemberSource final : public Source {
public:
    MemberSource(TarReader& tar, std::atomic<std::uint64_t>& counter) : tar_(tar), counter_(counter) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        auto size = tar_.read(buffer);
        if (size.ok()) counter_ += *size;
        return size;
    }

private:
    TarReader& tar_;
    std::atomic<std::uint64_t>& counter_;
};

Status write_at(int fd, ByteView data, std::uint64_t offset, const std::string& name) {
    while (!data.empty()) {
        const ssize_t written = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno_status(errno, "could not write file", name);
        data = data.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
    return {};
}

// A list that lost its mark of an increment would turn the increment into the file (walg-format 2.6).
bool is_increment(ByteView start, std::uint64_t size) {
    return layout::looks_like_increment(start) && start.size() >= layout::kIncrementFixedSize &&
           layout::increment_size(load_le<std::uint32_t>(start.data() + 12)) == size;
}

// Writes the pages of `data`, which begins at block `first`, that no newer backup has; neighbours in one piece.
Status write_open_pages(int fd, ByteView data, std::uint64_t first, AssembledFile& file, const std::string& name) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < data.size();) {
        const std::size_t end = std::min(at + kPage, data.size());
        if (!file.take(static_cast<std::uint32_t>(first + at / kPage))) {
            FORGE_TRY(write_at(fd, data.subspan(begin, at - begin), first * kPage + begin, name));
            begin = end;
        }
        at = end;
    }
    return write_at(fd, data.subspan(begin), first * kPage + begin, name);
}

}  // namespace

Status Extractor::read_part(const Part& part, const Visitor& visit) {
    store::CallContext call;
    call.cancel = &context_.stop;
    PartReading reading(part.record);
    FORGE_ASSIGN(auto source, reading.open(context_.repository, part.key, part.method, call));
    FORGE_ASSIGN(const auto tar, TarReader::open(std::move(source)));
    TarEntry entry;
    while (true) {
        FORGE_TRY(context_.stop.check());
        FORGE_ASSIGN(const bool more, tar->next(entry));
        if (!more) break;
        FORGE_TRY(visit(*tar, entry));
    }
    FORGE_TRY(tar->finish());
    FORGE_TRY(reading.compare());
    ++context_.progress.parts_done;
    return {};
}

// What an earlier attempt wrote, this one would write again.
Status Extractor::take_over(const Part& part, const PartRecord& record) {
    for (const auto& [name, mode] : record.directories) {
        note_seen(name);
        FORGE_TRY(context_.tree.make_directory(name, mode, cursor_));
    }
    for (const auto& [name, target] : record.symlinks) {
        note_seen(name);
        context_.tree.add_symlink(name, target);
    }
    for (const std::string& name : record.files) note_seen(name);
    context_.progress.files_done += static_cast<std::uint32_t>(record.files.size());
    if (part.record != nullptr) context_.progress.bytes_done += part.record->plain_size;
    ++context_.progress.parts_done;
    return {};
}

Status Extractor::extract(const Part& part) {
    if (const PartRecord* record = context_.journal.done(part.key)) return take_over(part, *record);
    line_ = {};
    repeatable_ = true;
    Status result =
        read_part(part, [this](TarReader& tar, const TarEntry& entry) { return extract_member(tar, entry); });
    if (result.ok()) return repeatable_ ? context_.journal.add(part.key, line_) : Status();
    // Errors of the store name the object themselves.
    if (result.is(Kind::kCorrupt) && result.message().find(part.key) == std::string::npos)
        return std::move(result).with_context("object " + quoted(part.key));
    return result;
}

Status Extractor::extract_member(TarReader& tar, const TarEntry& entry) {
    FORGE_ASSIGN(const std::string name, relative_name(entry.name));
    if (entry.type == TarEntry::Type::kFile) return extract_file(tar, entry, name);
    if (entry.type == TarEntry::Type::kHardlink) return damaged_file(name, "is a hard link, which no backup contains");
    // Every backup has all directories and links of its time; those of older ones are gone.
    if (!context_.level.is_target) return {};
    note_seen(name);
    if (entry.type == TarEntry::Type::kDirectory) return extract_directory(entry, name);
    if (entry.type == TarEntry::Type::kSymlink) return extract_symlink(entry, name);
    context_.logger.warning("special file " + quoted(name) + " is not restored");
    return {};
}

Status Extractor::extract_directory(const TarEntry& entry, const std::string& name) {
    line_.add_directory(name, entry.mode);
    return context_.tree.make_directory(name, entry.mode, cursor_);
}

// A backup by BASE_BACKUP has the links to tablespaces too, which are made by the sentinel, to their new places. Of
// other links other programs store the link's own name as its target.
Status Extractor::extract_symlink(const TarEntry& entry, const std::string& name) {
    for (const layout::Tablespace& tablespace : contents().sentinel.tablespaces)
        if (name == "pg_tblspc/" + tablespace.oid) return {};
    if (!contents().manifest && entry.target == base_name(name)) {
        context_.logger.warning("symbolic link " + quoted(name) +
                                " is not restored: the backup does not say where it pointed to");
        return {};
    }
    line_.add_symlink(name, entry.target);
    context_.tree.add_symlink(name, entry.target);
    return {};
}

void Extractor::note_seen(const std::string& name) {
    if (Claim* const claim = context_.level.find(name)) claim->see();
}

// Held back until all parts are done: from parts of their own, where there are any.
bool Extractor::is_held_back(const std::string& name) const {
    return name == kControlName || (contents().label_part && (name == kLabelName || name == kMapName));
}

Result<Claim*> Extractor::claim_of(const std::string& name) {
    if (context_.level.is_target && is_held_back(name)) return static_cast<Claim*>(nullptr);
    if (context_.level.is_target && !contents().listed) return &unlisted_;
    if (Claim* const claim = context_.level.find(name)) {
        if (!claim->see()) return damaged_file(name, "is in the backup twice");
        return claim;
    }
    if (!context_.level.is_target) return static_cast<Claim*>(nullptr);
    if (contents().manifest) return damaged_file(name, "is not part of the backup");
    // Without label part these are in the data, and not in the list.
    if (name == kLabelName || name == kMapName) return &unlisted_;
    return static_cast<Claim*>(nullptr);
}

Status Extractor::extract_file(TarReader& tar, const TarEntry& entry, const std::string& name) {
    FORGE_ASSIGN(Claim* const claim, claim_of(name));
    if (claim == nullptr) return {};
    switch (claim->role) {
        case Claim::Role::kWhole: FORGE_TRY(write_whole(tar, entry, name, claim->listed)); break;
        case Claim::Role::kIncrement: FORGE_TRY(write_increment(tar, entry, name, *claim)); break;
        case Claim::Role::kBase: FORGE_TRY(write_base(tar, entry, name, *claim)); break;
    }
    FORGE_CRASH_POINT("restore-file");
    line_.add_file(name);
    ++context_.progress.files_done;
    return {};
}

Status Extractor::write_whole(TarReader& tar, const TarEntry& entry, const std::string& name,
                              const ListedFile* listed) {
    FORGE_ASSIGN(const Fd fd, context_.tree.create_file(name, entry.mode, cursor_));
    WriteBack write_back;
    return copy(tar, entry, listed, [&](ByteView data) -> Status {
        FORGE_TRY(write_fd(fd.get(), data, name));
        write_back.wrote(fd.get(), data.size());
        return {};
    });
}

Status Extractor::write_increment(TarReader& tar, const TarEntry& entry, const std::string& name, Claim& claim) {
    repeatable_ = false;
    MemberSource source(tar, context_.progress.bytes_done);
    auto header = layout::read_increment_header(source, entry.size);
    if (!header.ok()) return header.status().with_context("file " + quoted(name));
    const auto listed_size = claim.listed != nullptr ? claim.listed->size : std::nullopt;
    if (listed_size && *listed_size != header->file_size)
        return damaged_file(name, bytes_instead(header->file_size, *listed_size));
    AssembledFile& file = *claim.assembled;
    Fd fd;
    if (!file.sized) {
        // A file that grew while it was looked at may have pages behind its recorded size (walg-format 6.2).
        const std::uint64_t end = header->blocks.empty() ? 0 : (header->blocks.back() + std::uint64_t{1}) * kPage;
        file.sized = true;
        file.size = file.limit = std::max(header->file_size, end);
        file.done.resize(static_cast<std::size_t>((file.size + kPage - 1) / kPage));
        FORGE_ASSIGN(fd, context_.tree.create_sized(name, entry.mode, file.size, cursor_));
    } else {
        FORGE_ASSIGN(fd, context_.tree.open_sized(name, cursor_));
    }
    if (buffer_.empty()) buffer_.resize(kBuffer);
    const MutableBytes page(buffer_.data(), kPage);
    for (const std::uint32_t block : header->blocks) {
        FORGE_TRY(context_.stop.check());
        FORGE_ASSIGN(const std::size_t size, read_full(source, page));
        if (size != kPage) return damaged_file(name, "is cut off");
        if (file.take(block)) FORGE_TRY(write_at(fd.get(), page, std::uint64_t{block} * kPage, name));
    }
    // Only now: the pages of this very increment may lie behind its size.
    file.limit = std::min(file.limit, header->file_size);
    return {};
}

Status Extractor::write_base(TarReader& tar, const TarEntry& entry, const std::string& name, Claim& claim) {
    AssembledFile& file = *claim.assembled;
    if (!file.sized) return damaged_file(name, "has no increment in the newer backups");
    FORGE_ASSIGN(const Fd fd, context_.tree.open_sized(name, cursor_));
    // A page of an odd size at the end of the base must not reach behind the limit.
    const std::uint64_t last = std::min<std::uint64_t>(entry.size, file.limit);
    std::uint64_t at = 0;
    Bytes pages;
    const auto flush = [&](std::size_t size) -> Status {
        const std::uint64_t usable = last > at ? std::min<std::uint64_t>(size, last - at) : 0;
        const ByteView data = ByteView(pages).first(static_cast<std::size_t>(usable));
        FORGE_TRY(write_open_pages(fd.get(), data, at / kPage, file, name));
        at += size;
        pages.erase(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(size));
        return {};
    };
    FORGE_TRY(copy(tar, entry, claim.listed, [&](ByteView data) -> Status {
        pages.insert(pages.end(), data.begin(), data.end());
        return pages.size() < kPage ? Status() : flush(pages.size() / kPage * kPage);
    }));
    return pages.empty() ? Status() : flush(pages.size());
}

// The content of a file that is not an increment.
Status Extractor::copy(TarReader& tar, const TarEntry& entry, const ListedFile* listed, const Write& write) {
    const auto listed_size = listed != nullptr ? listed->size : std::nullopt;
    const auto checksum = listed != nullptr ? listed->checksum : std::nullopt;
    if (listed_size && entry.size != *listed_size)
        return damaged_file(entry.name, bytes_instead(entry.size, *listed_size));
    if (buffer_.empty()) buffer_.resize(kBuffer);
    std::optional<backup::FileHash> hash;
    if (checksum) hash.emplace(*checksum);
    MemberSource source(tar, context_.progress.bytes_done);
    std::uint64_t copied = 0;
    while (true) {
        FORGE_TRY(context_.stop.check());
        FORGE_ASSIGN(const std::size_t size, read_full(source, buffer_));
        if (size == 0) break;
        const ByteView data = ByteView(buffer_).first(size);
        if (copied == 0 && !contents().manifest && is_increment(data, entry.size))
            return damaged_file(entry.name, "holds an increment, and is not listed as one");
        if (hash) hash->update(data);
        FORGE_TRY(write(data));
        copied += size;
    }
    if (copied != entry.size) return damaged_file(entry.name, "is cut off");
    if (hash && hash->finish() != *checksum) return damaged_file(entry.name, "does not match its checksum");
    return {};
}

Result<std::map<std::string, std::string>> Extractor::read_small(const Part& part) {
    std::map<std::string, std::string> files;
    Status result = read_part(part, [&](TarReader& tar, const TarEntry& entry) -> Status {
        FORGE_ASSIGN(const std::string name, relative_name(entry.name));
        if (entry.type != TarEntry::Type::kFile) return damaged_file(entry.name, "is no regular file");
        if (entry.size > kSmallLimit) return damaged_file(entry.name, "is too large");
        Claim* const claim = context_.level.find(name);
        if (claim != nullptr)
            claim->see();
        else if (contents().manifest)
            return damaged_file(name, "is not part of the backup");
        std::string& content = files[name];
        content.clear();
        return copy(tar, entry, claim != nullptr ? claim->listed : nullptr, [&](ByteView data) {
            content += as_text(data);
            return Status();
        });
    });
    if (result.ok()) return files;
    if (result.message().find(part.key) != std::string::npos) return result;
    return std::move(result).with_context("object " + quoted(part.key));
}

}  // namespace forge::restore
