#include "extension/backlog.h"

#include <cmath>

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "extension/durability.h"

namespace forge::server {

namespace {

// Two measurements closer than this say little: segments are large.
constexpr std::int64_t kShortestSpan = 10 * USECS_PER_SEC;

std::optional<std::uint64_t> wal_disk_free() {
    struct statvfs disk {};
    if (statvfs(XLOGDIR, &disk) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
}

}  // namespace

Backlog count_backlog() {
    Backlog backlog;
    backlog.disk_free = wal_disk_free();
    DIR* const directory = opendir(XLOGDIR "/archive_status");
    if (directory == nullptr) return backlog;
    while (const dirent* const entry = readdir(directory)) {
        constexpr std::string_view kReady = ".ready";
        const std::string_view name = entry->d_name;
        if (!name.ends_with(kReady)) continue;
        ++backlog.files;
        const bool segment = name.size() == XLOG_FNAME_LEN + kReady.size();
        if (!segment) continue;
        backlog.bytes += static_cast<std::uint64_t>(wal_segment_size);
        const auto start = segment_start(name.substr(0, XLOG_FNAME_LEN));
        if (!start || (backlog.first != InvalidXLogRecPtr && *start >= backlog.first)) continue;
        struct stat mark {};
        if (fstatat(dirfd(directory), entry->d_name, &mark, 0) != 0) continue;
        backlog.first = *start;
        backlog.first_finished_at = time_t_to_timestamptz(mark.st_mtime);
    }
    closedir(directory);
    return backlog;
}

Backlog recent_backlog(const SharedState& state) {
    const TimestampTz now = GetCurrentTimestamp();
    const TimestampTz at = state.backlog.recent_at;
    if (at <= now && now - at < USECS_PER_SEC) return state.backlog.recent;
    const Backlog backlog = count_backlog();
    update_state([&](SharedState& shared) {
        shared.backlog.recent_at = now;
        shared.backlog.recent = backlog;
    });
    return backlog;
}

void note_backlog(const Backlog& backlog) {
    update_state([&](SharedState& state) {
        BacklogInfo& info = state.backlog;
        info.samples[info.count % kBacklogSamples] = {GetCurrentTimestamp(), backlog.bytes};
        ++info.count;
    });
}

std::optional<double> backlog_growth(const SharedState& state, const Backlog& now) {
    const BacklogInfo& info = state.backlog;
    if (info.count == 0) return std::nullopt;
    const BacklogSample& oldest = info.samples[info.count < kBacklogSamples ? 0 : info.count % kBacklogSamples];
    const std::int64_t span = GetCurrentTimestamp() - oldest.at;
    if (span < kShortestSpan) return std::nullopt;
    return (static_cast<double>(now.bytes) - static_cast<double>(oldest.bytes)) * USECS_PER_SEC /
           static_cast<double>(span);
}

std::optional<double> seconds_to_full_disk(const SharedState& state, const Backlog& now) {
    const auto growth = backlog_growth(state, now);
    if (!growth || *growth <= 0) return std::nullopt;
    if (!now.disk_free) return std::nullopt;
    return static_cast<double>(*now.disk_free) / *growth;
}

std::string megabytes(double bytes) {
    constexpr double kMegabyte = 1 << 20;
    // Many times cheaper than "%.1f".
    const std::string tenths = std::to_string(std::llrint(bytes / kMegabyte * 10));
    const bool has_whole = tenths.size() > 1;
    return (has_whole ? tenths.substr(0, tenths.size() - 1) : "0") + "." + tenths.back() + " MB";
}

}  // namespace forge::server
