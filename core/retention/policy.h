// The setting `retain`: which backups a cluster keeps by itself. Pure decisions over an inventory; execute() carries
// them out.
//
// N = `retain` is a number of backups and a number of days, as in Spilo's scripts: skip the newest N-1 backups, of the
// rest take the first that is N days old or more, go back to the full backup it builds on; everything before that goes.
// Only backups of the server's own lineage are counted, and of these only those that can be restored, with the WAL from
// their start to their end: neither a damaged backup nor one of an abandoned timeline pushes out a good one.
//
// Besides:
//  - nothing goes while the newest backup is older than the schedule allows: whoever finds out that backups fail wants
//    the old ones;
//  - nothing goes while nobody knows the server's lineage, or when no backup on it can be restored;
//  - what delete_plan.h keeps stays: permanent backups, what another backup builds on, what may be in the making;
//  - a backup of another cluster (by its system identifier) is not ours to delete;
//  - a backup on an abandoned timeline goes when it is older than the oldest one that stays, and N days old;
//  - folders without sentinel go once they are abandoned;
//  - WAL goes when no backup that stays needs it and it was stored before the oldest that stays was.
#pragma once

#include "core/retention/delete_plan.h"
#include "core/schedule/cron.h"

namespace forge::retention {

inline constexpr int kLeastRetain = 2;

struct Policy {
    int retain = 5;                       // 0 = keep all; 1 counts as 2
    Timeline timeline = 0;                // the server's; 0 = that of what was stored last
    std::uint64_t system_identifier = 0;  // the server's; 0 = unknown
    bool times_are_changed = false;       // by rekey: they do not tell what was stored last
    // When backups are due, judged in UTC: the second time after the start of the newest backup must not have passed.
    // Without it a backup must not be older than N days.
    std::optional<schedule::CronExpression> schedule;
};

// What becomes of one backup, or of a folder without sentinel.
struct Verdict {
    std::string backup;
    bool keep = true;
    std::string reason;
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;
};

struct RetentionPlan {
    DeletePlan deletion;
    std::vector<Verdict> backups;  // oldest first
    std::string held;              // why nothing at all goes; empty = the policy is in force
};

RetentionPlan plan_by_policy(const Inventory& inventory, const Policy& policy);

}  // namespace forge::retention
