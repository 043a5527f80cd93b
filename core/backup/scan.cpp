#include "core/backup/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <unordered_set>

#include "core/backup/exclude.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::backup {
namespace {

constexpr mode_t kPermissionBits = 07777;
constexpr mode_t kDirectoryMode = 0700;  // of a directory that stands for a symbolic link
constexpr int kFirstWithSummaries = 17;  // pg_wal/summaries

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

bool is_gone(int error) { return error == ENOENT || error == ENOTDIR; }

// Nothing when the directory is gone.
Result<std::optional<Directory>> open_directory(const std::string& path) {
    Directory directory(::opendir(path.c_str()));
    if (directory) return std::optional<Directory>(std::move(directory));
    if (is_gone(errno)) return std::optional<Directory>();
    return errno_status(errno, "could not open directory", path);
}

Result<std::vector<std::string>> read_names(DIR* directory, const std::string& path) {
    std::vector<std::string> names;
    while (true) {
        errno = 0;
        const dirent* entry = ::readdir(directory);
        if (entry == nullptr) break;
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0 && !is_gone(errno)) return errno_status(errno, "could not read directory", path);
    std::sort(names.begin(), names.end());
    // Where a file was replaced meanwhile, some file systems (btrfs) name it a second time; a restore refuses a backup
    // that has one twice.
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

ScanEntry make_entry(std::string name, const struct stat& info, ScanEntry::Type type, std::uint16_t root) {
    ScanEntry entry;
    entry.name = std::move(name);
    entry.mtime = {static_cast<std::int64_t>(info.st_mtim.tv_sec) * 1'000'000'000 + info.st_mtim.tv_nsec};
    entry.mode = info.st_mode & kPermissionBits;
    entry.uid = info.st_uid;
    entry.gid = info.st_gid;
    entry.root = root;
    entry.type = type;
    return entry;
}

std::string member_name(const std::string& directory, const std::string& name) {
    return directory == "/" ? "/" + name : directory + "/" + name;
}

class Scanner {
public:
    Scanner(const ScanOptions& options, const LeaveOut& leave_out, const CancelToken& cancel, Logger& logger)
        : options_(options), leave_out_(leave_out), cancel_(cancel), logger_(logger) {
        for (const layout::Tablespace& tablespace : options.tablespaces) locations_.insert(tablespace.location);
    }

    Result<ScanResult> run() {
        struct stat info {};
        if (::lstat(options_.data_directory.c_str(), &info) != 0)
            return errno_status(errno, "could not access directory", options_.data_directory);
        add_directory("/", info, 0);
        FORGE_TRY(walk(options_.data_directory, "/", 0));
        for (std::size_t i = 0; i < options_.tablespaces.size(); ++i) FORGE_TRY(walk_tablespace(i));
        return std::move(result_);
    }

private:
    // Only the directory of this server version is ours: other versions may share the tablespace's location.
    Status walk_tablespace(std::size_t index) {
        const layout::Tablespace& tablespace = options_.tablespaces[index];
        const std::string path = join_path(tablespace.location, options_.version_directory);
        const std::string name = "/pg_tblspc/" + tablespace.oid + "/" + options_.version_directory;
        const auto root = static_cast<std::uint16_t>(index + 1);
        struct stat info {};
        if (::lstat(path.c_str(), &info) != 0) {
            if (is_gone(errno)) return {};  // dropped since the backup started
            return errno_status(errno, "could not access directory", path);
        }
        count_size(info);
        add_directory(name, info, root);
        return walk(path, name, root);
    }

    Status walk(const std::string& path, const std::string& member, std::uint16_t root) {
        FORGE_TRY(cancel_.check());
        FORGE_ASSIGN(const std::optional<Directory> directory, open_directory(path));
        if (!directory) return {};
        FORGE_ASSIGN(const std::vector<std::string> names, read_names(directory->get(), path));
        const bool holds_databases = is_database_directory(member, options_.version_directory);
        const std::unordered_set<std::uint32_t> unlogged =
            holds_databases ? find_unlogged(names) : std::unordered_set<std::uint32_t>();
        for (const std::string& name : names) {
            struct stat info {};
            if (::fstatat(::dirfd(directory->get()), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
                if (is_gone(errno)) continue;
                return errno_status(errno, "could not access file", join_path(path, name));
            }
            count_size(info);
            if (is_left_out(name) || (holds_databases && is_transient_relation(name, unlogged))) continue;
            FORGE_TRY(visit(path, member, name, info, root));
        }
        return {};
    }

    // Relations with an init fork are reset by the server when it starts after a crash or a restore.
    static std::unordered_set<std::uint32_t> find_unlogged(const std::vector<std::string>& names) {
        std::unordered_set<std::uint32_t> unlogged;
        for (const std::string& name : names)
            if (const auto file = parse_relation_file(name); file && file->fork == Fork::kInit)
                unlogged.insert(file->number);
        return unlogged;
    }
    static bool is_transient_relation(const std::string& name, const std::unordered_set<std::uint32_t>& unlogged) {
        if (is_temporary_relation(name)) return true;
        const auto file = parse_relation_file(name);
        return file && file->fork != Fork::kInit && unlogged.contains(file->number);
    }

    Status visit(const std::string& path, const std::string& member, const std::string& name, const struct stat& info,
                 std::uint16_t root) {
        const std::string full = member_name(member, name);
        const std::string source = join_path(path, name);
        if (!is_utf8(name)) {
            logger_.warning("file " + quoted(source) + " is left out of the backup: its name is not valid UTF-8");
            return {};
        }
        if (full == "/global/pg_control") return {};
        if (is_emptied(name)) return add_emptied(full, info, root);
        if (full == "/pg_wal") return add_wal(info);
        if (S_ISDIR(info.st_mode)) return visit_directory(source, full, info, root);
        if (S_ISREG(info.st_mode)) return add_file(member, name, full, info, root);
        if (S_ISLNK(info.st_mode)) return visit_symlink(source, member, full, info, root);
        logger_.warning("special file " + quoted(source) + " is left out of the backup");
        return {};
    }

    Status visit_directory(const std::string& source, const std::string& full, const struct stat& info,
                           std::uint16_t root) {
        add_directory(full, info, root);
        // A tablespace inside the data directory is read as a tablespace, not twice.
        if (root == 0 && locations_.contains(source)) return {};
        return walk(source, full, root);
    }

    Status visit_symlink(const std::string& source, const std::string& member, const std::string& full,
                         const struct stat& info, std::uint16_t root) {
        if (member == "/pg_tblspc") return {};  // the tablespace map and the sentinel hold these
        std::array<char, 4096> target{};
        const ssize_t size = ::readlink(source.c_str(), target.data(), target.size());
        if (size < 0 && is_gone(errno)) return {};
        if (size < 0) return errno_status(errno, "could not read symbolic link", source);
        ScanEntry entry = make_entry(full, info, ScanEntry::Type::kSymlink, root);
        entry.target.assign(target.data(), static_cast<std::size_t>(size));
        if (is_directory(source))
            logger_.warning("directory " + quoted(entry.target) + ", which " + quoted(source) +
                            " points to, is not part of the backup: only the symbolic link is");
        result_.entries.push_back(std::move(entry));
        return {};
    }

    // An empty directory, also in place of a symbolic link or whatever has the name.
    Status add_emptied(const std::string& full, struct stat info, std::uint16_t root) {
        if (!S_ISDIR(info.st_mode)) info.st_mode = kDirectoryMode;
        add_directory(full, info, root);
        return {};
    }
    // WAL comes from the archive.
    Status add_wal(const struct stat& info) {
        FORGE_TRY(add_emptied("/pg_wal", info, 0));
        FORGE_TRY(add_emptied("/pg_wal/archive_status", info, 0));
        if (options_.major_version >= kFirstWithSummaries) FORGE_TRY(add_emptied("/pg_wal/summaries", info, 0));
        return {};
    }

    void add_directory(std::string name, const struct stat& info, std::uint16_t root) {
        result_.entries.push_back(make_entry(std::move(name), info, ScanEntry::Type::kDirectory, root));
    }

    Status add_file(const std::string& member, const std::string& name, const std::string& full,
                    const struct stat& info, std::uint16_t root) {
        ScanEntry entry = make_entry(full, info, ScanEntry::Type::kFile, root);
        entry.size = static_cast<std::uint64_t>(info.st_size);
        const auto relation = parse_relation_file(name);
        entry.is_relation = relation && is_relation_directory(member, options_.version_directory);
        entry.is_paged =
            relation && relation->fork == Fork::kMain && is_database_directory(member, options_.version_directory);
        result_.file_bytes += entry.size;
        ++result_.files;
        if (!leave_out_(entry)) result_.entries.push_back(std::move(entry));
        return {};
    }

    void count_size(const struct stat& info) { result_.catalog_size += static_cast<std::uint64_t>(info.st_size); }

    const ScanOptions& options_;
    const LeaveOut& leave_out_;
    const CancelToken& cancel_;
    Logger& logger_;
    std::unordered_set<std::string> locations_;
    ScanResult result_;
};

// Number of bytes that follow a lead byte; nothing for a byte that cannot lead.
std::optional<int> continuation_bytes(std::uint8_t lead) {
    if (lead < 0x80) return 0;
    if (lead >= 0xC2 && lead <= 0xDF) return 1;
    if (lead >= 0xE0 && lead <= 0xEF) return 2;
    if (lead >= 0xF0 && lead <= 0xF4) return 3;
    return std::nullopt;
}
// Overlong forms, surrogates and values above U+10FFFF show in the second byte.
bool is_valid_second(std::uint8_t lead, std::uint8_t second) {
    switch (lead) {
        case 0xE0: return second >= 0xA0;
        case 0xED: return second <= 0x9F;
        case 0xF0: return second >= 0x90;
        case 0xF4: return second <= 0x8F;
        default: return true;
    }
}

}  // namespace

Result<ScanResult> scan_data_directory(const ScanOptions& options, const LeaveOut& leave_out, const CancelToken& cancel,
                                       Logger& logger) {
    return Scanner(options, leave_out, cancel, logger).run();
}

std::string source_path(const ScanOptions& options, const ScanEntry& entry) {
    if (entry.root == 0) return entry.name == "/" ? options.data_directory : options.data_directory + entry.name;
    const layout::Tablespace& tablespace = options.tablespaces[entry.root - 1U];
    const std::size_t prefix = std::string_view("/pg_tblspc/").size() + tablespace.oid.size();
    return tablespace.location + entry.name.substr(prefix);
}

bool is_utf8(std::string_view text) {
    const ByteView bytes = as_bytes(text);
    for (std::size_t i = 0; i < bytes.size();) {
        const std::uint8_t lead = bytes[i];
        const auto following = continuation_bytes(lead);
        if (!following || i + static_cast<std::size_t>(*following) >= bytes.size()) return false;
        for (int k = 1; k <= *following; ++k) {
            const std::uint8_t byte = bytes[i + static_cast<std::size_t>(k)];
            if ((byte & 0xC0) != 0x80 || (k == 1 && !is_valid_second(lead, byte))) return false;
        }
        i += static_cast<std::size_t>(*following) + 1;
    }
    return true;
}

}  // namespace forge::backup
