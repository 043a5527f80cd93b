#include "core/restore/fetch_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>

#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr mode_t kPrivate = 0700;
constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::string_view kTablespaces = "pg_tblspc/";
constexpr int kFirstWithSummaries = 17;

// Empty in many clusters, so another program's backup may lack them.
constexpr std::array<std::string_view, 17> kNeeded{"pg_commit_ts",
                                                   "pg_dynshmem",
                                                   "pg_logical",
                                                   "pg_logical/mappings",
                                                   "pg_logical/snapshots",
                                                   "pg_notify",
                                                   "pg_replslot",
                                                   "pg_serial",
                                                   "pg_snapshots",
                                                   "pg_stat",
                                                   "pg_stat_tmp",
                                                   "pg_subtrans",
                                                   "pg_tblspc",
                                                   "pg_twophase",
                                                   "pg_wal",
                                                   "pg_wal/archive_status",
                                                   "global"};

std::string parent_of(const std::string& name) {
    const std::size_t slash = name.rfind('/');
    return slash == std::string::npos ? std::string() : name.substr(0, slash);
}

Status path_error(int error, std::string_view what, const std::string& path) {
    if (error == ELOOP || error == ENOTDIR)
        return Status(Kind::kCorrupt, "path " + quoted(path) + " leads through something that is not a directory");
    return errno_status(error, what, path);
}

// One step down; makes the directory where it is missing.
Result<Fd> step_into(int parent, const std::string& component, const std::string& path) {
    for (int attempt = 0; attempt < 2; ++attempt) {
        Fd fd(::openat(parent, component.c_str(), kDirectoryFlags));
        if (fd.valid()) return fd;
        if (errno != ENOENT) break;
        if (::mkdirat(parent, component.c_str(), kPrivate) != 0 && errno != EEXIST)
            return errno_status(errno, "could not create directory", path);
    }
    return path_error(errno, "could not open directory", path);
}

Result<Fd> open_root(const std::string& path) { return open_file(path, O_RDONLY | O_DIRECTORY); }

}  // namespace

Result<std::unique_ptr<TargetTree>> TargetTree::open(const Places& places, bool resume) {
    auto tree = std::make_unique<TargetTree>();
    tree->resume_ = resume;
    tree->target_.path = places.target;
    FORGE_ASSIGN(tree->target_.fd, open_root(places.target));
    for (const TablespacePlace& place : places.tablespaces) {
        Root& root = tree->tablespaces_[place.oid];
        root.path = place.location;
        FORGE_ASSIGN(root.fd, open_root(place.location));
    }
    return tree;
}

// The root a name lies under, and the rest of the name.
std::pair<const TargetTree::Root*, std::string> TargetTree::resolve(const std::string& name) const {
    if (!name.starts_with(kTablespaces)) return {&target_, name};
    const std::size_t end = std::min(name.find('/', kTablespaces.size()), name.size());
    const auto tablespace = tablespaces_.find(name.substr(kTablespaces.size(), end - kTablespaces.size()));
    if (tablespace == tablespaces_.end()) return {&target_, name};
    return {&tablespace->second, end < name.size() ? name.substr(end + 1) : std::string()};
}

Result<Fd> TargetTree::open_directory(const std::string& name) const {
    const auto [root, rest] = resolve(name);
    Fd fd(::openat(root->fd.get(), ".", kDirectoryFlags));
    if (!fd.valid()) return errno_status(errno, "could not open directory", root->path);
    if (rest.empty()) return fd;
    std::string path = root->path;
    for (const std::string& component : split(rest, '/')) {
        path = join_path(path, component);
        FORGE_ASSIGN(fd, step_into(fd.get(), component, path));
    }
    return fd;
}

Status TargetTree::open_parent(const std::string& name, Cursor& cursor) const {
    const std::string parent = parent_of(name);
    if (cursor.fd.valid() && cursor.directory == parent) return {};
    FORGE_ASSIGN(cursor.fd, open_directory(parent));
    cursor.directory = parent;
    return {};
}

Status TargetTree::make_directory(const std::string& name, mode_t mode, Cursor& cursor) {
    FORGE_ASSIGN(cursor.fd, open_directory(name));
    cursor.directory = name;
    const std::lock_guard lock(mutex_);
    modes_[name] = mode;
    return {};
}

Result<Fd> TargetTree::open_at(const std::string& name, int flags, Cursor& cursor) const {
    FORGE_TRY(open_parent(name, cursor));
    Fd fd(::openat(cursor.fd.get(), base_name(name).c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (fd.valid()) return fd;
    if (errno == EEXIST || errno == ELOOP || errno == EISDIR)
        return Status(Kind::kCorrupt,
                      "file " + quoted(name) + " is in the backup twice, or something else has its name");
    return errno_status(errno, "could not open file", join_path(target_.path, name));
}

// Removed rather than truncated: its mode may be one that nobody can write to. Links to tablespaces are no files.
Status TargetTree::remove_earlier(const std::string& name, Cursor& cursor) const {
    FORGE_TRY(open_parent(name, cursor));
    struct stat info {};
    const std::string base = base_name(name);
    if (::fstatat(cursor.fd.get(), base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) return {};
    if (::unlinkat(cursor.fd.get(), base.c_str(), 0) != 0)
        return errno_status(errno, "could not remove file", join_path(target_.path, name));
    return {};
}

Result<Fd> TargetTree::create_file(const std::string& name, mode_t mode, Cursor& cursor) {
    if (resume_) FORGE_TRY(remove_earlier(name, cursor));
    FORGE_ASSIGN(Fd fd, open_at(name, O_WRONLY | O_CREAT | O_EXCL, cursor));
    if (::fchmod(fd.get(), mode) != 0)
        return errno_status(errno, "could not set the mode of file", join_path(target_.path, name));
    return fd;
}

Result<Fd> TargetTree::create_sized(const std::string& name, mode_t mode, std::uint64_t size, Cursor& cursor) {
    FORGE_ASSIGN(Fd fd, open_at(name, O_WRONLY | O_CREAT | (resume_ ? 0 : O_EXCL), cursor));
    const std::string path = join_path(target_.path, name);
    if (::fchmod(fd.get(), mode) != 0) return errno_status(errno, "could not set the mode of file", path);
    if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0)
        return errno_status(errno, "could not set the size of file", path);
    return fd;
}

Result<Fd> TargetTree::open_sized(const std::string& name, Cursor& cursor) { return open_at(name, O_WRONLY, cursor); }

Result<Fd> TargetTree::open_for_reading(const std::string& name, Cursor& cursor) {
    return open_at(name, O_RDONLY, cursor);
}

void TargetTree::add_symlink(const std::string& name, const std::string& target) {
    const std::lock_guard lock(mutex_);
    symlinks_.emplace_back(name, target);
}

Status TargetTree::ensure_directory(const std::string& name) {
    {
        const std::lock_guard lock(mutex_);
        const auto root = modes_.find("");
        modes_.try_emplace(name, root == modes_.end() ? kPrivate : root->second);
    }
    return open_directory(name).status();
}

Status TargetTree::make_symlinks() {
    for (const auto& [name, target] : symlinks_) {
        Cursor cursor;
        FORGE_TRY(open_parent(name, cursor));
        const std::string base = base_name(name);
        if (resume_) {
            struct stat info {};
            const bool there = ::fstatat(cursor.fd.get(), base.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
            if (there && S_ISLNK(info.st_mode)) ::unlinkat(cursor.fd.get(), base.c_str(), 0);
        }
        if (::symlinkat(target.c_str(), cursor.fd.get(), base.c_str()) == 0) continue;
        if (errno == EEXIST)
            return Status(Kind::kCorrupt,
                          "symbolic link " + quoted(name) + " is in the backup, and something else under its name");
        return errno_status(errno, "could not create symbolic link", join_path(target_.path, name));
    }
    return {};
}

Status TargetTree::apply_modes() const {
    // Deeper names sort behind their parents; going backwards, a parent loses its bits last.
    for (auto entry = modes_.rbegin(); entry != modes_.rend(); ++entry) {
        FORGE_ASSIGN(const Fd fd, open_directory(entry->first));
        if (::fchmod(fd.get(), entry->second) != 0)
            return errno_status(errno, "could not set the mode of directory", join_path(target_.path, entry->first));
    }
    return {};
}

Status TargetTree::finish(int major_version) {
    for (const std::string_view name : kNeeded) FORGE_TRY(ensure_directory(std::string(name)));
    if (major_version >= kFirstWithSummaries) FORGE_TRY(ensure_directory("pg_wal/summaries"));
    FORGE_TRY(make_symlinks());
    return apply_modes();
}

Status TargetTree::sync() const {
    if (::syncfs(target_.fd.get()) != 0) return errno_status(errno, "could not sync the file system of", target_.path);
    for (const auto& [oid, root] : tablespaces_)
        if (::syncfs(root.fd.get()) != 0) return errno_status(errno, "could not sync the file system of", root.path);
    return {};
}

}  // namespace forge::restore
