// Creates files and directories below the target, and nowhere else: no name leads out, no path through a symbolic link
// is followed except the links to the tablespaces that this restore made itself. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/base/file.h"
#include "core/restore/fetch_places.h"

namespace forge::restore {

class TargetTree {
public:
    // The places exist. `resume`: files of an earlier attempt may be there, and are written anew.
    static Result<std::unique_ptr<TargetTree>> open(const Places& places, bool resume);

    // Directory a thread wrote to last, kept open for the next file.
    struct Cursor {
        std::string directory;
        Fd fd;
    };

    // Names are relative (relative_name()). Missing parents are made with mode 0700. The mode of a directory is set at
    // the end, so that a read-only one can be filled.
    Status make_directory(const std::string& name, mode_t mode, Cursor& cursor);
    // A new, empty file with this mode.
    Result<Fd> create_file(const std::string& name, mode_t mode, Cursor& cursor);
    // A file that is filled page by page, perhaps by an earlier attempt already: of this size, holes where nothing was
    // written.
    Result<Fd> create_sized(const std::string& name, mode_t mode, std::uint64_t size, Cursor& cursor);
    // A file that create_sized() made.
    Result<Fd> open_sized(const std::string& name, Cursor& cursor);
    // To read what was written.
    Result<Fd> open_for_reading(const std::string& name, Cursor& cursor);
    // Made by finish().
    void add_symlink(const std::string& name, const std::string& target);

    // Directories that a server needs though a backup may lack them, symbolic links, modes of directories.
    Status finish(int major_version);
    // Everything written so far is on disk.
    Status sync() const;

private:
    struct Root {
        std::string path;  // for messages
        Fd fd;
    };
    std::pair<const Root*, std::string> resolve(const std::string& name) const;
    Result<Fd> open_directory(const std::string& name) const;
    Status open_parent(const std::string& name, Cursor& cursor) const;
    Status remove_earlier(const std::string& name, Cursor& cursor) const;
    Result<Fd> open_at(const std::string& name, int flags, Cursor& cursor) const;
    Status ensure_directory(const std::string& name);
    Status make_symlinks();
    Status apply_modes() const;

    bool resume_ = false;
    Root target_;
    std::map<std::string, Root> tablespaces_;  // by OID
    std::mutex mutex_;
    std::map<std::string, mode_t> modes_;
    std::vector<std::pair<std::string, std::string>> symlinks_;
};

}  // namespace forge::restore
