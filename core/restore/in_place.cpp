#include "core/restore/in_place.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <filesystem>

#include "core/backup/control_file.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/base/time.h"
#include "core/restore/fetch_journal.h"

namespace forge::restore {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "forge_restore.in_place";
constexpr std::string_view kControl = "global/pg_control";
constexpr std::string_view kLockFile = "postmaster.pid";
constexpr std::size_t kSmallFile = 1 << 20;

// What a server makes in its data directory (src/bin/initdb, src/backend), and what restores do.
constexpr std::array<std::string_view, 32> kOfServer{
    "PG_VERSION",    "backup_label",     "backup_label.old", "backup_manifest",       "base",
    "global",        "current_logfiles", "pg_clog",          "pg_commit_ts",          "pg_dynshmem",
    "pg_logical",    "pg_multixact",     "pg_notify",        "pg_replslot",           "pg_serial",
    "pg_snapshots",  "pg_stat",          "pg_stat_tmp",      "pg_subtrans",           "pg_tblspc",
    "pg_twophase",   "pg_wal",           "pg_xact",          "forge_backup.restored", "postmaster.opts",
    "promote",       "recovery.signal",  "standby.signal",   "tablespace_map",        "tablespace_map.old",
    "recovery.done", "fallback_promote"};

bool is_of_server(const std::string& name) {
    return std::find(kOfServer.begin(), kOfServer.end(), name) != kOfServer.end();
}

bool is_of_this_restore(const std::string& name) { return name == kMark || name == kLockFile || name == kJournalName; }

Status removal_failed(const std::error_code& error, const std::string& path) {
    return errno_status(error.value(), "could not remove", path);
}

// Links are removed, not followed.
Status remove_all(const std::string& path) {
    std::error_code error;
    fs::remove_all(path, error);
    return error ? removal_failed(error, path) : Status();
}

std::uint64_t bytes_below(const std::string& path) {
    std::error_code error;
    std::uint64_t sum = 0;
    if (!fs::is_directory(fs::symlink_status(path, error))) return 0;
    for (fs::recursive_directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
        if (entry->is_regular_file(error)) sum += entry->file_size(error);
    return sum;
}

Result<std::vector<std::string>> tablespaces_of(const std::string& directory, const std::string& version_directory) {
    std::vector<std::string> places;
    const std::string links = join_path(directory, "pg_tblspc");
    if (!path_exists(links)) return places;
    FORGE_ASSIGN(const std::vector<std::string> names, list_directory(links));
    for (const std::string& name : names) {
        std::error_code error;
        const fs::path target = fs::read_symlink(join_path(links, name), error);
        if (error) continue;  // a directory of its own goes with pg_tblspc
        if (!target.is_absolute() || target.string().find('\n') != std::string::npos)
            return Status(Kind::kInvalid, "tablespace " + name + " has an odd place, " + forge::quoted(target.string()),
                          "Restore into another directory.");
        places.push_back(join_path(target.string(), version_directory));
    }
    return places;
}

std::vector<std::string> waiting_wal_of(const std::string& directory) {
    constexpr std::string_view kReady = ".ready";
    std::vector<std::string> waiting;
    const auto names = list_directory(join_path(directory, "pg_wal/archive_status"));
    if (!names.ok()) return waiting;
    for (const std::string& name : *names)
        if (name.ends_with(kReady)) waiting.push_back(name.substr(0, name.size() - kReady.size()));
    return waiting;
}

// The mark: system identifier, then one tablespace directory a line.
Status read_mark(Occupied& occupied) {
    FORGE_ASSIGN(const std::string text, read_file(join_path(occupied.directory, kMark), kSmallFile));
    std::vector<std::string> lines = split(text, '\n');
    const auto identifier = parse_number<std::uint64_t>(lines.front());
    if (!identifier)
        return Status(Kind::kCorrupt, "file " + forge::quoted(join_path(occupied.directory, kMark)) + " is damaged",
                      "Empty the directory and restore without --in-place.");
    occupied.begun = true;
    occupied.system_identifier = *identifier;
    for (std::size_t i = 1; i < lines.size(); ++i)
        if (!lines[i].empty()) occupied.tablespaces.push_back(lines[i]);
    return {};
}

Status write_mark(const Occupied& occupied) {
    std::string text = std::to_string(occupied.system_identifier) + "\n";
    for (const std::string& place : occupied.tablespaces) text += place + "\n";
    return write_file_durably(join_path(occupied.directory, kMark), as_bytes(text));
}

Status read_server(Occupied& occupied) {
    const std::string& directory = occupied.directory;
    if (!path_exists(join_path(directory, kControl)) || !path_exists(join_path(directory, "PG_VERSION")))
        return Status(Kind::kInvalid,
                      "directory " + forge::quoted(directory) + " is not the data directory of a server",
                      "Name the data directory of the server that is to be restored, or leave out --in-place.");
    FORGE_ASSIGN(const backup::ControlFile control, backup::read_control_file(directory));
    FORGE_ASSIGN(const int major, backup::read_major_version(directory));
    occupied.system_identifier = control.system_identifier;
    FORGE_ASSIGN(occupied.tablespaces, tablespaces_of(directory, backup::tablespace_version_directory(major, control)));
    occupied.waiting_wal = waiting_wal_of(directory);
    return {};
}

// Whoever is attached to the shared memory of a server still works in its directory, though the server itself is gone.
bool is_memory_in_use(const std::string& line) {
    const std::vector<std::string> words = split(std::string(trim(line)), ' ');
    const auto id = parse_number<int>(words.back());
    struct ::shmid_ds info {};
    return id && ::shmctl(*id, IPC_STAT, &info) == 0 && info.shm_nattch > 0;
}

// By the rules of the server's CreateLockFile().
bool is_held(const std::string& lock_text) {
    constexpr std::size_t kMemoryLine = 6;
    const std::vector<std::string> lines = split(lock_text, '\n');
    const auto number = parse_number<int>(trim(lines.front()));
    if (number && *number != 0) {
        const pid_t pid = *number < 0 ? -*number : *number;  // negative: of a single-user server
        if (pid != ::getpid() && pid != ::getppid() && (::kill(pid, 0) == 0 || errno == EPERM)) return true;
    }
    return lines.size() > kMemoryLine && is_memory_in_use(lines[kMemoryLine]);
}

// ".before_restore.20261122T093000Z"
std::string ending_now() {
    std::string text = format_rfc3339(SystemClock().now());
    text.resize(std::min(text.find_first_of(".Z"), text.size()));
    std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
    return std::string(kSetAside) + text + "Z";
}

// Two restores within a second want the same ending; what the first one set aside stays what it was.
Status set_aside_as(const std::string& path, const std::string& ending) {
    std::string name = path + ending;
    for (int number = 2; path_exists(name); ++number) name = path + ending + "." + std::to_string(number);
    if (::rename(path.c_str(), name.c_str()) != 0) return errno_status(errno, "could not rename", path);
    return {};
}

}  // namespace

Result<Occupied> look_at_occupied(const std::string& directory) {
    Occupied occupied;
    occupied.directory = directory;
    const bool begun = path_exists(join_path(directory, kMark)) && !path_exists(join_path(directory, kControl));
    FORGE_TRY(begun ? read_mark(occupied) : read_server(occupied));
    for (const std::string& place : occupied.tablespaces) occupied.bytes[place] = bytes_below(place);
    FORGE_ASSIGN(const std::vector<std::string> names, list_directory(directory));
    for (const std::string& name : names) {
        if (is_of_this_restore(name)) continue;
        if (is_of_server(name)) occupied.bytes[directory] += bytes_below(join_path(directory, name));
        (is_of_server(name) ? occupied.removed : occupied.others).push_back(name);
    }
    return occupied;
}

std::vector<std::string> to_set_aside(const Occupied& occupied, const std::set<std::string>& in_backup) {
    std::vector<std::string> names;
    std::copy_if(
        occupied.others.begin(), occupied.others.end(), std::back_inserter(names),
        [&](const std::string& name) { return in_backup.contains(name) && name.find(kSetAside) == std::string::npos; });
    return names;
}

Status make_way(const Occupied& occupied, const std::vector<std::string>& set_aside) {
    const std::string& directory = occupied.directory;
    if (!occupied.begun) {
        FORGE_TRY(write_mark(occupied));
        FORGE_TRY(remove_file(join_path(directory, kControl)));
        FORGE_TRY(sync_directory(join_path(directory, "global")));
    }
    for (const std::string& place : occupied.tablespaces) FORGE_TRY(remove_all(place));
    for (const std::string& name : occupied.removed) FORGE_TRY(remove_all(join_path(directory, name)));
    const std::string ending = ending_now();
    for (const std::string& name : set_aside) FORGE_TRY(set_aside_as(join_path(directory, name), ending));
    return sync_directory(directory);
}

Status forget_making_way(const std::string& directory) {
    const std::string path = join_path(directory, kMark);
    if (!path_exists(path)) return {};
    FORGE_TRY(remove_file(path));
    return sync_directory(directory);
}

Result<ServerLock> ServerLock::take(const std::string& directory) {
    const std::string path = join_path(directory, kLockFile);
    if (path_exists(path)) {
        FORGE_ASSIGN(const std::string text, read_file(path, kSmallFile));
        if (is_held(text))
            return Status(Kind::kInvalid, "a server runs in directory " + forge::quoted(directory),
                          "Stop the server, and whatever would start it again.");
        FORGE_TRY(remove_file(path));
    }
    // A server that starts at this moment makes the file in the same way, and one of the two fails.
    auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.ok()) return file.status();
    ServerLock lock(path);
    FORGE_TRY(write_fd(file->get(), as_bytes(std::to_string(::getpid()) + "\n"), path));
    return lock;
}

ServerLock::~ServerLock() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace forge::restore
