// Reads the parts of one backup of the chain, each to its very end, and writes what is needed of them into the target
// tree. One extractor belongs to one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/restore/fetch.h"
#include "core/restore/fetch_journal.h"
#include "core/restore/fetch_sources.h"
#include "core/restore/fetch_tar.h"
#include "core/restore/fetch_tree.h"

namespace forge::restore {

inline constexpr std::string_view kControlName = "global/pg_control";
inline constexpr std::string_view kLabelName = "backup_label";
inline constexpr std::string_view kMapName = "tablespace_map";

struct ExtractContext {
    repository::Repository& repository;
    Level& level;
    TargetTree& tree;
    Journal& journal;
    FetchProgress& progress;
    const CancelToken& stop;
    Logger& logger;
};

class Extractor {
public:
    explicit Extractor(ExtractContext& context) : context_(context) {}
    // A part with files of the data directory; what the journal has of it is not read again.
    Status extract(const Part& part);
    // A part that is held back until all others are there: its files, by name, in memory.
    Result<std::map<std::string, std::string>> read_small(const Part& part);

private:
    using Visitor = std::function<Status(TarReader&, const TarEntry&)>;
    using Write = std::function<Status(ByteView)>;
    const BackupContents& contents() const { return *context_.level.contents; }

    Status take_over(const Part& part, const PartRecord& record);
    Status read_part(const Part& part, const Visitor& visit);
    Status extract_member(TarReader& tar, const TarEntry& entry);
    Status extract_directory(const TarEntry& entry, const std::string& name);
    Status extract_symlink(const TarEntry& entry, const std::string& name);
    Status extract_file(TarReader& tar, const TarEntry& entry, const std::string& name);
    Status write_whole(TarReader& tar, const TarEntry& entry, const std::string& name, const ListedFile* listed);
    Status write_increment(TarReader& tar, const TarEntry& entry, const std::string& name, Claim& claim);
    Status write_base(TarReader& tar, const TarEntry& entry, const std::string& name, Claim& claim);
    // Null: the member is not needed.
    Result<Claim*> claim_of(const std::string& name);
    bool is_held_back(const std::string& name) const;
    void note_seen(const std::string& name);
    // `listed`: what is known of the file; null: nothing.
    Status copy(TarReader& tar, const TarEntry& entry, const ListedFile* listed, const Write& write);

    ExtractContext& context_;
    TargetTree::Cursor cursor_;
    Claim unlisted_;  // stands for a file of a backup without a list of files
    PartLine line_;
    bool repeatable_ = true;  // the part holds no increment: once done it need not be read again
    Bytes buffer_;
};

}  // namespace forge::restore
