#include "core/backup/control_file.h"

#include <fcntl.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/base/cancel.h"
#include "core/base/crc32c.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/layout/names.h"

namespace forge::backup {
namespace {

// Offsets in ControlFileData (catalog/pg_control.h) on 64-bit platforms. All versions from 15 to 18 share them up to
// the checksum version: 17 put wal_level of the checkpoint into what was padding, 18 added a byte before the nonce,
// which moved the CRC.
constexpr std::size_t kSystemIdentifier = 0;
constexpr std::size_t kControlVersion = 8;
constexpr std::size_t kCatalogVersion = 12;
constexpr std::size_t kState = 16;
constexpr std::size_t kCheckpoint = 32;
constexpr std::size_t kRedo = 40;
constexpr std::size_t kTimeline = 48;
constexpr std::size_t kMinRecoveryPoint = 136;
constexpr std::size_t kMinRecoveryTimeline = 144;
constexpr std::size_t kWalLevel = 172;
constexpr std::size_t kMaxConnections = 180;
constexpr std::size_t kMaxWorkerProcesses = 184;
constexpr std::size_t kMaxWalSenders = 188;
constexpr std::size_t kMaxPreparedXacts = 192;
constexpr std::size_t kMaxLocksPerXact = 196;
constexpr std::size_t kTrackCommitTimestamp = 200;
constexpr std::size_t kFloatFormat = 208;
constexpr std::size_t kBlockSize = 216;
constexpr std::size_t kRelationSegmentBlocks = 220;
constexpr std::size_t kSegmentSize = 228;
constexpr std::size_t kChecksumVersion = 252;
constexpr double kFloatFormatValue = 1234567.0;
constexpr std::size_t kFileSize = 8192;

struct Layout {
    std::uint32_t version;
    std::size_t crc;
};
constexpr Layout kLayouts[] = {{1300, 288}, {1700, 288}, {1800, 292}};

struct Release {
    std::uint32_t catalog_version;
    int major;
};
constexpr Release kReleases[] = {{202209061, 15}, {202307071, 16}, {202406281, 17}, {202506291, 18}};

Result<Layout> find_layout(std::uint32_t version) {
    for (const Layout& layout : kLayouts)
        if (layout.version == version) return layout;
    return Status(Kind::kInvalid,
                  "global/pg_control has version " + std::to_string(version) +
                      ", which is of a PostgreSQL version this program does not know",
                  "This program works with PostgreSQL 15 to 18; for a later server install a later forge_backup.");
}

template <typename T>
T field(ByteView raw, std::size_t offset) {
    return load_le<T>(raw.data() + offset);
}
std::int32_t int_field(ByteView raw, std::size_t offset) {
    return static_cast<std::int32_t>(field<std::uint32_t>(raw, offset));
}

Status check_architecture(ByteView raw) {
    const auto bits = field<std::uint64_t>(raw, kFloatFormat);
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    if (std::abs(value - kFloatFormatValue) < 0.5) return {};
    return Status(Kind::kInvalid, "global/pg_control was written on a machine of another architecture");
}

// Others divide and count by these: a checksum alone does not make them possible.
Status check_sizes(const ControlFile& control) {
    if (!layout::is_valid_segment_size(control.segment_size))
        return Status(Kind::kCorrupt, "global/pg_control claims an impossible WAL segment size of " +
                                          std::to_string(control.segment_size) + " bytes");
    if (!std::has_single_bit(control.block_size) || control.block_size < 1024 || control.block_size > 32768 ||
        control.relation_segment_blocks == 0)
        return Status(Kind::kCorrupt, "global/pg_control claims impossible sizes of blocks and files");
    return {};
}

constexpr int kAttempts = 10;
constexpr milliseconds kPause{5};

}  // namespace

Result<ControlFile> parse_control_file(ByteView raw) {
    if (raw.size() < kChecksumVersion + 64)
        return Status(Kind::kCorrupt, "global/pg_control has only " + std::to_string(raw.size()) + " bytes");
    FORGE_ASSIGN(const Layout layout, find_layout(field<std::uint32_t>(raw, kControlVersion)));
    if (crc32c(raw.first(layout.crc)) != field<std::uint32_t>(raw, layout.crc))
        return Status(Kind::kCorrupt, "global/pg_control does not match its checksum");
    FORGE_TRY(check_architecture(raw));
    ControlFile control;
    control.system_identifier = field<std::uint64_t>(raw, kSystemIdentifier);
    control.pg_control_version = layout.version;
    control.catalog_version = field<std::uint32_t>(raw, kCatalogVersion);
    control.state = int_field(raw, kState);
    control.timeline = field<Timeline>(raw, kTimeline);
    control.checkpoint = field<Lsn>(raw, kCheckpoint);
    control.redo = field<Lsn>(raw, kRedo);
    control.min_recovery_point = field<Lsn>(raw, kMinRecoveryPoint);
    control.min_recovery_timeline = field<Timeline>(raw, kMinRecoveryTimeline);
    control.segment_size = field<std::uint32_t>(raw, kSegmentSize);
    control.block_size = field<std::uint32_t>(raw, kBlockSize);
    control.relation_segment_blocks = field<std::uint32_t>(raw, kRelationSegmentBlocks);
    control.checksum_version = field<std::uint32_t>(raw, kChecksumVersion);
    control.max_connections = int_field(raw, kMaxConnections);
    control.max_worker_processes = int_field(raw, kMaxWorkerProcesses);
    control.max_wal_senders = int_field(raw, kMaxWalSenders);
    control.max_prepared_xacts = int_field(raw, kMaxPreparedXacts);
    control.max_locks_per_xact = int_field(raw, kMaxLocksPerXact);
    control.track_commit_timestamp = raw[kTrackCommitTimestamp] != 0;
    control.wal_level = int_field(raw, kWalLevel);
    FORGE_TRY(check_sizes(control));
    control.raw.assign(raw.begin(), raw.end());
    return control;
}

Result<ControlFile> read_control_file(const std::string& data_directory) {
    const std::string path = join_path(data_directory, "global/pg_control");
    Status last;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        if (attempt > 0) std::this_thread::sleep_for(kPause);
        FORGE_ASSIGN(const Fd fd, open_file(path, O_RDONLY));
        Bytes raw(kFileSize);
        FORGE_ASSIGN(const std::size_t size, read_fd(fd.get(), raw, path));
        raw.resize(size);
        auto control = parse_control_file(raw);
        if (control.ok()) return control;
        last = control.status();
    }
    return std::move(last).with_context(quoted(data_directory));
}

int major_version_of(const ControlFile& control) {
    for (const Release& release : kReleases)
        if (release.catalog_version == control.catalog_version) return release.major;
    return 0;
}

Result<int> read_major_version(const std::string& data_directory) {
    const std::string path = join_path(data_directory, "PG_VERSION");
    FORGE_ASSIGN(const std::string text, read_file(path, 64));
    const auto major = parse_number<int>(trim(text));
    if (!major || *major < 1) return Status(Kind::kInvalid, "file " + quoted(path) + " does not hold a version number");
    return *major;
}

std::string tablespace_version_directory(int major_version, const ControlFile& control) {
    return "PG_" + std::to_string(major_version) + "_" + std::to_string(control.catalog_version);
}

}  // namespace forge::backup
