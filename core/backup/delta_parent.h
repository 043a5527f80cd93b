// The backup that a delta builds on: whether there is to be one, which (walg-format 8.3), and whether it can serve.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backup/engine.h"
#include "core/backup/file_list.h"
#include "core/backup/manifest.h"
#include "core/backup/scan.h"

namespace forge::backup {

// A file of which the parent's content holds.
struct SkippedFile {
    const ListedFile* of_parent;
    std::uint64_t size;
};

class DeltaParent {
public:
    struct Content {
        repository::BackupEntry entry;
        std::string root;                // the full backup at the end of the chain
        std::vector<std::string> chain;  // names of the parent and all before it, the parent first
        int count = 0;                   // DeltaCount of the new backup
        Digest sentinel_sha256{};        // of the parent's sentinel
        FileList files;                  // with the times of files_metadata.json, and what the manifest says about each
        bool has_manifest = false;       // false: made by another program
    };
    explicit DeltaParent(Content content) : content_(std::move(content)) {}
    DeltaParent(const DeltaParent&) = delete;
    DeltaParent& operator=(const DeltaParent&) = delete;

    const std::string& name() const { return content_.entry.name; }
    const std::string& root() const { return content_.root; }
    const std::vector<std::string>& chain() const { return content_.chain; }
    int count() const { return content_.count; }
    Lsn start_lsn() const { return content_.entry.sentinel.start_lsn.value_or(0); }
    const Digest& sentinel_sha256() const { return content_.sentinel_sha256; }

    // The parent has it, under the same name.
    bool has(const ScanEntry& file) const;
    // The file was written after the parent began, by the clock of files.
    bool is_newer(const ScanEntry& file) const;
    // What the parent says about the file, of which it has the same content, so that it need not be read; null: it has
    // not, or nobody can be sure.
    const ListedFile* find_unchanged(const ScanEntry& file) const;

    // The parent and its chain are still there, and the parent is the one we built on.
    Status check_still_there(repository::Repository& repository, const store::CallContext& context) const;

private:
    const ListedFile* find(const ScanEntry& file) const;

    Content content_;
};

// Nothing: the backup is a full one, which the log says why where somebody wanted deltas. An error only where the
// store does not answer, or where the caller named the parent and that cannot serve.
Result<std::unique_ptr<DeltaParent>> choose_parent(repository::Repository& repository, const BackupStart& start,
                                                   std::uint64_t system_identifier, const store::CallContext& context,
                                                   Logger& logger);

}  // namespace forge::backup
