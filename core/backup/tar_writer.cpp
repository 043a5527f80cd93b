#include "core/backup/tar_writer.h"

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>

#include <vector>

#include "core/backup/libarchive.h"
#include "core/base/text.h"

namespace forge::backup {
namespace {

constexpr int kBlock = 64 * 1024;  // collects headers and small files; the end is not padded to it
constexpr std::size_t kNameBuffer = 16 * 1024;

struct FreeEntry {
    void operator()(archive_entry* entry) const { archive_entry_free(entry); }
};

unsigned int file_type(TarMember::Type type) {
    switch (type) {
        case TarMember::Type::kDirectory: return AE_IFDIR;
        case TarMember::Type::kSymlink: return AE_IFLNK;
        case TarMember::Type::kFile: break;
    }
    return AE_IFREG;
}

}  // namespace

Result<std::unique_ptr<TarWriter>> TarWriter::create(std::unique_ptr<Sink> sink) {
    std::unique_ptr<TarWriter> writer(new TarWriter(std::move(sink)));
    writer->archive_ = archive_write_new();
    if (writer->archive_ == nullptr) return Status(Kind::kExhausted, "out of memory");
    ::archive* archive = writer->archive_;
    const bool ready = archive_write_set_format_pax_restricted(archive) == ARCHIVE_OK &&
                       archive_write_set_bytes_per_block(archive, kBlock) == ARCHIVE_OK &&
                       archive_write_set_bytes_in_last_block(archive, 1) == ARCHIVE_OK &&
                       archive_write_open(archive, writer.get(), nullptr, &TarWriter::pass_on, nullptr) == ARCHIVE_OK;
    if (!ready) return writer->failure("could not start a tar stream");
    return writer;
}

// Freeing an open archive writes its end, which must not reach the sink of an unfinished one.
TarWriter::~TarWriter() {
    discard_ = true;
    if (archive_ != nullptr) archive_write_free(archive_);
}

// Never fails towards the library, which would not free all it has after that: the writer itself looks at the sink's
// error.
ssize_t TarWriter::pass_on(::archive*, void* self, const void* data, std::size_t size) {
    auto* writer = static_cast<TarWriter*>(self);
    if (!writer->discard_ && writer->error_.ok())
        writer->error_ = writer->sink_->write({static_cast<const std::uint8_t*>(data), size});
    return static_cast<ssize_t>(size);
}

Status TarWriter::failure(const std::string& what) {
    if (!error_.ok()) return error_;
    const char* text = archive_error_string(archive_);
    return Status(Kind::kInternal, what + ": " + (text != nullptr ? text : "unknown error"));
}

Status TarWriter::begin(const TarMember& member) {
    const std::unique_ptr<archive_entry, FreeEntry> entry(archive_entry_new2(archive_));
    if (!entry) return Status(Kind::kExhausted, "out of memory");
    archive_entry_set_pathname(entry.get(), member.name.c_str());
    archive_entry_set_filetype(entry.get(), file_type(member.type));
    archive_entry_set_perm(entry.get(), member.mode);
    archive_entry_set_uid(entry.get(), member.uid);
    archive_entry_set_gid(entry.get(), member.gid);
    archive_entry_set_uname(entry.get(), member.user.c_str());
    archive_entry_set_gname(entry.get(), member.group.c_str());
    archive_entry_set_mtime(entry.get(), member.mtime_seconds, 0);
    archive_entry_set_size(entry.get(),
                           member.type == TarMember::Type::kFile ? static_cast<la_int64_t>(member.size) : 0);
    if (member.type == TarMember::Type::kSymlink) archive_entry_set_symlink(entry.get(), member.target.c_str());
    // A warning: in the C locale the library cannot tell the character set of a name that is not ASCII, says so and
    // writes it byte for byte.
    const int code = archive_write_header(archive_, entry.get());
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
        return failure("could not write the tar header of " + quoted(member.name));
    return error_;
}

Status TarWriter::write(ByteView data) {
    const la_ssize_t written = archive_write_data(archive_, data.data(), data.size());
    if (written != static_cast<la_ssize_t>(data.size())) return failure("could not write a tar stream");
    return error_;
}

Status TarWriter::finish() {
    if (archive_write_close(archive_) != ARCHIVE_OK) return failure("could not end a tar stream");
    FORGE_TRY(error_);
    return sink_->finish();
}

const std::string& OwnerNames::user(uid_t uid) {
    const auto [known, added] = users_.try_emplace(uid);
    if (!added) return known->second;
    std::vector<char> buffer(kNameBuffer);
    passwd record{};
    passwd* found = nullptr;
    if (::getpwuid_r(uid, &record, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
        known->second = found->pw_name;
    return known->second;
}

const std::string& OwnerNames::group(gid_t gid) {
    const auto [known, added] = groups_.try_emplace(gid);
    if (!added) return known->second;
    std::vector<char> buffer(kNameBuffer);
    ::group record{};
    ::group* found = nullptr;
    if (::getgrgid_r(gid, &record, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
        known->second = found->gr_name;
    return known->second;
}

}  // namespace forge::backup
