// Names of objects and files in WAL-G's layout (walg-format 1). All hex digits are upper case; parsing is strict.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/lsn.h"
#include "core/codec/codec.h"

namespace forge::layout {

inline constexpr std::string_view kBackupsFolder = "basebackups_005/";
inline constexpr std::string_view kWalFolder = "wal_005/";
// Ours: the named restore points in the archived WAL (docs/format.md, "Restore points").
inline constexpr std::string_view kRestorePointsFolder = "forge_restore_points/";
inline constexpr std::string_view kSentinelSuffix = "_backup_stop_sentinel.json";
inline constexpr std::uint64_t kDefaultSegmentSize = 16ULL << 20;

// A WAL segment: timeline and number (position / segment size).
struct Segment {
    Timeline timeline = 0;
    std::uint64_t number = 0;
    auto operator<=>(const Segment&) const = default;
};
std::string segment_name(Segment segment, std::uint64_t segment_size);
// Strict: 24 upper-case hex digits, third group below 4 GiB / segment size, timeline > 0.
std::optional<Segment> parse_segment(std::string_view name, std::uint64_t segment_size);
// Segment that holds the byte at `lsn`.
inline std::uint64_t segment_number(Lsn lsn, std::uint64_t segment_size) { return lsn / segment_size; }
bool is_valid_segment_size(std::uint64_t size);  // power of two, 1 MiB .. 1 GiB

// What the server archives (postgres-hooks 4).
enum class WalKind { kSegment, kHistory, kBackupHistory, kPartial };
std::optional<WalKind> classify_wal_name(std::string_view name);

// "wal_005/<name>" + extension.
std::string wal_key(std::string_view name, codec::Method method);
// File name and method of an object of wal_005/; nothing for names that are none of the four kinds + a known extension
// (so "<segment>.json" and "…_delta.br" are not WAL files).
struct WalObject {
    std::string name;
    codec::Method method;
    WalKind kind;
};
std::optional<WalObject> parse_wal_key(std::string_view key);

// "forge_restore_points/<segment>.json".
std::string restore_points_key(std::string_view segment);
std::optional<std::string> segment_of_restore_points(std::string_view key);

// "base_<24>" or "base_<24>_D_<24>".
bool is_backup_name(std::string_view name);
std::string full_backup_name(std::string_view start_segment);
// First 24 digits; empty if `backup_name` is none.
std::string backup_start_segment(std::string_view backup_name);
std::string sentinel_key(std::string_view backup_name);
std::optional<std::string> backup_of_sentinel(std::string_view key);
std::string metadata_key(std::string_view backup_name);
std::string files_metadata_key(std::string_view backup_name);
std::string parts_folder(std::string_view backup_name);        // "basebackups_005/<name>/tar_partitions/"
std::string part_file_name(int number, codec::Method method);  // "part_001.tar.zst"
std::string pg_control_part_name(codec::Method method);
std::string label_part_name(codec::Method method);
// Method of a part by its name ("x.tar.br", "x.tar", "x.gz"); nothing = unknown extension.
std::optional<codec::Method> part_method(std::string_view file_name);
bool is_pg_control_part(std::string_view file_name);
bool is_label_part(std::string_view file_name);

}  // namespace forge::layout
