// A restore into the data directory of a server that was stopped. What the server wrote goes; what else lies there
// stays, or is set aside where the backup has something of its name. The control file goes first of all, and comes back
// last, so that no moment leaves a directory that can be started half done. A mark tells a next attempt what was begun,
// until the journal of the restore can.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace forge::restore {

// What is set aside gets this behind its name, and the time: "pg_hba.conf.before_restore.20261122T093000Z", then ".2"
// and so on where that name is taken. A backup may have one of an earlier restore.
inline constexpr std::string_view kSetAside = ".before_restore.";

// What is in the directory.
struct Occupied {
    std::string directory;  // absolute
    bool begun = false;     // an earlier attempt has begun to clear it
    std::uint64_t system_identifier = 0;
    std::vector<std::string> removed;            // names in the directory: the server's
    std::vector<std::string> others;             // all other names
    std::vector<std::string> tablespaces;        // directories of this server's version, "/space/PG_15_202209061"
    std::vector<std::string> waiting_wal;        // never archived, in the order of names
    std::map<std::string, std::uint64_t> bytes;  // of what is removed, by directory: this one and `tablespaces`
};
// kInvalid: it is no data directory. Nothing is changed.
Result<Occupied> look_at_occupied(const std::string& directory);

// Names that the backup has as well, of those that stay otherwise. `in_backup`: first components of its names.
std::vector<std::string> to_set_aside(const Occupied& occupied, const std::set<std::string>& in_backup);
// After a failure or a kill the same again. Durable.
Status make_way(const Occupied& occupied, const std::vector<std::string>& set_aside);
// The journal of the restore is there now.
Status forget_making_way(const std::string& directory);

// The lock file of a server, held so that none can be started in the directory meanwhile.
class ServerLock {
public:
    // kInvalid: a server runs there, or something that it started.
    static Result<ServerLock> take(const std::string& directory);
    ~ServerLock();
    ServerLock(ServerLock&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
    ServerLock& operator=(ServerLock&&) = delete;

private:
    explicit ServerLock(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

}  // namespace forge::restore
