#include "bgworker/backup_session.h"

namespace forge::server {

void register_backup_abort() { register_persistent_abort_backup_handler(); }

BackupSession* start_backup_mode(const char* label) {
    auto* const session = static_cast<BackupSession*>(palloc0(sizeof(BackupSession)));
    session->tablespace_map = makeStringInfo();
    List* tablespaces = NIL;
    constexpr bool kFast = true;
#if FORGE_HAS_BACKUP_STATE
    session->state = static_cast<BackupState*>(palloc0(sizeof(BackupState)));
    do_pg_backup_start(label, kFast, &tablespaces, session->state, session->tablespace_map);
    session->start_lsn = session->state->startpoint;
    session->timeline = session->state->starttli;
#else
    session->label = makeStringInfo();
    session->start_lsn =
        do_pg_backup_start(label, kFast, &session->timeline, session->label, &tablespaces, session->tablespace_map);
#endif
    return session;
}

XLogRecPtr stop_backup_mode(BackupSession* session) {
    constexpr bool kWaitForArchive = false;
#if FORGE_HAS_BACKUP_STATE
    do_pg_backup_stop(session->state, kWaitForArchive);
    session->stop_timeline = session->state->stoptli;
    session->label = makeStringInfo();
    appendStringInfoString(session->label, build_backup_content(session->state, false));
    return session->state->stoppoint;
#else
    return do_pg_backup_stop(session->label->data, kWaitForArchive, &session->stop_timeline);
#endif
}

void abort_backup_mode() {
    if (get_backup_status() == SESSION_BACKUP_RUNNING) do_pg_abort_backup(0, BoolGetDatum(false));
}

}  // namespace forge::server
