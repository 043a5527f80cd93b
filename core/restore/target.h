// What a restore should reach, and the plan to get there: which backup, which WAL, what will really be reached.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::restore {

struct Target {
    enum class Type { kLatest, kImmediate, kTime, kLsn, kXid, kName } type = Type::kLatest;
    Instant time;
    Lsn lsn = 0;
    std::uint32_t xid = 0;
    std::string name;
    bool inclusive = true;
    std::string timeline = "latest";  // "latest", "current" or a number
    std::string backup;               // empty = choose; "LATEST" or a name
};

struct Plan {
    repository::BackupEntry backup;
    Target target;
    Timeline timeline = 0;                    // where the target lies
    std::vector<Timeline> lineage;            // from the backup's timeline to that one
    std::string first_segment, last_segment;  // WAL needed; without a target in it, all that can be reached
    std::uint64_t segments = 0;
    std::optional<Instant> reached_time;  // commit time of the last transaction that will be there (nothing: unknown)
    // Start of the last record that will be replayed (the end of the backup for kImmediate): as recovery_target_lsn it
    // makes recovery stop just there.
    std::optional<Lsn> reached_lsn;
    bool exact = true;  // false: the target itself is not reachable; reached_* is the nearest going back
    std::string inexact_reason;
    std::vector<std::string> missing_segments;  // holes that keep an inexact plan from going on
};
// The window of a repository: from the end of the oldest backup from which all WAL is there to the last commit or abort
// in it. What lies before a hole, and can be restored only that far, is not part of it.
struct Window {
    std::string backup;  // empty = nothing can be restored
    std::optional<Instant> earliest, latest;
    std::optional<Lsn> earliest_lsn, latest_lsn;
};

// Chooses the newest backup on the lineage that finished before the target. Reads history objects, and as much WAL as
// needed to find the target. kInvalid with the window in the message when nothing qualifies ("… is before the first
// backup ended …", "… is after the last archived transaction …" unless `allow_nearest`, which gives an inexact plan
// instead).
Result<Plan> make_plan(repository::Repository& repository, const Target& target, bool allow_nearest,
                       const store::CallContext& context, Logger& logger);
// Of the way to `timeline` ("latest" or a number); lists backups and WAL, and reads WAL backwards to its last commit.
Result<Window> recovery_window(repository::Repository& repository, const std::string& timeline,
                               const store::CallContext& context);

}  // namespace forge::restore
