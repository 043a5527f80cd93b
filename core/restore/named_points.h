// The named restore points in the archived WAL, and from which backup each can be reached. No WAL is read for it: who
// archived it noted them (core/repository/restore_points.h).
#pragma once

#include <string>
#include <vector>

#include "core/repository/restore_points.h"

namespace forge::restore {

struct NamedPoint {
    std::string name;  // as in repository::RestorePoint
    Instant time;
    Lsn lsn = 0;            // just after its record: recovery up to there, exclusive, stops at the point
    Timeline timeline = 0;  // to recover to; the lowest, where a timeline began with a copy of the WAL that has it
    std::string backup;     // the newest one that ended before it, with all WAL in between; empty = there is none
};

// In the order of their times. One listing of a folder where there are none; else that, one of the WAL, one of the
// backups, and a request for each object, `download_concurrency` at a time. Points whose segment is not in the archive
// are left out. So are those of an object that is damaged or cannot be opened, which the log names. Errors are those of
// the store.
Result<std::vector<NamedPoint>> named_points(repository::Repository& repository, const store::CallContext& context,
                                             Logger& logger);

}  // namespace forge::restore
