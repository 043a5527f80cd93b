// Manifests as they are read: the library parses what is between the files, and each file by itself.
#include <algorithm>
#include <charconv>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/backup/manifest.h"
#include "core/backup/manifest_format.h"
#include "core/base/text.h"

namespace forge::backup {
namespace {

using nlohmann::json;

constexpr std::size_t kBlock = 64 * 1024;
// Of the manifest without its list of files: it has the names of all files that a delta skips.
constexpr std::size_t kMembersLimit = std::size_t{1} << 30;
constexpr int kEnd = -1;

// A text that ends with `before`, the SHA-256 of all that comes before that, and `after`.
class SealedText {
public:
    SealedText(std::string_view before, std::string_view after)
        : before_(before), after_(after), size_(before.size() + 2 * sizeof(Digest) + after.size()) {}
    void add(std::string_view text) {
        pending_ += text;
        if (pending_.size() < kBlock + size_) return;
        hash(pending_.size() - size_);
    }
    // After all of it was added.
    bool is_whole() {
        if (pending_.size() < size_) return false;
        hash(pending_.size() - size_);
        return pending_ == std::string(before_) + to_hex(hash_.finish()) + std::string(after_);
    }

private:
    void hash(std::size_t size) {
        hash_.update(as_bytes(pending_).first(size));
        pending_.erase(0, size);
    }

    std::string_view before_, after_;
    std::size_t size_;     // bytes of the seal
    std::string pending_;  // not hashed: it may be the seal
    Sha256 hash_;
};

// The manifest, character by character.
class Document {
public:
    explicit Document(Source& source) : source_(source), block_(kBlock) {}
    // kEnd at the end, and where it cannot be read on.
    int get() {
        if (at_ == size_ && !fill()) return kEnd;
        return block_[at_++];
    }
    // Appends what comes up to `marker`, and that, to `text`; false when it does not come.
    bool read_through(std::string_view marker, std::string& text) {
        for (int c = get(); c != kEnd; c = get()) {
            text += static_cast<char>(c);
            if (c == marker.back() && text.ends_with(marker)) return true;
            if (text.size() > kMembersLimit) status_ = Status(Kind::kCorrupt, "the manifest has no list of files");
        }
        return false;
    }
    // After its end: whether it was read, and is what was written.
    Status check() {
        FORGE_TRY(status_);
        return seal_.is_whole() ? Status() : Status(Kind::kCorrupt, "the manifest does not match its digest");
    }

private:
    bool fill() {
        if (!status_.ok()) return false;
        auto size = source_.read(block_);
        if (!size.ok()) status_ = size.status();
        at_ = 0;
        size_ = size.ok() ? *size : 0;
        seal_.add(as_text(ByteView(block_).first(size_)));
        return size_ > 0;
    }

    Source& source_;
    Bytes block_;
    std::size_t at_ = 0, size_ = 0;
    Status status_;
    SealedText seal_{kDigestMember, kDigestEnd};
};

// The list of files, which is inside of a JSON string: the characters that the string stands for. The library would
// hand over the string as a whole, of a million files 150 MB.
class ListText {
public:
    explicit ListText(Document& document) : document_(document) { next(); }
    int current() const { return current_; }
    void next() {
        current_ = take();
        if (current_ == kEnd) return;
        passed_ += static_cast<char>(current_);
        if (passed_.size() == kBlock) hand_over();
    }
    // After its end.
    Status check() {
        hand_over();
        if (damaged_) return Status(Kind::kCorrupt, "the text of the list of files is damaged");
        return seal_.is_whole() ? Status() : Status(Kind::kCorrupt, "the list of files does not match its checksum");
    }

private:
    void hand_over() {
        seal_.add(passed_);
        passed_.clear();
    }
    int take() {
        if (ended_) return kEnd;
        const int c = document_.get();
        if (c == '\\') return take_escaped();
        if (c != '"') return c;
        ended_ = true;
        return kEnd;
    }
    // RFC 8259, section 7.
    int take_escaped() {
        constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
        const int letter = document_.get();
        if (letter == 'u') return take_code();
        const std::size_t at = letter == kEnd ? std::string_view::npos : kLetters.find(static_cast<char>(letter));
        return at == std::string_view::npos ? fail() : kMeanings[at];
    }
    // Only control characters are written so.
    int take_code() {
        std::string digits;
        for (int i = 0; i < 4; ++i) digits += static_cast<char>(document_.get());
        unsigned code = 0;
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        const bool whole = error == std::errc() && end == digits.data() + digits.size();
        return whole && code < 0x80 ? static_cast<int>(code) : fail();
    }
    int fail() {
        damaged_ = ended_ = true;
        return kEnd;
    }

    Document& document_;
    int current_ = kEnd;
    bool ended_ = false, damaged_ = false;
    std::string passed_;
    SealedText seal_{kChecksumMember, kChecksumEnd};
};

// What the library reads the list by.
class ListIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = char;

    explicit ListIterator(ListText* text) : text_(text) {}  // null: the end
    char operator*() const { return static_cast<char>(text_->current()); }
    ListIterator& operator++() {
        text_->next();
        return *this;
    }
    bool operator==(const ListIterator& other) const { return at_end() == other.at_end(); }

private:
    bool at_end() const { return text_ == nullptr || text_->current() == kEnd; }

    ListText* text_;
};

Result<Digest> parse_digest(const std::string& text) {
    const auto bytes = from_hex(text);
    Digest digest{};
    if (!bytes || bytes->size() != digest.size())
        return Status(Kind::kCorrupt, forge::quoted(text) + " is not a SHA-256");
    std::copy(bytes->begin(), bytes->end(), digest.begin());
    return digest;
}

Result<Lsn> lsn_member(const json& object, const char* name) {
    const auto lsn = parse_lsn(object.at(name).get<std::string>());
    if (!lsn) return Status(Kind::kCorrupt, std::string(name) + " is not an LSN");
    return *lsn;
}

// The library would wrap and round numbers to make them fit.
template <typename T>
Result<T> number_member(const json& object, const char* name) {
    const json& value = object.at(name);
    if (!value.is_number_unsigned() || !std::in_range<T>(value.get<std::uint64_t>()))
        return Status(Kind::kCorrupt, forge::quoted(name) + " is no number that fits");
    return static_cast<T>(value.get<std::uint64_t>());
}

Result<std::int64_t> time_member(const json& object, const char* name) {
    std::string text = object.at(name).get<std::string>();
    if (text.ends_with(" GMT")) text.replace(text.size() - 4, 4, "Z");
    const auto at = parse_time(text);
    if (!at.ok()) return Status(Kind::kCorrupt, forge::quoted(name) + " is no time");
    return at->seconds();
}

Result<ManifestFile> parse_file(const json& member) {
    ManifestFile file;
    file.path = member.at("Path").get<std::string>();
    FORGE_ASSIGN(file.size, number_member<std::uint64_t>(member, "Size"));
    FORGE_ASSIGN(file.mtime_seconds, time_member(member, "Last-Modified"));
    if (member.contains("Checksum")) {
        FORGE_ASSIGN(file.checksum, parse_file_checksum(member.at("Checksum-Algorithm").get<std::string>(),
                                                        member.at("Checksum").get<std::string>()));
    }
    return file;
}

Result<FileManifest> parse_ranges(const json& document) {
    FileManifest manifest;
    FORGE_ASSIGN(manifest.version, number_member<int>(document, "PostgreSQL-Backup-Manifest-Version"));
    if (document.contains("System-Identifier")) {
        FORGE_ASSIGN(manifest.system_identifier, number_member<std::uint64_t>(document, "System-Identifier"));
    }
    for (const json& member : document.at("WAL-Ranges")) {
        WalRange range;
        FORGE_ASSIGN(range.timeline, number_member<Timeline>(member, "Timeline"));
        FORGE_ASSIGN(range.start, lsn_member(member, "Start-LSN"));
        FORGE_ASSIGN(range.end, lsn_member(member, "End-LSN"));
        manifest.wal.push_back(range);
    }
    if (manifest.wal.empty()) return Status(Kind::kCorrupt, "the list of files names no WAL");
    return manifest;
}

Status damage(const json::exception& error) {
    return Status(Kind::kCorrupt, std::string("the manifest is damaged: ") + error.what());
}

Status take_file(const json& member, const TakeFile& take) {
    try {
        FORGE_ASSIGN(ManifestFile file, parse_file(member));
        return take(std::move(file));
    } catch (const json::exception& error) {
        return damage(error);
    }
}

// Files are handed over and forgotten; what is left of the list is small.
Result<FileManifest> parse_list(ListText& text, const TakeFile& take) {
    bool in_files = false;
    Status failure;
    const auto keep = [&](int depth, json::parse_event_t event, json& value) {
        if (depth == 1 && event == json::parse_event_t::key) in_files = value == "Files";
        if (!in_files || depth != 2 || event != json::parse_event_t::object_end) return true;
        if (failure.ok()) failure = take_file(value, take);
        return false;
    };
    const json document = json::parse(ListIterator(&text), ListIterator(nullptr), keep);
    FORGE_TRY(failure);
    if (!document.at("Files").empty()) return Status(Kind::kCorrupt, "the list of files has something else in it");
    return parse_ranges(document);
}

// Goes on to the end of the list, whatever is wrong with it.
Result<FileManifest> read_list(Document& document, const TakeFile& take) {
    ListText text(document);
    Result<FileManifest> manifest = Status(Kind::kInternal, "the list of files was not read");
    try {
        manifest = parse_list(text, take);
    } catch (const json::exception& error) {
        manifest = damage(error);
    }
    while (text.current() != kEnd) text.next();
    FORGE_TRY(text.check());
    return manifest;
}

Result<std::vector<ManifestPart>> parse_parts(const json& document, std::uint64_t version) {
    std::vector<ManifestPart> parts;
    for (const json& member : document.at("parts")) {
        ManifestPart part;
        part.name = member.at("name").get<std::string>();
        FORGE_ASSIGN(part.stored_size, number_member<std::uint64_t>(member, "stored_size"));
        FORGE_ASSIGN(part.plain_size, number_member<std::uint64_t>(member, "plain_size"));
        part.of_tar_stream = version == 1;
        const char* const digest = part.of_tar_stream ? "sha256" : "compressed_sha256";
        FORGE_ASSIGN(part.sha256, parse_digest(member.at(digest).get<std::string>()));
        parts.push_back(std::move(part));
    }
    return parts;
}

// `text`: the manifest without its list of files.
Result<Manifest> parse_members(const std::string& text) {
    Manifest manifest;
    // A list of names is taken over as it is read.
    std::vector<std::string>* names = nullptr;
    const auto keep = [&](int depth, json::parse_event_t event, json& value) {
        if (depth == 1 && event == json::parse_event_t::key)
            names = value == "incremented" ? &manifest.incremented : value == "skipped" ? &manifest.skipped : nullptr;
        if (names == nullptr || depth != 2 || event != json::parse_event_t::value || !value.is_string()) return true;
        names->push_back(std::move(value.get_ref<std::string&>()));
        return false;
    };
    const json document = json::parse(text, keep);
    FORGE_ASSIGN(const auto version, number_member<std::uint64_t>(document, "version"));
    if (version < 1 || version > kManifestVersion)
        return Status(Kind::kInvalid, "the manifest has version " + std::to_string(version),
                      "Restore with a forge_backup at least as new as the one that made the backup.");
    manifest.backup = document.at("backup").get<std::string>();
    FORGE_ASSIGN(manifest.sentinel_sha256, parse_digest(document.at("sentinel_sha256").get<std::string>()));
    if (document.contains("parent")) {
        const json& parent = document.at("parent");
        manifest.parent = parent.at("backup").get<std::string>();
        FORGE_ASSIGN(manifest.parent_sentinel_sha256, parse_digest(parent.at("sentinel_sha256").get<std::string>()));
        if (!document.at("incremented").empty() || !document.at("skipped").empty())
            return Status(Kind::kCorrupt, "a list of names has something else in it");
    }
    FORGE_ASSIGN(manifest.parts, parse_parts(document, version));
    return manifest;
}

Result<Manifest> read_document(Source& source, const TakeFile& take) {
    Document document(source);
    std::string members;
    Result<FileManifest> list = Status(Kind::kCorrupt, "the manifest has no list of files");
    if (document.read_through(kListMember, members)) {
        list = read_list(document, take);
        members += '"';
        document.read_through(kDigestMember, members);
        document.read_through(kDigestEnd, members);
        while (document.get() != kEnd) continue;
    }
    FORGE_TRY(document.check());
    FORGE_ASSIGN(Manifest manifest, parse_members(members));
    FORGE_ASSIGN(manifest.files, std::move(list));
    return manifest;
}

}  // namespace

Result<Manifest> read_manifest(Source& source, const TakeFile& take) {
    try {
        return read_document(source, take);
    } catch (const json::exception& error) {
        return damage(error);
    }
}

}  // namespace forge::backup
