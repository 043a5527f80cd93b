#include "core/layout/names.h"

#include <array>
#include <cstdio>

#include "core/base/text.h"

namespace forge::layout {

namespace {

constexpr std::size_t kSegmentDigits = 24;
constexpr std::string_view kBackupPrefix = "base_";
constexpr std::string_view kDeltaMark = "_D_";
constexpr std::string_view kPartsFolder = "tar_partitions/";
constexpr std::string_view kJsonSuffix = ".json";

bool is_hex(std::string_view text) {
    for (const char c : text) {
        if ((c < '0' || c > '9') && (c < 'A' || c > 'F')) return false;
    }
    return true;
}

bool is_segment_shape(std::string_view name) { return name.size() == kSegmentDigits && is_hex(name); }

// `count` upper-case hex digits at the start of `text`, which is cut off.
bool take_hex(std::string_view& text, std::size_t count) {
    if (text.size() < count || !is_hex(text.substr(0, count))) return false;
    text.remove_prefix(count);
    return true;
}

std::string with_extension(std::string name, codec::Method method) {
    const std::string_view extension = codec::extension(method);
    if (!extension.empty()) {
        name += '.';
        name += extension;
    }
    return name;
}

std::string backup_folder(std::string_view backup_name) {
    return std::string(kBackupsFolder) + std::string(backup_name) + "/";
}

// WAL-G holds back every part whose name ends in `stem` or in `stem` and a further extension.
bool has_stem(std::string_view name, std::string_view stem) {
    for (std::size_t at = name.find(stem); at != std::string_view::npos; at = name.find(stem, at + 1)) {
        const std::string_view rest = name.substr(at + stem.size());
        if (rest.empty() || (rest.size() > 1 && rest.front() == '.')) return true;
    }
    return false;
}

}  // namespace

std::string segment_name(Segment segment, std::uint64_t segment_size) {
    const std::uint64_t per_group = (1ULL << 32) / segment_size;
    std::array<char, kSegmentDigits + 1> text{};
    std::snprintf(text.data(), text.size(), "%08X%08X%08X", static_cast<unsigned>(segment.timeline),
                  static_cast<unsigned>(segment.number / per_group), static_cast<unsigned>(segment.number % per_group));
    return text.data();
}

std::optional<Segment> parse_segment(std::string_view name, std::uint64_t segment_size) {
    if (!is_segment_shape(name) || !is_valid_segment_size(segment_size)) return std::nullopt;
    const auto timeline = parse_number<Timeline>(name.substr(0, 8), 16);
    const auto high = parse_number<std::uint64_t>(name.substr(8, 8), 16);
    const auto low = parse_number<std::uint64_t>(name.substr(16, 8), 16);
    const std::uint64_t per_group = (1ULL << 32) / segment_size;
    if (!timeline || !high || !low || *timeline == 0 || *low >= per_group) return std::nullopt;
    return Segment{*timeline, *high * per_group + *low};
}

bool is_valid_segment_size(std::uint64_t size) {
    return size >= (1ULL << 20) && size <= (1ULL << 30) && (size & (size - 1)) == 0;
}

std::optional<WalKind> classify_wal_name(std::string_view name) {
    if (is_segment_shape(name)) return WalKind::kSegment;
    std::string_view rest = name;
    if (take_hex(rest, kSegmentDigits)) {
        if (rest == ".partial") return WalKind::kPartial;
        if (rest.starts_with('.')) {
            rest.remove_prefix(1);
            if (take_hex(rest, 8) && rest == ".backup") return WalKind::kBackupHistory;
        }
        return std::nullopt;
    }
    rest = name;
    if (take_hex(rest, 8) && rest == ".history") return WalKind::kHistory;
    return std::nullopt;
}

std::string wal_key(std::string_view name, codec::Method method) {
    return with_extension(std::string(kWalFolder) + std::string(name), method);
}

std::optional<WalObject> parse_wal_key(std::string_view key) {
    if (!key.starts_with(kWalFolder)) return std::nullopt;
    const std::string_view file = key.substr(kWalFolder.size());
    // First as it stands: the ".partial", ".history" and ".backup" of an uncompressed object are no compression.
    if (const auto kind = classify_wal_name(file)) return WalObject{std::string(file), codec::Method::kNone, *kind};
    const std::size_t dot = file.rfind('.');
    if (dot == std::string_view::npos || dot + 1 == file.size()) return std::nullopt;
    const auto method = codec::method_from_extension(file.substr(dot + 1));
    const auto kind = classify_wal_name(file.substr(0, dot));
    if (!method || !kind) return std::nullopt;
    return WalObject{std::string(file.substr(0, dot)), *method, *kind};
}

std::string restore_points_key(std::string_view segment) {
    return std::string(kRestorePointsFolder).append(segment).append(kJsonSuffix);
}

std::optional<std::string> segment_of_restore_points(std::string_view key) {
    if (!key.starts_with(kRestorePointsFolder) || !key.ends_with(kJsonSuffix)) return std::nullopt;
    const std::string_view name =
        key.substr(kRestorePointsFolder.size(), key.size() - kRestorePointsFolder.size() - kJsonSuffix.size());
    if (classify_wal_name(name) != WalKind::kSegment) return std::nullopt;
    return std::string(name);
}

bool is_backup_name(std::string_view name) {
    if (!name.starts_with(kBackupPrefix)) return false;
    std::string_view rest = name.substr(kBackupPrefix.size());
    if (!take_hex(rest, kSegmentDigits)) return false;
    if (rest.empty()) return true;
    if (!rest.starts_with(kDeltaMark)) return false;
    rest.remove_prefix(kDeltaMark.size());
    return take_hex(rest, kSegmentDigits) && rest.empty();
}

std::string full_backup_name(std::string_view start_segment) {
    return std::string(kBackupPrefix) + std::string(start_segment);
}

std::string backup_start_segment(std::string_view backup_name) {
    if (!is_backup_name(backup_name)) return {};
    return std::string(backup_name.substr(kBackupPrefix.size(), kSegmentDigits));
}

std::string sentinel_key(std::string_view backup_name) {
    return std::string(kBackupsFolder) + std::string(backup_name) + std::string(kSentinelSuffix);
}

std::optional<std::string> backup_of_sentinel(std::string_view key) {
    if (!key.starts_with(kBackupsFolder) || !key.ends_with(kSentinelSuffix)) return std::nullopt;
    key.remove_prefix(kBackupsFolder.size());
    if (key.size() < kSentinelSuffix.size()) return std::nullopt;
    key.remove_suffix(kSentinelSuffix.size());
    if (!is_backup_name(key)) return std::nullopt;
    return std::string(key);
}

std::string metadata_key(std::string_view backup_name) { return backup_folder(backup_name) + "metadata.json"; }

std::string files_metadata_key(std::string_view backup_name) {
    return backup_folder(backup_name) + "files_metadata.json";
}

std::string parts_folder(std::string_view backup_name) {
    return backup_folder(backup_name) + std::string(kPartsFolder);
}

std::string part_file_name(int number, codec::Method method) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "part_%03d.tar", number);
    return with_extension(text.data(), method);
}

std::string pg_control_part_name(codec::Method method) { return with_extension("pg_control.tar", method); }

std::string label_part_name(codec::Method method) { return with_extension("backup_label.tar", method); }

std::optional<codec::Method> part_method(std::string_view file_name) {
    const std::size_t dot = file_name.rfind('.');
    if (dot == std::string_view::npos) return codec::Method::kNone;
    const std::string_view extension = file_name.substr(dot + 1);
    if (extension.empty()) return std::nullopt;
    if (extension == "tar") return codec::Method::kNone;
    return codec::method_from_extension(extension);
}

bool is_pg_control_part(std::string_view file_name) { return has_stem(file_name, "pg_control.tar"); }

bool is_label_part(std::string_view file_name) { return has_stem(file_name, "backup_label.tar"); }

}  // namespace forge::layout
