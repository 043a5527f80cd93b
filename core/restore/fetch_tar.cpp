#include "core/restore/fetch_tar.h"


#include <algorithm>
#include <cstring>

#include "core/backup/libarchive.h"
#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kBlock = 128 * 1024;

std::string text_or_empty(const char* text) { return text != nullptr ? std::string(text) : std::string(); }

TarEntry::Type entry_type(archive_entry* entry) {
    if (archive_entry_hardlink(entry) != nullptr) return TarEntry::Type::kHardlink;
    switch (archive_entry_filetype(entry)) {
        case AE_IFREG: return TarEntry::Type::kFile;
        case AE_IFDIR: return TarEntry::Type::kDirectory;
        case AE_IFLNK: return TarEntry::Type::kSymlink;
        default: return TarEntry::Type::kOther;
    }
}

// Every byte equals the one before it: as fast as memory.
bool all_zero(ByteView data) {
    return data.empty() || (data[0] == 0 && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

Status garbage_at_end() { return Status(Kind::kCorrupt, "there is data behind the end of the tar archive"); }

}  // namespace

TarReader::TarReader(std::unique_ptr<Source> source) : source_(std::move(source)), block_(kBlock) {}

TarReader::~TarReader() {
    if (archive_ != nullptr) archive_read_free(archive_);
}

Result<std::unique_ptr<TarReader>> TarReader::open(std::unique_ptr<Source> source) {
    std::unique_ptr<TarReader> reader(new TarReader(std::move(source)));
    reader->archive_ = archive_read_new();
    if (reader->archive_ == nullptr) return Status(Kind::kExhausted, "out of memory");
    ::archive* archive = reader->archive_;
    const bool ready = archive_read_support_format_tar(archive) == ARCHIVE_OK &&
                       archive_read_support_format_empty(archive) == ARCHIVE_OK &&
                       archive_read_open(archive, reader.get(), nullptr, &TarReader::pull, nullptr) == ARCHIVE_OK;
    if (!ready) return reader->failure();
    return reader;
}

ssize_t TarReader::pull(::archive*, void* self, const void** data) {
    auto* reader = static_cast<TarReader*>(self);
    auto size = reader->source_->read(reader->block_);
    if (!size.ok()) {
        reader->error_ = size.status();
        return ARCHIVE_FATAL;  // failure() tells the source's error
    }
    ByteView block = ByteView(reader->block_).first(*size);
    if (!all_zero(block)) {
        while (block.back() == 0) block = block.first(block.size() - 1);
        reader->nonzero_end_ = reader->delivered_ + block.size();
    }
    reader->delivered_ += *size;
    *data = reader->block_.data();
    return static_cast<ssize_t>(*size);
}

Status TarReader::failure() const {
    if (!error_.ok()) return error_;
    return Status(Kind::kCorrupt, "the tar archive is damaged: " + text_or_empty(archive_error_string(archive_)));
}

std::uint64_t TarReader::header_position() const {
    return static_cast<std::uint64_t>(std::max<la_int64_t>(0, archive_read_header_position(archive_)));
}

Result<bool> TarReader::next(TarEntry& entry) {
    archive_entry* header = nullptr;
    const int code = archive_read_next_header(archive_, &header);
    if (code == ARCHIVE_EOF) return false;
    // A warning: the name is in no character set the library knows; it is kept byte for byte.
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return failure();
    content_ = 0;
    entry.type = entry_type(header);
    entry.name = text_or_empty(archive_entry_pathname(header));
    entry.target = text_or_empty(archive_entry_symlink(header));
    entry.size = static_cast<std::uint64_t>(archive_entry_size(header));
    entry.mode = archive_entry_perm(header);
    size_.reset();
    if (entry.type == TarEntry::Type::kFile) size_ = entry.size;
    if (archive_entry_sparse_count(header) > 0)
        return Status(Kind::kCorrupt, "member " + quoted(entry.name) + " of the tar archive is sparse");
    if (entry.name.empty()) return Status(Kind::kCorrupt, "the tar archive has a member without a name");
    return true;
}

Result<std::size_t> TarReader::read(MutableBytes buffer) {
    const la_ssize_t size = archive_read_data(archive_, buffer.data(), buffer.size());
    if (size < 0) return failure();
    // Zeroes of the library's own making, for a size that only a header claims.
    content_ += static_cast<std::uint64_t>(size);
    if (content_ > delivered_ - header_position()) return Status(Kind::kCorrupt, "the tar archive has a sparse member");
    if (size == 0 && size_ && content_ != *size_)
        return Status(Kind::kCorrupt, "a member of the tar archive has not the size its header says");
    return static_cast<std::size_t>(size);
}

Status TarReader::finish() {
    // Where the next header would be, the archive ends. The library takes the second block of the end mark unseen, and
    // has read ahead.
    if (nonzero_end_ > header_position()) return garbage_at_end();
    while (true) {
        FORGE_ASSIGN(const std::size_t size, source_->read(block_));
        if (size == 0) return {};
        if (!all_zero(ByteView(block_).first(size))) return garbage_at_end();
    }
}

}  // namespace forge::restore
