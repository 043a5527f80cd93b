#include "core/restore/verify_part.h"

#include <algorithm>

#include "core/backup/exclude.h"
#include "core/backup/page_check.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/layout/increment.h"
#include "core/restore/fetch_extract.h"
#include "core/restore/fetch_tar.h"
#include "core/restore/part_reading.h"

namespace forge::restore {
namespace {

constexpr std::size_t kBuffer = 128 * 1024;
constexpr std::size_t kLargestLabel = 1 << 20;

// The member a tar reader stands at. Remembers a failure of what is below, which is no failure of the member alone.
class MemberSource final : public Source {
public:
    explicit MemberSource(TarReader& tar) : tar_(tar) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        auto size = tar_.read(buffer);
        if (!size.ok()) failure_ = size.status();
        return size;
    }
    const Status& failure() const { return failure_; }

private:
    TarReader& tar_;
    Status failure_;
};

// "START WAL LOCATION: 0/3000028 (file …)".
std::optional<Lsn> start_of_label(std::string_view label) {
    constexpr std::string_view kStart = "START WAL LOCATION: ";
    const std::size_t at = label.find(kStart);
    if (at == std::string_view::npos) return std::nullopt;
    label.remove_prefix(at + kStart.size());
    return parse_lsn(label.substr(0, label.find_first_of(" \n")));
}

std::string pages_text(const PageJudge::Bad& bad) {
    std::string text = bad.count == 1 ? "1 page" : std::to_string(bad.count) + " pages";
    text += bad.blocks.size() == 1 ? ", block " : ", blocks ";
    for (std::size_t i = 0; i < bad.blocks.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(bad.blocks[i]);
    return text + (bad.count > bad.blocks.size() ? ", …" : "");
}

class PartCheck {
public:
    PartCheck(VerifyContext& context, Inventory& backup, InventoryPart& part)
        : context_(context), backup_(backup), part_(part), problems_(part.problems) {}

    Status run() {
        const Status status = read();
        if (!status.ok() && !concerns_object(status)) return status;
        if (!status.ok()) {
            ++backup_.unread_parts;
            problems_.error(status, part_.key);
        } else if (is_control()) {
            check_control_part();
        }
        if (elsewhere_ > 0) problems_.warning(std::to_string(elsewhere_) + " of its files are listed in other parts");
        context_.report.object(part_.key, part_.stored_size, problems_);
        return {};
    }

private:
    bool is_control() const { return layout::is_pg_control_part(part_.name); }
    bool is_label() const { return layout::is_label_part(part_.name); }

    Status read() {
        PartReading reading(part_.record);
        FORGE_ASSIGN(auto source, reading.open(context_.repository, part_.key, part_.method, context_.call));
        FORGE_ASSIGN(const auto tar, TarReader::open(std::move(source)));
        TarEntry entry;
        for (;;) {
            FORGE_TRY(store::check_context(context_.call));
            FORGE_ASSIGN(const bool more, tar->next(entry));
            if (!more) break;
            FORGE_TRY(check_member(*tar, entry));
        }
        FORGE_TRY(tar->finish());
        if (const Status same = reading.compare(); !same.ok()) problems_.error(same.message());
        return {};
    }

    Status check_member(TarReader& tar, const TarEntry& entry) {
        const auto name = relative_name(entry.name);
        if (!name.ok()) {
            problems_.error(name.status().message());
            return {};
        }
        if (!part_.members.empty() && entry.type == TarEntry::Type::kFile && !part_.members.contains(*name))
            ++elsewhere_;
        if (entry.type == TarEntry::Type::kFile) return check_file(tar, entry, *name);
        if (is_control() || is_label())
            problems_.error("has " + quoted(*name) + ", which is no regular file");
        else if (entry.type == TarEntry::Type::kHardlink)
            problems_.error("has " + quoted(*name) + " as a hard link, which no backup contains");
        else
            note_other(*name);
        return {};
    }

    // Directories and links are in the lists of other programs; our manifest has files only.
    void note_other(const std::string& name) {
        const auto found = backup_.files.find(name);
        if (found == backup_.files.end()) return;
        if (backup_.manifest)
            problems_.error("has something else than a file in the place of file " + quoted(name));
        else
            found->second.seen = true;
    }

    Status check_file(TarReader& tar, const TarEntry& entry, const std::string& name) {
        ++files_;
        InventoryFile* file = claim(name);
        if (file != nullptr && file->kind == FileKind::kIncrement) return check_increment(tar, entry, name, *file);
        return check_whole(tar, entry, name, file);
    }

    // The entry of the list for a file that is here; null: there is none to compare with.
    InventoryFile* claim(const std::string& name) {
        const auto found = backup_.files.find(name);
        const bool special = name == kControlName || name == kLabelName || name == kMapName;
        // The lists of other programs are without these.
        if (!backup_.manifest && special && (is_control() || is_label() || found == backup_.files.end()))
            return nullptr;
        if (found == backup_.files.end()) {
            if (backup_.manifest)
                problems_.error("has file " + quoted(name) + ", which is not part of the backup");
            else if (backup_.listed)
                problems_.warning("has file " + quoted(name) + ", which is not in the list of files");
            return nullptr;
        }
        if (found->second.seen.exchange(true)) problems_.error("has file " + quoted(name) + " a second time");
        if (found->second.kind == FileKind::kSkipped) {
            problems_.error("has file " + quoted(name) + ", which is listed as unchanged since the parent");
            return nullptr;
        }
        return &found->second;
    }

    Status check_whole(TarReader& tar, const TarEntry& entry, const std::string& name, const InventoryFile* file) {
        std::optional<backup::FileHash> hash;
        if (file != nullptr && file->checksum) hash.emplace(*file->checksum);
        auto pages = judge_for(name);
        std::string* text = keeper_of(name);
        const bool relation = backup::parse_relation_file(base_name(name)).has_value();
        std::uint64_t size = 0;
        if (buffer_.empty()) buffer_.resize(kBuffer);
        for (;;) {
            FORGE_TRY(store::check_context(context_.call));
            FORGE_ASSIGN(const std::size_t got, tar.read(buffer_));
            if (got == 0) break;
            const ByteView data = ByteView(buffer_).first(got);
            if (size == 0 && !hash && relation && layout::looks_like_increment(data)) {
                problems_.error("has an increment of file " + quoted(name) + ", which is listed as a whole file");
                return {};
            }
            size += got;
            if (hash) hash->update(data);
            if (pages) pages->feed(data);
            if (text != nullptr && text->size() + got <= kLargestLabel) text->append(as_text(data));
        }
        const bool size_differs = file != nullptr && file->size && size != *file->size;
        if (size_differs)
            problems_.error("has file " + quoted(name) + " with " + std::to_string(size) + " bytes instead of " +
                            std::to_string(*file->size));
        else if (size != entry.size)
            problems_.error("has file " + quoted(name) + " cut off");
        else if (hash && hash->finish() != *file->checksum)
            problems_.error("has file " + quoted(name) + ", which does not match its checksum");
        if (pages) report_pages(name, *pages);
        if (text != nullptr && name == kLabelName) check_label(*text);
        return {};
    }

    Status check_increment(TarReader& tar, const TarEntry& entry, const std::string& name, const InventoryFile& file) {
        MemberSource source(tar);
        const auto header = layout::read_increment_header(source, entry.size);
        FORGE_TRY(source.failure());
        if (!header.ok()) {
            problems_.error("file " + quoted(name) + ": " + header.status().message());
            return {};
        }
        if (file.size && header->file_size != *file.size)
            problems_.error("has an increment for a file " + quoted(name) + " of " + std::to_string(header->file_size) +
                            " bytes instead of " + std::to_string(*file.size));
        auto pages = judge_for(name);
        Bytes page(layout::kIncrementPage);
        for (const std::uint32_t block : header->blocks) {
            FORGE_TRY(store::check_context(context_.call));
            FORGE_ASSIGN(const std::size_t got, read_full(source, page));
            if (got != page.size())
                return Status(Kind::kCorrupt, "the increment of file " + quoted(name) + " is cut off");
            if (pages) pages->judge(page, block);
        }
        if (pages) report_pages(name, *pages);
        return {};
    }

    // For files of relations of a cluster with checksums.
    std::optional<PageJudge> judge_for(const std::string& name) const {
        const auto& control = backup_.control;
        if (!control || control->checksum_version == 0 || control->block_size != backup::kPageSize) return std::nullopt;
        const std::string base = base_name(name);
        const auto relation = backup::parse_relation_file(base);
        const std::string directory = "/" + name.substr(0, name.size() - std::min(name.size(), base.size() + 1));
        if (!relation || !backup::is_relation_directory(directory, backup_.version_directory)) return std::nullopt;
        // Recovery empties an unlogged relation; its pages may be torn.
        const std::string stem = name.substr(0, name.size() - base.size()) + std::to_string(relation->number);
        if (relation->fork != backup::Fork::kInit && backup_.files.contains(stem + "_init")) return std::nullopt;
        const layout::Sentinel& sentinel = backup_.entry.sentinel;
        const PageRules rules{sentinel.start_lsn.value_or(0), sentinel.finish_lsn.value_or(UINT64_MAX)};
        return PageJudge(rules, relation->segment * control->relation_segment_blocks);
    }

    void report_pages(const std::string& name, const PageJudge& pages) {
        if (pages.wrong_checksums().count > 0)
            problems_.error("has file " + quoted(name) + " with wrong checksums of " +
                            pages_text(pages.wrong_checksums()));
        if (pages.too_new().count > 0)
            problems_.error("has file " + quoted(name) + " with contents from after the end of the backup in " +
                            pages_text(pages.too_new()));
    }

    // Where the text of a small file is kept.
    std::string* keeper_of(const std::string& name) {
        if (name == kControlName && is_control()) return &control_text_;
        if (name == kLabelName && (is_label() || !backup_.label_part)) return &label_text_;
        return nullptr;
    }

    void check_label(const std::string& label) {
        backup_.label_seen = true;
        const auto start = start_of_label(label);
        const auto expected = backup_.entry.sentinel.start_lsn;
        if (!start)
            problems_.error("has a backup_label that does not say where the backup starts");
        else if (expected && *start != *expected)
            problems_.error("has a backup_label of a backup that starts at " + format_lsn(*start) +
                            ", the sentinel says " + format_lsn(*expected));
    }

    void check_control_part() {
        if (files_ != 1 || control_text_.empty()) {
            problems_.error("does not hold exactly the file " + quoted(kControlName));
            return;
        }
        auto control = backup::parse_control_file(as_bytes(control_text_));
        if (!control.ok()) {
            problems_.error(control.status().message());
            return;
        }
        const std::uint64_t expected = backup_.entry.sentinel.system_identifier;
        if (expected != 0 && control->system_identifier != expected)
            problems_.error("is of another cluster: system identifier " + std::to_string(control->system_identifier) +
                            ", the sentinel says " + std::to_string(expected));
        backup_.version_directory = backup::tablespace_version_directory(backup::major_version_of(*control), *control);
        backup_.control = std::move(control).value();
    }

    VerifyContext& context_;
    Inventory& backup_;
    InventoryPart& part_;
    ObjectProblems& problems_;
    Bytes buffer_;
    std::string control_text_, label_text_;
    std::uint64_t files_ = 0;      // regular ones
    std::uint64_t elsewhere_ = 0;  // listed in other parts
};

}  // namespace

Status check_part(VerifyContext& context, Inventory& backup, InventoryPart& part) {
    return PartCheck(context, backup, part).run();
}

}  // namespace forge::restore
