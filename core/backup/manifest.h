// Our own object in each backup's folder (never in tar_partitions/): every part with size and digest, and the list of
// files in the form that the server's pg_verifybackup accepts (backup_manifest). Compressed and encrypted like a part.
// The list can be of millions of files: it is written and read one file at a time.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/backup/file_checksum.h"
#include "core/backup/sha256.h"
#include "core/base/lsn.h"
#include "core/base/status.h"
#include "core/base/time.h"
#include "core/codec/codec.h"

namespace forge::backup {

struct ManifestFile {
    std::string path;  // relative to the data directory, without leading slash
    std::uint64_t size = 0;
    std::int64_t mtime_seconds = 0;
    // Nothing: known only when the file was put together, from increments or from a parent that has none of it.
    std::optional<FileChecksum> checksum;
};
struct ManifestPart {
    std::string name;  // "part_001.tar.zst"
    std::uint64_t stored_size = 0;
    std::uint64_t plain_size = 0;  // of the tar stream
    Digest sha256{};               // of the compressed stream, before it is encrypted
    bool of_tar_stream = false;    // the digest is of the tar stream instead: in manifests of version 1
};
// WAL that the backup needs, of one timeline.
struct WalRange {
    Timeline timeline = 0;
    Lsn start = 0, end = 0;
};
// The content of backup_manifest besides the files.
struct FileManifest {
    std::vector<WalRange> wal;  // oldest first; at least one
    std::uint64_t system_identifier = 0;
    int version = 1;  // 2 from PostgreSQL 17 on: with the system identifier
};
struct Manifest {
    std::string backup;
    // Of the sentinel object, byte for byte: the two belong together, and so do the parts.
    Digest sentinel_sha256{};
    // Of a delta backup; empty and zero otherwise.
    std::string parent;
    Digest parent_sentinel_sha256{};
    std::vector<ManifestPart> parts;
    FileManifest files;
    // As they were read; ManifestLists when it is written.
    std::vector<std::string> incremented, skipped;
};

// "basebackups_005/<name>/forge_manifest.json" + extension.
std::string manifest_key(std::string_view backup_name, codec::Method method);
// Its last component, which the sentinel names.
std::string manifest_file_name(codec::Method method);
// Method of an object in the backup's folder by its file name; nothing when it is no manifest.
std::optional<codec::Method> manifest_method(std::string_view file_name);

// The next one of a list; false when there is none left.
using NextFile = std::function<bool(ManifestFile&)>;
using NextPath = std::function<bool(std::string_view&)>;
struct ManifestLists {
    NextFile files;  // every file of the data directory at the time of the backup, wherever its content is stored
    // Of a delta, sorted: those with an increment in the parts of this backup, and with nothing in them.
    NextPath incremented{}, skipped{};
};
// Both do not finish the sink. A manifest is written as version 3.
Status write_file_manifest(const FileManifest& manifest, const NextFile& next, Sink& sink);
Status write_manifest(const Manifest& manifest, const ManifestLists& lists, Sink& sink);

// Takes a file of the list, in the order in which they were written. All were given before it is known whether the
// manifest is what it should be: they are worth something only when read_manifest() succeeds.
using TakeFile = std::function<Status(ManifestFile)>;
// Reads to the end. kCorrupt for anything that is not what write_manifest() writes (a digest at its end covers all of
// it); unknown members are ignored. kInvalid for a version this program does not know. Else what `take` or the source
// fail with.
Result<Manifest> read_manifest(Source& source, const TakeFile& take);

}  // namespace forge::backup
