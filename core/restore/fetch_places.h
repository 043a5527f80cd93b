// Where the files of a backup go: the target directory and a directory for each tablespace, checked before anything is
// written.
#pragma once

#include <string>
#include <vector>

#include "core/layout/backup_json.h"
#include "core/restore/fetch.h"

namespace forge::restore {

struct TablespacePlace {
    std::string oid;
    std::string old_location;
    std::string location;  // absolute
};
struct Places {
    std::string target;  // absolute
    std::vector<TablespacePlace> tablespaces;
};

// Nothing is created. kInvalid: a directory is not empty (unless an unfinished restore is to be taken up there), a
// mapping matches no tablespace or is not absolute, two share a directory.
Result<Places> find_places(const layout::Sentinel& sentinel, const FetchOptions& options);
// The target directory (0700).
Status create_target(const Places& places);
// The directories of the tablespaces (0700) and the links to them in pg_tblspc; what an earlier attempt made is
// accepted.
Status create_places(const Places& places);
// tablespace_map with the new locations, escaped as the server does; kCorrupt when it names a tablespace the backup
// does not know.
Result<std::string> rewrite_tablespace_map(const std::string& map, const Places& places);

}  // namespace forge::restore
