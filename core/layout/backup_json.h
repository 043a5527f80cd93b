// The three JSON objects of a backup (walg-format 2), stored plain: never compressed, never encrypted.
// Reading ignores unknown keys, matches names case-insensitively as WAL-G does, takes null as absent, and refuses wrong
// types (kCorrupt, naming the member). An Instant{} is "no time". Texts must be UTF-8 (is_utf8 in json_text.h): JSON
// cannot hold other file names, so they must not get into a backup (walg-format W15).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/lsn.h"
#include "core/base/status.h"
#include "core/base/stream.h"
#include "core/base/time.h"

namespace forge::layout {

struct Tablespace {
    std::string oid;
    std::string location;  // absolute directory
};

// walg-format 2.2. Integers keep 64 bits; absent members are nothing.
struct Sentinel {
    std::optional<Lsn> start_lsn;
    std::optional<Lsn> finish_lsn;
    // Delta backups only:
    std::optional<Lsn> delta_lsn;
    std::string delta_from;  // empty = full backup
    std::string delta_full_name;
    int delta_count = 0;
    int pg_version = 0;                   // server_version_num
    std::uint64_t system_identifier = 0;  // 0 = unknown
    std::uint64_t uncompressed_size = 0;
    std::uint64_t compressed_size = 0;
    std::uint64_t data_catalog_size = 0;
    std::string base_prefix;  // Spec.base_prefix
    std::vector<Tablespace> tablespaces;
    std::string user_data;  // JSON text as it was, empty = none
    bool files_metadata_disabled = false;
    int version = 2;  // 0 after parsing a sentinel that does not say
    Instant start_time;
    Instant finish_time;
    std::string hostname;
    std::string data_dir;
    bool is_permanent = false;
    // File name of the manifest that a backup of ours has beside its parts ("forge_manifest.json.zst"); empty for a
    // backup of another program. Other programs ignore the member.
    std::string manifest;
    // Where a backup of a standby ended whose primary changed meanwhile; 0 = on the timeline of its name. Our own
    // member, too.
    Timeline finish_timeline = 0;
    bool is_delta() const { return !delta_from.empty(); }
};
std::string sentinel_json(const Sentinel& sentinel);  // key order and form of WAL-G
Result<Sentinel> parse_sentinel(std::string_view json);

// metadata.json, walg-format 2.4: the same values as the sentinel's.
std::string metadata_json(const Sentinel& sentinel);
Result<Sentinel> parse_metadata(std::string_view json);  // fills what metadata.json has
// metadata.json says whether the backup is permanent now; for the rest it only fills what the sentinel leaves open,
// since the sentinel is never rewritten. `sentinel` stays as it was on failure.
Status apply_metadata(std::string_view json, Sentinel& sentinel);

// walg-format 2.5.
struct FileEntry {
    bool is_incremented = false;
    bool is_skipped = false;
    Instant mtime;
    std::uint64_t corrupt_count = 0;
    std::vector<std::uint32_t> corrupt_blocks;  // at most 10
    bool operator==(const FileEntry&) const = default;
};
struct FilesMetadata {
    std::map<std::string, FileEntry> files;                                       // tar member name -> entry
    std::vector<std::pair<std::string, std::vector<std::string>>> tar_file_sets;  // part name -> member names
    std::string databases_by_names;                                               // JSON text, empty = left out
};
// Writes files_metadata.json piece by piece: a backup can have millions of files. First the files, which WAL-G sorts by
// name, then the parts, each followed by its members, then finish(). Does not finish the sink, which outlives this.
class FilesMetadataWriter {
public:
    explicit FilesMetadataWriter(Sink& sink) : sink_(sink) {}
    Status add_file(std::string_view name, const FileEntry& entry);
    Status add_part(std::string_view name);
    Status add_member(std::string_view name);
    // `databases_by_names`: JSON text; empty = left out.
    Status finish(std::string_view databases_by_names = {});

private:
    enum class At : std::uint8_t { kBegin, kFiles, kPart, kMembers };
    Status flush(std::size_t from);
    void end_section();

    Sink& sink_;
    std::string text_ = "{";
    At at_ = At::kBegin;
};
Result<FilesMetadata> parse_files_metadata(std::string_view json);
// Only the files, one by one, in the order of the text, which is not kept: there can be millions. Reads to the end;
// what the source fails with comes back as it is.
Status each_file_entry(Source& source,
                       const std::function<Status(const std::string& name, const FileEntry& entry)>& visit);

}  // namespace forge::layout
