// Packs files into tar parts and streams these into the store. One packer belongs to one thread; what all packers of a
// backup share is in PackContext.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backup/compression_team.h"
#include "core/backup/engine.h"
#include "core/backup/manifest.h"
#include "core/backup/page_check.h"
#include "core/backup/read_limit.h"
#include "core/backup/scan.h"
#include "core/backup/tar_writer.h"
#include "core/base/file.h"
#include "core/base/measurement.h"

namespace forge::backup {

struct PackContext {
    repository::Repository& repository;
    std::string backup_name;
    codec::Method method;
    std::uint64_t part_size_limit;  // bytes of content after which a part is closed
    const ScanOptions& sources;
    Lsn start_lsn;
    bool verify_pages;
    std::uint32_t relation_segment_blocks;
    ReadLimit& limit;
    Progress& progress;
    const CancelToken& stop;
    CompressionTeam& team;
    Logger& logger;
    std::atomic<int> last_part_number{0};
};

// Pages of a file with a wrong checksum.
struct BadPages {
    std::uint64_t count = 0;
    std::vector<std::uint32_t> blocks;  // the first of them
};
// What went into a part.
struct PackedMember {
    std::string name;
    Instant mtime;
    std::uint64_t size = 0;  // of the tar member
    // Of an increment, which has no checksum: size of the file it belongs to.
    std::optional<std::uint64_t> incremented_size;
    Crc32c crc32c = 0;
    std::unique_ptr<BadPages> bad;  // null: none
    std::uint32_t part = 0;         // index in Packer::parts()
    bool is_file = false;
};

// Opens a file of the data directory to read it. Nothing when the file is gone.
Result<std::optional<Fd>> open_source(const std::string& path);
// For a relation, where the pages are to be verified; `fd` outlives it.
std::optional<PageChecker> page_checker(const PackContext& context, const ScanEntry& file, int fd);

// One tar object on its way into the store.
class PartWriter {
public:
    // `cancel` stops the upload; it outlives the part.
    static Result<std::unique_ptr<PartWriter>> open(PackContext& context, const std::string& file_name,
                                                    const CancelToken& cancel);
    TarWriter& tar() { return *tar_; }
    Measurement& measurement() { return measurement_; }
    // Adds what was stored since the last call to the progress.
    void report_stored();
    // Makes the object durable.
    Result<ManifestPart> finish();

private:
    PartWriter(PackContext& context, std::string file_name) : context_(context), file_name_(std::move(file_name)) {}

    PackContext& context_;
    std::string file_name_;
    std::uint64_t plain_ = 0, stored_ = 0, reported_ = 0;  // bytes
    StreamDigest compressed_;
    Measurement measurement_;
    std::unique_ptr<TarWriter> tar_;  // last: it is destroyed first
};

class Packer {
public:
    // `first_number`: of its first part; 0 = the next free one when it is opened.
    explicit Packer(PackContext& context, int first_number = 0) : context_(context), next_number_(first_number) {}
    // A directory or symbolic link.
    Status add_header(ScanEntry entry);
    // A file, or the pages of it that its entry says; skipped silently when it is gone.
    Status add_file(ScanEntry entry);
    // Ends the part that is open, if any.
    Status close();

    std::deque<PackedMember>& members() { return members_; }
    std::vector<ManifestPart>& parts() { return parts_; }

private:
    Status ensure_part();
    Status add_whole(ScanEntry entry, const std::string& path, int fd);
    Status add_increment(const ScanEntry& entry, const std::string& path, int fd);
    Status copy_pages(int fd, const std::string& path, const std::vector<std::uint32_t>& blocks);
    Status end_file(PackedMember member);
    bool may_read(std::uint64_t bytes);
    Result<std::size_t> read_timed(int fd, MutableBytes block, const std::string& path);
    Result<std::size_t> read_block(int fd, const std::string& path, MutableBytes block, std::uint64_t at,
                                   PageChecker* checker);
    Status copy_content(int fd, const std::string& path, std::uint64_t size, PackedMember& member,
                        PageChecker* checker);
    void report_bad_pages(const PackedMember& member);

    PackContext& context_;
    int next_number_;
    std::unique_ptr<PartWriter> part_;
    std::uint64_t part_bytes_ = 0;
    std::deque<PackedMember> members_;
    std::vector<ManifestPart> parts_;  // closed ones
    OwnerNames owners_;
    Bytes buffer_;
};

}  // namespace forge::backup
