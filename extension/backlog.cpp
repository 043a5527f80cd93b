#include "extension/backlog.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "extension/durability.h"

namespace forge::server {

namespace {

// Two measurements closer than this say little: segments are large.
constexpr std::int64_t kShortestSpan = 10 * USECS_PER_SEC;

}  // namespace

Backlog count_backlog() {
    Backlog backlog;
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

std::optional<std::uint64_t> wal_disk_free() {
    struct statvfs disk {};
    if (statvfs(XLOGDIR, &disk) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
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
    const auto free = wal_disk_free();
    if (!free) return std::nullopt;
    return static_cast<double>(*free) / *growth;
}

std::string megabytes(double bytes) {
    std::array<char, 32> text{};
    constexpr double kMegabyte = 1 << 20;
    pg_snprintf(text.data(), text.size(), "%.1f MB", bytes / kMegabyte);
    return text.data();
}

}  // namespace forge::server
