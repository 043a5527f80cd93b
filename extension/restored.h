// What is said about a server whose data directory was restored: a copy of another cluster that makes backups of its
// own, and a cluster restored in its own place, whose manifest may still say so.
#pragma once

#include "extension/boundary.h"
#include "extension/helper_link.h"
#include "extension/shared_state.h"

namespace forge::server {

// The setting clone_policy is "on": nobody wants to hear of it.
bool restore_is_accepted();
// This server was restored under its own name, and a base backup has been made since: who makes the cluster anew by the
// same description would go back to before the restore.
bool restore_is_over(const RestoredInfo& restored, const SchedulerInfo& scheduler);
// "12.5 MB stored so far below …", as far as it was measured; else nothing.
std::string stored_text(const SharedState& state);

// Logs it. Of a copy once an hour, of the other once in the life of a process.
class RestoredReminder {
public:
    // `stored`: see stored_text().
    void look_at_clone(const RestoredInfo& restored, const std::string& stored);
    void look_at_restored(const RestoredInfo& restored, const SchedulerInfo& scheduler);

private:
    Deadline next_{};
    TimestampTz told_of_ = 0;
};

}  // namespace forge::server
