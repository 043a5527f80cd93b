#include "core/wal/left_timeline.h"

#include <signal.h>

#include <cerrno>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/wal/history.h"

namespace forge::wal {

namespace {

constexpr std::size_t kLongestPidFile = 8192;
constexpr int kStatusLine = 8;  // LOCK_FILE_LINE_PM_STATUS
constexpr std::string_view kStopping = "stopping";

std::string_view line_of(std::string_view text, int number) {
    for (int line = 1; line < number; ++line) {
        const std::size_t end = text.find('\n');
        if (end == text.npos) return {};
        text.remove_prefix(end + 1);
    }
    return text.substr(0, text.find('\n'));
}

// Names of the histories of timelines above `timeline`.
Result<std::set<std::string>> later_histories(repository::Repository& repository, Timeline timeline,
                                              const store::CallContext& context) {
    std::set<std::string> names;
    const std::string folder(layout::kWalFolder);
    // Every name of a later timeline is behind this one, which no file has.
    const std::string last_of_timeline = wal::history_name(timeline).substr(0, 8) + "~";
    FORGE_TRY(repository.store().list_after(
        folder, folder + last_of_timeline,
        [&names](const store::ObjectInfo& object) {
            const auto file = layout::parse_wal_key(object.key);
            if (file && file->kind == layout::WalKind::kHistory) names.insert(file->name);
            return true;
        },
        context));
    return names;
}

}  // namespace

std::string data_directory_of(const std::string& wal_path) {
    constexpr std::string_view kFolder = "pg_wal";
    const std::size_t slash = wal_path.rfind('/');
    if (slash == std::string::npos) return {};
    const std::string folder = wal_path.substr(0, slash);
    if (folder == kFolder) return path_exists("PG_VERSION") ? "." : "";
    if (!folder.ends_with("/" + std::string(kFolder))) return {};
    std::string directory = folder.substr(0, folder.size() - kFolder.size() - 1);
    return path_exists(join_path(directory, "PG_VERSION")) ? directory : "";
}

bool server_is_up(const std::string& data_directory) {
    const auto text = read_file(join_path(data_directory, "postmaster.pid"), kLongestPidFile);
    if (!text.ok()) return false;
    const auto pid = parse_number<pid_t>(trim(line_of(*text, 1)));
    if (!pid || *pid <= 0 || (::kill(*pid, 0) != 0 && errno != EPERM)) return false;
    return !line_of(*text, kStatusLine).starts_with(kStopping);
}

Status check_timeline_not_left(repository::Repository& repository, const std::string& name, std::uint64_t segment_size,
                               const store::CallContext& context) {
    const auto segment = layout::parse_segment(name, segment_size);
    if (!segment) return {};
    const auto names = later_histories(repository, segment->timeline, context);
    if (names.status().is(Kind::kDenied)) return {};
    FORGE_TRY(names.status());
    const Lsn end = (segment->number + 1) * segment_size;
    for (const std::string& history : *names) {
        FORGE_ASSIGN(const std::string text, repository.read_wal_text(history, context));
        FORGE_ASSIGN(const auto entries, parse_history(text));
        for (const HistoryEntry& entry : entries) {
            if (entry.timeline != segment->timeline || entry.switch_point >= end) continue;
            return Status(Kind::kConflict,
                          "WAL file " + quoted(name) + " goes beyond " + format_lsn(entry.switch_point) +
                              ", where timeline " + std::to_string(entry.timeline) + " was left (" + quoted(history) +
                              "), and the server does not go on with it",
                          "Nobody follows this WAL. Bring the server back as a standby, by pg_rewind or anew.");
        }
    }
    return {};
}

}  // namespace forge::wal
