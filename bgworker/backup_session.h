// The server's backup mode, as one shape over the releases. All functions may raise ERROR and are called through
// call_server(); at most one backup mode a process. The exit handler of the process ends a backup mode that is left
// open.
#pragma once

#include "extension/compat.h"

namespace forge::server {

// Plain data, allocated in the memory context that is current at start.
struct BackupSession {
    XLogRecPtr start_lsn;
    TimeLineID timeline;       // at start
    TimeLineID stop_timeline;  // set at stop; a standby follows its primary to another one
    StringInfo label;           // 15: made at start; 16 and later: at stop
    StringInfo tablespace_map;  // made at start: one line "oid path" for each tablespace
#if FORGE_HAS_BACKUP_STATE
    BackupState* state;
#endif
};

// Once in a process, before the first start.
void register_backup_abort();
// Waits for a checkpoint (a restart point on a standby); reacts to interrupts.
BackupSession* start_backup_mode(const char* label);
// Returns the end position. Does not wait for the archive: that wait has no limit. `session->label` is complete
// afterwards.
XLogRecPtr stop_backup_mode(BackupSession* session);
// Ends backup mode without a backup; nothing happens if there is none.
void abort_backup_mode();

}  // namespace forge::server
