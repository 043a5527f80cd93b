#include "cli/recovery_place.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <functional>

#include "cli/common.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

// Different for each data directory and user, so that two servers on one machine keep apart.
std::string private_name(const std::string& data_directory, std::string_view what) {
    const std::uint64_t digest = std::hash<std::string>{}(data_directory);
    Bytes bytes(sizeof(digest));
    store_le(bytes.data(), digest);
    return "forge-backup-" + std::to_string(::geteuid()) + "-" + to_hex(bytes) + "-" + std::string(what);
}

std::string real_path(const std::string& path) {
    char* resolved = ::realpath(path.c_str(), nullptr);
    if (resolved == nullptr) return path;
    std::string result(resolved);
    std::free(resolved);
    return result;
}

// Makes the directory, or accepts one that is ours and nobody else's: in a shared place a foreign one could feed us
// files.
bool make_private_directory(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0) return true;
    if (errno != EEXIST) return false;
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() &&
           (info.st_mode & 022) == 0;
}

}  // namespace

std::string temporary_directory() {
    const char* wanted = std::getenv("TMPDIR");
    return wanted != nullptr && *wanted == '/' ? wanted : "/tmp";
}

RecoveryPlace find_recovery_place(const std::string& name, const std::string& destination) {
    RecoveryPlace place;
    const std::string wal_directory = parent_path(absolute_path(destination));
    place.data_directory = destination.starts_with('/') && base_name(wal_directory) == "pg_wal"
                               ? parent_path(wal_directory)
                               : real_path(".");
    place.is_standby = path_exists(join_path(place.data_directory, "standby.signal"));
    place.is_promoting = !place.is_standby && path_exists(join_path(place.data_directory, "PG_VERSION")) &&
                         !path_exists(join_path(place.data_directory, "recovery.signal"));
    const std::string fast = join_path(join_path(parent_path(parent_path(real_path(wal_directory))), "wal_fast"), name);
    if (path_exists(fast)) place.fast_file = fast;
    return place;
}

std::string make_spool_directory(const RecoveryPlace& place, const std::string& wanted) {
    if (!wanted.empty()) {
        if (is_directory(wanted) || make_directories(wanted).ok()) return absolute_path(wanted);
        return {};
    }
    const std::string data_directory = real_path(place.data_directory);
    const std::string beside =
        join_path(parent_path(data_directory), ".forge-backup-spool-" + base_name(data_directory));
    if (make_private_directory(beside)) return beside;
    const std::string temporary = join_path(temporary_directory(), private_name(data_directory, "spool"));
    return make_private_directory(temporary) ? temporary : std::string();
}

OutageMemory::OutageMemory(const RecoveryPlace& place)
    : path_(join_path(temporary_directory(), private_name(real_path(place.data_directory), "outage"))) {}

bool OutageMemory::is_recent(seconds span) const {
    struct stat info {};
    if (::lstat(path_.c_str(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return false;
    const std::time_t age = std::time(nullptr) - info.st_mtime;
    return age >= 0 && age < span.count();
}

void OutageMemory::remember() const {
    const Fd file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.valid()) ::futimens(file.get(), nullptr);
}

void OutageMemory::forget() const { ::unlink(path_.c_str()); }

}  // namespace forge::cli
