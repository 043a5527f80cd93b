#include "extension/restored.h"

#include "extension/backlog.h"
#include "extension/settings.h"

namespace forge::server {

namespace {

constexpr std::chrono::hours kPause{1};

std::string text_of(TimestampTz at) {
    return call_server([at] { return timestamptz_to_str(at); });
}

}  // namespace

bool restore_is_accepted() { return std::string_view(settings.clone_policy) == "on"; }

bool restore_is_over(const RestoredInfo& restored, const SchedulerInfo& scheduler) {
    const bool named = cluster_name != nullptr && cluster_name[0] != '\0';
    return named && restored.at != 0 && !restored.is_clone && scheduler.newest_finished_at > restored.at;
}

std::string stored_text(const SharedState& state) {
    if (state.scheduler.measured_at == 0) return {};
    return megabytes(static_cast<double>(state.scheduler.bytes_stored)) + " stored so far below \"" +
           std::string(state.store.storage.view()) + "\"";
}

void RestoredReminder::look_at_clone(const RestoredInfo& restored, const std::string& stored) {
    if (!restored.is_clone || restore_is_accepted() || SteadyClock::now() < next_) return;
    next_ = deadline_in(kPause);
    const std::string source(restored.source.view());
    const std::string since = text_of(restored.at) + (stored.empty() ? "" : "; " + stored);
    call_server([&] {
        ereport(WARNING,
                (errmsg("forge_backup: this server is a copy of cluster \"%s\" and stores WAL and base backups of its "
                        "own",
                        source.c_str()),
                 errdetail("Restored at %s.", since.c_str()),
                 errhint("Set forge_backup.clone_policy to \"on\" if they are wanted, to \"off\" if not.")));
    });
}

void RestoredReminder::look_at_restored(const RestoredInfo& restored, const SchedulerInfo& scheduler) {
    if (restored.at == told_of_ || restore_is_accepted() || !restore_is_over(restored, scheduler)) return;
    told_of_ = restored.at;
    const std::string at = text_of(restored.at);
    call_server([&] {
        ereport(WARNING,
                (errmsg("forge_backup: this cluster was restored at %s, and has base backups from after that",
                        at.c_str()),
                 errhint("If its manifest still has the section \"clone\", remove it: a cluster made anew by it goes "
                         "back to before the restore. Then set forge_backup.clone_policy to \"on\", or remove the file "
                         "forge_backup.restored from the data directory.")));
    });
}

}  // namespace forge::server
