// The effective settings of one helper or command, and where each came from. Sources, first wins (design, CLI):
//   1. explicit values: command-line options, or the server's own settings sent over the pipe (GUC names without
//   "forge_backup.")
//   2. the process's environment (CLI only; the helper's is empty of ours)
//   3. secret_dir, 4. env_dir: one file a variable (envdir format, spilo-contract 1.1)
//   5. defaults
// Values that hold secrets are kept out of every message; describe() gives their source, age and fingerprint only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/base/time.h"
#include "core/codec/codec.h"
#include "core/crypto/key.h"
#include "core/store/s3/s3_store.h"

namespace forge::settings {

inline constexpr std::string_view kDefaultEnvDir = "/run/etc/wal-e.d/env";

struct Inputs {
    // Setting name ("storage", "s3_endpoint", …) -> value. Not set: an empty value; -1 for "retain",
    // "delta_max_steps" and "compression_level"; 0 for the concurrencies and rate limits; "auto" for "s3_path_style".
    // Other names are ignored.
    std::map<std::string, std::string> explicit_values;
    std::map<std::string, std::string> environment;     // variable -> value; may be empty
    std::string env_dir = std::string(kDefaultEnvDir);  // absent directory = none
    std::string secret_dir;                             // "" = none; kInvalid if it does not exist
};
// Environment of this process, as needed for Inputs: the known variables only.
std::map<std::string, std::string> process_environment();

enum class StorageKind { kOff, kDirectory, kS3 };

// What a delta backup builds on: the newest backup, or the full backup that one goes back to.
enum class DeltaOrigin { kLatest, kLatestFull };

struct Settings {
    StorageKind kind = StorageKind::kOff;
    std::string storage;    // "s3://bucket/prefix" or "file:///dir"; empty when off
    std::string directory;  // kDirectory
    store::S3Options s3;    // kS3; credentials() reads the sources again at each call
    codec::Method compression = codec::Method::kZstd;
    std::optional<int> compression_level;
    codec::Method backup_compression = codec::Method::kZstd;  // WALG_BACKUP_COMPRESSION_METHOD, else compression
    crypto::KeyRing keys;
    int upload_concurrency = 2;
    int download_concurrency = 2;
    std::uint64_t disk_rate_limit = 0;
    std::uint64_t network_rate_limit = 0;
    double cpu_limit = 0.05;  // of all processors, for a base backup while others are busy; 1 = none
    std::uint64_t memory_limit = 256ULL << 20;
    std::uint64_t part_size_limit = 1ULL << 30;  // uncompressed bytes in a part of a backup (WALG_TAR_SIZE_THRESHOLD)
    std::string user_data;                       // WALG_SENTINEL_USER_DATA, JSON text or empty
    bool drop_foreign = false;           // WAL in a prefix of another cluster: kept for better times, or dropped
    bool fail_on_corrupt_pages = false;  // a base backup that finds pages with wrong checksums does not exist
    int retain = 5;                      // setting, else BACKUP_NUM_TO_RETAIN
    // Delta backups: how many may follow a full one; 0 = every backup is full.
    int delta_max_steps = 0;
    DeltaOrigin delta_origin = DeltaOrigin::kLatest;
    // The backup that deltas build on, by variable only; at most one of them is set. Empty = the latest.
    std::string delta_from_name, delta_from_user_data;

    struct Origin {
        std::string name;    // setting; "encryption_key_files" once for each key
        std::string value;   // shown value; for secrets "(secret)" plus fingerprint
        std::string source;  // "setting", "environment AWS_ENDPOINT", "file /run/…/AWS_ENDPOINT", "default"
    };
    std::vector<Origin> origins;
    // Digest over everything that decides where an object goes and how it is written: destination, credentials
    // excluded, key and codec included. Two Settings with the same digest belong to the same epoch.
    std::string epoch_digest;
};

// Reads everything. Off is a value (kind), not an error; a configuration that says something wrong is kInvalid (or
// kDenied for an unreadable file), names the setting or variable and its source, and says what to do. PGP and KMS
// variables are refused, not ignored.
Result<Settings> load(const Inputs& inputs);

// True when a file that load() read or found absent has another modification time, inode or size now: time to load
// again. Cheap (a stat a file). The snapshot is taken at construction: construct it before load(), or a change in
// between is missed.
class Watch {
public:
    explicit Watch(const Inputs& inputs);
    bool changed() const;

private:
    std::vector<std::string> paths_;
    std::string fingerprint_;
};

// Prefix from bucket, site and scope (spilo-contract 1.3): WALG_S3_PREFIX, WALE_S3_PREFIX, else
// s3://<WAL_S3_BUCKET>/spilo/<WAL_BUCKET_SCOPE_PREFIX><SCOPE><WAL_BUCKET_SCOPE_SUFFIX>/wal/<PGVERSION>; empty = none,
// also when there is a bucket but no SCOPE or PGVERSION. Without WAL_BUCKET_SCOPE_PREFIX it is "<POD_NAMESPACE>-",
// unless that is "default".
std::string derive_s3_prefix(const std::map<std::string, std::string>& variables);

}  // namespace forge::settings
