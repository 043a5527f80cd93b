// What a backup and the backups it builds on consist of, by their own records, compared with what the store holds:
// known before the first byte is written anywhere.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backup/file_list.h"
#include "core/backup/manifest.h"
#include "core/repository/repository.h"

namespace forge::restore {

using backup::FileKind;
using backup::FileList;
using backup::ListedFile;

struct Part {
    std::string name;  // "part_001.tar.zst"
    std::string key;
    codec::Method method = codec::Method::kNone;
    std::uint64_t stored_size = 0;
    const backup::ManifestPart* record = nullptr;       // of our manifest
    const std::vector<std::string>* members = nullptr;  // by TarFileSets: tar names; null = not known
};

struct BackupContents {
    std::string name;
    layout::Sentinel sentinel;
    backup::Digest sentinel_sha256{};
    std::optional<backup::Manifest> manifest;  // of a backup of ours
    // Of another program's backup, where it has a list: which part has which tar names.
    std::vector<std::pair<std::string, std::vector<std::string>>> file_sets;
    std::vector<Part> data_parts;  // the largest first
    std::optional<Part> control_part, label_part;
    // The list of files is there. Without it (FilesMetadataDisabled) nobody can say what is missing.
    bool listed = true;
    // The data directory itself is "". Of ours: every file. Of others: files, directories and links, without pg_control
    // and what is in the label part.
    FileList files;
};

// "base/5/1259" of "/base/5/1259", "base/5/1259/" and "./base/5/1259"; kCorrupt for a name that leads elsewhere.
Result<std::string> relative_name(const std::string& name);

struct ExamineOptions {
    // Accept a full backup of another program whose list of files is gone: what is missing in it goes unnoticed.
    bool allow_unlisted = false;
};
// One backup by itself. kCorrupt names the object that is missing, has the wrong size or does not belong to the backup.
// The contents keep pointers into themselves.
Result<std::unique_ptr<BackupContents>> examine_backup(repository::Repository& repository,
                                                       const repository::BackupEntry& backup,
                                                       const ExamineOptions& options, const store::CallContext& context,
                                                       Logger& logger);
// The backup, its parent, and so on to the full backup; each fits the one before. kCorrupt: a parent is gone or is not
// the backup that the child was made from.
Result<std::vector<std::unique_ptr<BackupContents>>> examine_chain(repository::Repository& repository,
                                                                   const repository::BackupEntry& backup,
                                                                   const ExamineOptions& options,
                                                                   const store::CallContext& context, Logger& logger);

}  // namespace forge::restore
