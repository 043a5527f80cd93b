#include "extension/statistics.h"

#include "extension/kept_file.h"
#include "extension/wall_clock.h"

#include <sys/file.h>
#include <sys/stat.h>

namespace forge::server {

namespace {

constexpr const char* kFile = "forge_backup/statistics";

// "since MICROSECONDS\nwal NUMBERS\nbackup NUMBERS\n"
std::string format(const StatisticsInfo& info) {
    return "since " + std::to_string(unix_micros(info.since)) + "\nwal " + encode_statistics(info.wal) + "\nbackup " +
           encode_statistics(info.backup) + "\n";
}

std::optional<StatisticsInfo> parse(std::string_view text) {
    StatisticsInfo info{};
    const auto next = [&](std::string_view name) {
        const std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
        if (!line.starts_with(name) || end == text.npos) return std::string_view();
        line.remove_prefix(name.size());
        return line;
    };
    const auto since = parse_number<std::int64_t>(next("since "));
    const auto wal = decode_statistics(next("wal "));
    const auto backup = decode_statistics(next("backup "));
    if (!since || !wal || !backup) return std::nullopt;
    info.since = from_unix_micros(*since);
    info.wal = *wal;
    info.backup = *backup;
    return info;
}

}  // namespace

void note_statistics(HelperRole role, const protocol::Frame& frame) {
    const auto statistics = decode_statistics(frame.text(protocol::Tag::kValue));
    if (!statistics || role == HelperRole::kQuery) return;
    update_state([&](SharedState& state) {
        StatisticsInfo& info = state.statistics;
        (role == HelperRole::kArchiver ? info.wal : info.backup).merge(*statistics);
        info.is_kept = false;
    });
}

void load_statistics() {
    const auto known = parse(read_kept_file(kFile));
    update_state([&](SharedState& state) {
        StatisticsInfo& info = state.statistics;
        if (info.since != 0) return;
        info.since = known ? known->since : GetCurrentTimestamp();
        if (!known) return;
        info.wal.merge(known->wal);
        info.backup.merge(known->backup);
    });
}

void keep_statistics() {
    StatisticsInfo info{};
    bool wanted = false;
    update_state([&](SharedState& state) {
        // Not before the file has been read.
        wanted = state.statistics.since != 0 && !std::exchange(state.statistics.is_kept, true);
        info = state.statistics;
    });
    if (wanted) replace_kept_file(kFile, format(info));
}

Status reset_statistics() {
    const int directory = open(kStatisticsDirectory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        // Against a restore command that has read the file and is about to write it again.
        const bool locked = flock(directory, LOCK_EX) == 0;
        const bool removed = unlink(kRestoreStatisticsFile) == 0 || errno == ENOENT;
        const int error = errno;
        close(directory);
        if (!locked || !removed) return errno_status(error, "could not remove file", kRestoreStatisticsFile);
    }
    update_state([](SharedState& state) {
        state.statistics = StatisticsInfo{};
        state.statistics.since = GetCurrentTimestamp();
    });
    keep_statistics();
    return {};
}

Statistics restore_statistics() {
    return decode_statistics(trim(read_kept_file(kRestoreStatisticsFile))).value_or(Statistics());
}

}  // namespace forge::server
