// How long archiving, base backups and restore commands take, by stage (core/base/statistics.h). Helpers say what they
// measured; restore commands, which the server does not see, leave it in a file. Kept over restarts in another one,
// which may be some seconds old after a crash.
#pragma once

#include "extension/helper_link.h"
#include "extension/shared_state.h"

namespace forge::server {

// What a helper of that role has measured.
void note_statistics(HelperRole role, const protocol::Frame& frame);

// The scheduler, at its start: what earlier runs of the server had measured, once.
void load_statistics();
// If something has changed since it was kept last. Raises nothing.
void keep_statistics();
// Forgets all. Fails when the file of the restore commands cannot be removed.
Status reset_statistics();

// What restore commands have left in this data directory.
Statistics restore_statistics();

}  // namespace forge::server
