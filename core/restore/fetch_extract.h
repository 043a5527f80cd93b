// Reads the parts of a backup, each to its very end, and writes their files into the target tree. One extractor belongs
// to one thread.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/restore/fetch.h"
#include "core/restore/fetch_contents.h"
#include "core/restore/fetch_tar.h"
#include "core/restore/fetch_tree.h"

namespace forge::restore {

inline constexpr std::string_view kControlName = "global/pg_control";
inline constexpr std::string_view kLabelName = "backup_label";
inline constexpr std::string_view kMapName = "tablespace_map";

struct ExtractContext {
    repository::Repository& repository;
    BackupContents& contents;
    TargetTree& tree;
    FetchProgress& progress;
    const CancelToken& stop;
    Logger& logger;
};

class Extractor {
public:
    explicit Extractor(ExtractContext& context) : context_(context) {}
    // A part with files of the data directory.
    Status extract(const Part& part);
    // A part that is held back until all others are there: its files, by name, in memory.
    Result<std::map<std::string, std::string>> read_small(const Part& part);

private:
    using Visitor = std::function<Status(TarReader&, const TarEntry&)>;
    Status read_part(const Part& part, const Visitor& visit);
    Status extract_member(TarReader& tar, const TarEntry& entry);
    Status extract_file(TarReader& tar, const TarEntry& entry, const std::string& name);
    Status extract_symlink(const TarEntry& entry, const std::string& name);
    // Nothing: the file is not to be written.
    Result<ExpectedFile*> claim(const std::string& name);
    void note_seen(const std::string& name);
    Status copy(TarReader& tar, const TarEntry& entry, const ExpectedFile* expected,
                const std::function<Status(ByteView)>& write);

    ExtractContext& context_;
    TargetTree::Cursor cursor_;
    ExpectedFile unlisted_;  // stands for a file of a backup without a list of files
    Bytes buffer_;
};

}  // namespace forge::restore
