#include "core/restore/fetch_sources.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/layout/increment.h"

namespace forge::restore {
namespace {

// A file whose content, or part of it, must be in an older backup.
struct Wanted {
    std::string_view name;
    AssembledFile* assembled = nullptr;              // null: the file was not changed since
    std::optional<backup::FileChecksum> checksum{};  // of a file that was not changed, as the child knows it
};

Status not_in_parent(std::string_view file, const BackupContents& parent) {
    return Status(Kind::kCorrupt, "file " + quoted(file) + " is said to be in backup " + quoted(parent.name) +
                                      ", which does not have it");
}

class Finder {
public:
    explicit Finder(const std::vector<std::unique_ptr<BackupContents>>& chain) : chain_(chain) {}

    Result<std::unique_ptr<Sources>> run() {
        std::vector<Wanted> wanted;
        for (std::size_t i = 0; i < chain_.size(); ++i) {
            auto level = std::make_unique<Level>();
            level->contents = chain_[i].get();
            level->is_target = i == 0;
            std::vector<Wanted> older;
            if (i == 0)
                claim_target(*level, older);
            else
                FORGE_TRY(claim_wanted(*level, wanted, older));
            choose_parts(*level);
            sources_->levels.push_back(std::move(level));
            wanted = std::move(older);
        }
        if (wanted.empty()) return std::move(sources_);
        return Status(Kind::kCorrupt, "file " + quoted(wanted.front().name) + " of full backup " +
                                          quoted(chain_.back()->name) + " is said to be in another backup");
    }

private:
    void claim_target(Level& level, std::vector<Wanted>& older) {
        level.claims.reserve(level.contents->files.size());
        for (const ListedFile& file : level.contents->files) claim(level, file.name, &file, nullptr, older);
    }

    // What is wanted comes by name, since the claims of the child do.
    Status claim_wanted(Level& level, const std::vector<Wanted>& wanted, std::vector<Wanted>& older) {
        const auto& files = level.contents->files;
        for (const Wanted& file : wanted) {
            const ListedFile* const said = files.find(file.name);
            if (said == nullptr && level.contents->listed) return not_in_parent(file.name, *level.contents);
            if (said != nullptr && file.checksum && said->checksum && *file.checksum != *said->checksum)
                return Status(Kind::kCorrupt, "the backups contradict each other about file " + quoted(file.name) +
                                                  " of backup " + quoted(level.contents->name));
            claim(level, file.name, said, file.assembled, older, file.checksum);
        }
        return {};
    }

    // `assembled`: newer backups have increments of the file.
    void claim(Level& level, std::string_view name, const ListedFile* listed, AssembledFile* assembled,
               std::vector<Wanted>& older, std::optional<backup::FileChecksum> known = std::nullopt) {
        if (!known && assembled == nullptr && listed != nullptr) known = listed->checksum;
        const FileKind kind = listed != nullptr ? listed->kind : FileKind::kWhole;
        if (kind == FileKind::kSkipped) {
            older.push_back({name, assembled, known});
            return;
        }
        Claim& claim = level.claims.emplace_back();
        claim.name = name;
        claim.listed = listed;
        if (kind == FileKind::kIncrement) {
            if (assembled == nullptr) assembled = &sources_->assembled.emplace_back();
            claim.role = Claim::Role::kIncrement;
            older.push_back({name, assembled, std::nullopt});
        } else if (assembled != nullptr) {
            claim.role = Claim::Role::kBase;
        }
        claim.assembled = assembled;
    }

    static void choose_parts(Level& level) {
        for (const Part& part : level.contents->data_parts)
            if (level.is_target || is_needed(level, part)) level.parts.push_back(&part);
    }
    // A list that is wrong leads to a file that is missing in the end, which is noticed.
    static bool is_needed(Level& level, const Part& part) {
        if (level.claims.empty()) return false;
        if (part.members == nullptr) return true;
        return std::any_of(part.members->begin(), part.members->end(), [&](const std::string& member) {
            const auto name = relative_name(member);
            return name.ok() && level.find(*name) != nullptr;
        });
    }

    const std::vector<std::unique_ptr<BackupContents>>& chain_;
    std::unique_ptr<Sources> sources_ = std::make_unique<Sources>();
};

}  // namespace

Claim* Level::find(std::string_view name) {
    const auto found = std::ranges::lower_bound(claims, name, {}, &Claim::name);
    return found != claims.end() && found->name == name ? &*found : nullptr;
}

bool AssembledFile::take(std::uint32_t block) {
    if (std::uint64_t{block} * layout::kIncrementPage >= limit || block >= done.size() || done[block]) return false;
    done[block] = true;
    return true;
}

Result<std::unique_ptr<Sources>> find_sources(const std::vector<std::unique_ptr<BackupContents>>& chain) {
    return Finder(chain).run();
}

}  // namespace forge::restore
