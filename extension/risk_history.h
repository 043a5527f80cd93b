// Data at risk over the last day: the worst of each span of five minutes, for the view data_at_risk_history. Kept over
// restarts in a file of the data directory, forge_backup/data_at_risk: a line each, start of the span in microseconds,
// seconds and bytes. After a crash the newest span may be missing or less than it was.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// The scheduler, at its start: what earlier runs of the server had measured, once.
void load_risk_history();
// Measures what data_at_risk() of this copy of the state says. Where it cannot say it (a standby, storage off, no
// archiving, archive not looked at yet) there is no measurement: unknown is not nothing. Raises nothing.
void note_risk(const SharedState& state);
// Called at shutdown; while the server runs each new span does it. Raises nothing.
void keep_risk_history();

}  // namespace forge::server
