// What a backup consists of, by its own records, compared with what the store holds: known before the first byte is
// written anywhere.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/backup/manifest.h"
#include "core/repository/repository.h"

namespace forge::restore {

struct Part {
    std::string name;  // "part_001.tar.zst"
    std::string key;
    codec::Method method = codec::Method::kNone;
    std::uint64_t stored_size = 0;
    const backup::ManifestPart* record = nullptr;  // of our manifest
};

struct ExpectedFile {
    std::optional<std::uint64_t> size;
    std::optional<backup::Digest> sha256;
    std::atomic<bool> seen{false};
};

struct BackupContents {
    std::optional<backup::Manifest> manifest;  // of a backup of ours
    std::vector<Part> data_parts;              // the largest first
    std::optional<Part> control_part, label_part;
    // By name relative to the data directory, "" for itself. Of ours: every file. Of others: files, directories and
    // links, without pg_control and what is in the label part; empty when the backup has no such list.
    std::unordered_map<std::string, ExpectedFile> files;
};

// "base/5/1259" of "/base/5/1259", "base/5/1259/" and "./base/5/1259"; kCorrupt for a name that leads elsewhere.
Result<std::string> relative_name(const std::string& name);

// kCorrupt names the part that is missing, has the wrong size or does not belong to the backup. The contents keep
// pointers into themselves.
Result<std::unique_ptr<BackupContents>> examine_backup(repository::Repository& repository,
                                                       const repository::BackupEntry& backup,
                                                       const store::CallContext& context, Logger& logger);

}  // namespace forge::restore
