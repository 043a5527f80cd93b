#include "core/restore/fetch_extract.h"

#include <algorithm>

#include "core/backup/sha256.h"
#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kBuffer = 128 * 1024;
constexpr std::size_t kSmallLimit = 16 << 20;  // of a held back file; pg_control has 8 kB

Status damaged_file(const std::string& name, const std::string& what) {
    return Status(Kind::kCorrupt, "file " + quoted(name) + " " + what);
}

}  // namespace

Status Extractor::read_part(const Part& part, const Visitor& visit) {
    store::CallContext call;
    call.cancel = &context_.stop;
    FORGE_ASSIGN(auto source, context_.repository.open_object(part.key, part.method, call));
    backup::StreamDigest digest;
    if (part.record != nullptr) source = std::make_unique<backup::DigestSource>(std::move(source), digest);
    FORGE_ASSIGN(const auto tar, TarReader::open(std::move(source)));
    TarEntry entry;
    while (true) {
        FORGE_TRY(context_.stop.check());
        FORGE_ASSIGN(const bool more, tar->next(entry));
        if (!more) break;
        FORGE_TRY(visit(*tar, entry));
    }
    FORGE_TRY(tar->finish());
    if (part.record != nullptr &&
        (digest.size != part.record->plain_size || digest.hash.finish() != part.record->sha256))
        return Status(Kind::kCorrupt, "its content is not what the backup's manifest says");
    ++context_.progress.parts_done;
    return {};
}

Status Extractor::extract(const Part& part) {
    Status result =
        read_part(part, [this](TarReader& tar, const TarEntry& entry) { return extract_member(tar, entry); });
    // Errors of the store name the object themselves.
    if (result.is(Kind::kCorrupt) && result.message().find(part.key) == std::string::npos)
        return std::move(result).with_context("object " + quoted(part.key));
    return result;
}

Status Extractor::extract_member(TarReader& tar, const TarEntry& entry) {
    FORGE_ASSIGN(const std::string name, relative_name(entry.name));
    switch (entry.type) {
        case TarEntry::Type::kDirectory:
            note_seen(name);
            return context_.tree.make_directory(name, entry.mode, cursor_);
        case TarEntry::Type::kFile: return extract_file(tar, entry, name);
        case TarEntry::Type::kSymlink: note_seen(name); return extract_symlink(entry, name);
        case TarEntry::Type::kHardlink: return damaged_file(name, "is a hard link, which no backup contains");
        case TarEntry::Type::kOther: break;
    }
    note_seen(name);
    context_.logger.warning("special file " + quoted(name) + " is not restored");
    return {};
}

// Other programs store the link's own name as its target.
Status Extractor::extract_symlink(const TarEntry& entry, const std::string& name) {
    if (!context_.contents.manifest && entry.target == base_name(name)) {
        context_.logger.warning("symbolic link " + quoted(name) +
                                " is not restored: the backup does not say where it pointed to");
        return {};
    }
    context_.tree.add_symlink(name, entry.target);
    return {};
}

void Extractor::note_seen(const std::string& name) {
    const auto found = context_.contents.files.find(name);
    // In our manifest there are files only: a directory in the place of one does not count.
    if (found != context_.contents.files.end() && !context_.contents.manifest) found->second.seen = true;
}

Result<ExpectedFile*> Extractor::claim(const std::string& name) {
    BackupContents& contents = context_.contents;
    const bool held_back = name == kControlName || (contents.label_part && (name == kLabelName || name == kMapName));
    if (held_back) {
        note_seen(name);
        return static_cast<ExpectedFile*>(nullptr);
    }
    if (contents.files.empty()) return &unlisted_;
    const auto found = contents.files.find(name);
    if (found == contents.files.end()) {
        if (contents.manifest) return damaged_file(name, "is not part of the backup");
        // Without label part these are in the data, and not in the list.
        if (name == kLabelName || name == kMapName) return &unlisted_;
        return static_cast<ExpectedFile*>(nullptr);
    }
    if (found->second.seen.exchange(true)) return damaged_file(name, "is in the backup twice");
    return &found->second;
}

Status Extractor::extract_file(TarReader& tar, const TarEntry& entry, const std::string& name) {
    FORGE_ASSIGN(const ExpectedFile* expected, claim(name));
    if (expected == nullptr) return {};
    FORGE_ASSIGN(const Fd fd, context_.tree.create_file(name, entry.mode, cursor_));
    FORGE_TRY(copy(tar, entry, expected, [&](ByteView data) { return write_fd(fd.get(), data, name); }));
    ++context_.progress.files_done;
    return {};
}

Status Extractor::copy(TarReader& tar, const TarEntry& entry, const ExpectedFile* expected,
                       const std::function<Status(ByteView)>& write) {
    if (expected->size && entry.size != *expected->size)
        return damaged_file(entry.name, "has " + std::to_string(entry.size) + " bytes instead of " +
                                            std::to_string(*expected->size));
    if (buffer_.empty()) buffer_.resize(kBuffer);
    std::optional<backup::Sha256> hash;
    if (expected->sha256) hash.emplace();
    std::uint64_t copied = 0;
    while (true) {
        FORGE_TRY(context_.stop.check());
        FORGE_ASSIGN(const std::size_t size, tar.read(buffer_));
        if (size == 0) break;
        const ByteView data = ByteView(buffer_).first(size);
        if (hash) hash->update(data);
        FORGE_TRY(write(data));
        copied += size;
        context_.progress.bytes_done += size;
    }
    if (copied != entry.size) return damaged_file(entry.name, "is cut off");
    if (hash && hash->finish() != *expected->sha256) return damaged_file(entry.name, "does not match its digest");
    return {};
}

Result<std::map<std::string, std::string>> Extractor::read_small(const Part& part) {
    std::map<std::string, std::string> files;
    Status result = read_part(part, [&](TarReader& tar, const TarEntry& entry) -> Status {
        FORGE_ASSIGN(const std::string name, relative_name(entry.name));
        if (entry.type != TarEntry::Type::kFile) return damaged_file(entry.name, "is no regular file");
        if (entry.size > kSmallLimit) return damaged_file(entry.name, "is too large");
        const auto expected = context_.contents.files.find(name);
        if (expected != context_.contents.files.end())
            expected->second.seen = true;
        else if (context_.contents.manifest)
            return damaged_file(name, "is not part of the backup");
        std::string& content = files[name];
        content.clear();
        return copy(tar, entry, expected != context_.contents.files.end() ? &expected->second : &unlisted_,
                    [&](ByteView data) {
                        content += as_text(data);
                        return Status();
                    });
    });
    if (!result.ok()) {
        if (result.message().find(part.key) != std::string::npos) return result;
        return std::move(result).with_context("object " + quoted(part.key));
    }
    return files;
}

}  // namespace forge::restore
