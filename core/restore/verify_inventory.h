// What one backup consists of, by its own records and by what the store holds. Unlike examine_backup() this goes on
// after the first thing that is wrong: what is missing or damaged is reported, what is there can still be read.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/backup/control_file.h"
#include "core/backup/manifest.h"
#include "core/restore/fetch_contents.h"
#include "core/restore/verify_findings.h"

namespace forge::restore {

struct InventoryFile {
    FileKind kind = FileKind::kWhole;
    std::optional<std::uint64_t> size;  // of the whole file
    std::optional<backup::FileChecksum> checksum;
    std::atomic<bool> seen{false};
};
struct InventoryPart {
    std::string name;  // "part_001.tar.zst"
    std::string key;
    codec::Method method = codec::Method::kNone;
    std::uint64_t stored_size = 0;
    const backup::ManifestPart* record = nullptr;  // of our manifest
    // Names that the list of another program has for this part; empty = no such list.
    std::unordered_set<std::string> members;
    ObjectProblems problems;
};

struct Inventory {
    repository::BackupEntry entry;
    const Inventory* parent = nullptr;  // of a delta, where it is there
    std::optional<backup::Digest> sentinel_sha256;
    bool ours = false;  // the sentinel names a manifest
    std::optional<backup::Manifest> manifest;
    bool listed = false;                                   // `files` is the complete list
    std::unordered_map<std::string, InventoryFile> files;  // by relative_name()
    std::vector<InventoryPart> data_parts;
    std::optional<InventoryPart> control_part, label_part;

    // Found on the way.
    std::optional<backup::ControlFile> control;
    std::string version_directory;  // of its tablespaces
    std::atomic<bool> label_seen{false};
    std::atomic<std::uint32_t> unread_parts{0};  // missing, or not readable to the end
    std::mutex mutex;
    ObjectProblems problems;  // of the backup as a whole; under the mutex while parts are read

    const std::string& name() const { return entry.name; }
    // System identifier by the sentinel or the control file; 0 = not known.
    std::uint64_t system_identifier() const;
};

struct VerifyContext {
    repository::Repository& repository;  // metered
    FindingReport& report;
    std::uint64_t bytes = 0;  // to look at, of so many objects; grows while they are listed
    std::uint32_t objects = 0;
    store::CallContext call;
    Logger& logger;
};

// Reads and reports the records of a backup: sentinel, metadata, lists of files. Parts are matched with them, and
// reported where they are missing; what is wrong with one that is there waits in its problems. Fails when the store
// does.
Result<std::unique_ptr<Inventory>> take_inventory(VerifyContext& context, const repository::BackupEntry& entry);
// The delta and its parent fit together; what does not is a problem of the delta as a whole.
void check_link(Inventory& delta, const std::string& parent_name);
// After all parts were read: every file was in them; the positions of the records agree.
void check_completeness(Inventory& backup, std::uint64_t segment_size);

}  // namespace forge::restore
