#include "core/wal/standby_way.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/layout/names.h"
#include "core/wal/history.h"

namespace forge::wal {

namespace {

constexpr std::size_t kLongestHistory = 1 << 20;

// Zeros behind the first `kept` bytes; the size stays.
Status make_empty_behind(const std::string& path, std::uint64_t kept, std::uint64_t size) {
    FORGE_ASSIGN(const Fd fd, open_file(path, O_WRONLY));
    if (::ftruncate(fd.get(), static_cast<off_t>(kept)) != 0 || ::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        return errno_status(errno, "could not truncate file", path);
    return sync_fd(fd.get(), path);
}

}  // namespace

std::optional<Lsn> left_at(const std::string& wal_directory, Timeline timeline) {
    const auto names = list_directory(wal_directory);
    if (!names.ok()) return std::nullopt;
    std::string newest;
    for (const std::string& name : *names)
        if (layout::classify_wal_name(name) == layout::WalKind::kHistory) newest = name;
    if (newest <= history_name(timeline)) return std::nullopt;
    const auto text = read_file(join_path(wal_directory, newest), kLongestHistory);
    if (!text.ok()) return std::nullopt;
    const auto entries = parse_history(*text);
    if (!entries.ok()) return std::nullopt;
    for (const HistoryEntry& entry : *entries)
        if (entry.timeline == timeline) return entry.switch_point;
    return std::nullopt;
}

Status keep_to_way(const std::string& path, const std::string& name, const std::string& wal_directory) {
    FORGE_ASSIGN(const struct ::stat info, stat_path(path));
    const auto size = static_cast<std::uint64_t>(info.st_size);
    const auto segment = size > 0 ? layout::parse_segment(name, size) : std::nullopt;
    const auto end = segment ? left_at(wal_directory, segment->timeline) : std::nullopt;
    if (!end || *end >= (segment->number + 1) * size) return {};
    if (*end > segment->number * size) return make_empty_behind(path, *end - segment->number * size, size);
    FORGE_TRY(remove_file(path));
    return Status(Kind::kNotFound, "WAL file " + quoted(name) + " lies behind " + format_lsn(*end) +
                                       ", where this standby's way leaves timeline " +
                                       std::to_string(segment->timeline));
}

}  // namespace forge::wal
