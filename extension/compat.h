// The server's headers, as every file of the server library includes them, and the only place that knows
// PG_VERSION_NUM.
//
// Include this first: the server's headers define macros (snprintf, Min, LOG, ERROR, _) that break standard headers
// seen after them, and have no extern "C" of their own.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/lsn.h"
#include "core/base/statistics.h"
#include "core/base/status.h"
#include "core/base/text.h"
#include "core/protocol/frame.h"
#include "core/schedule/cron.h"

extern "C" {
#include "postgres.h"

#include "access/commit_ts.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogarchive.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/progress.h"
#include "common/controldata_utils.h"
#include "common/file_perm.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "pgtime.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "postmaster/pgarch.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/pidfile.h"
#include "utils/ps_status.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "access/xlogbackup.h"
#include "archive/archive_module.h"
#endif
}

#if PG_VERSION_NUM < 150001
#error "forge_backup needs PostgreSQL 15.1 or later"
#endif

// 16 changed both: archive callbacks get a state, backup mode is described by a BackupState.
#if PG_VERSION_NUM >= 160000
#define FORGE_ARCHIVE_CALLBACKS_HAVE_STATE 1
#define FORGE_HAS_BACKUP_STATE 1
#else
#define FORGE_ARCHIVE_CALLBACKS_HAVE_STATE 0
#define FORGE_HAS_BACKUP_STATE 0
#endif

// 16 and later declare these themselves.
#if PG_VERSION_NUM < 160000
extern "C" PGDLLEXPORT void _PG_init(void);
extern "C" PGDLLEXPORT void _PG_archive_module_init(ArchiveModuleCallbacks* callbacks);
#endif

namespace forge::server {

inline constexpr int kServerVersion = PG_VERSION_NUM;

// 17 and later name our waits; before, all extensions share one.
inline std::uint32_t wait_event() {
#if PG_VERSION_NUM >= 170000
    static std::uint32_t event = 0;
    if (event == 0) event = WaitEventExtensionNew("ForgeBackup");
    return event;
#else
    return PG_WAIT_EXTENSION;
#endif
}

// For the life of the process, until FreeWaitEventSet().
inline WaitEventSet* create_wait_set(int events) {
#if PG_VERSION_NUM >= 170000
    return CreateWaitEventSet(nullptr, events);
#else
    return CreateWaitEventSet(TopMemoryContext, events);
#endif
}

// Names in a BackgroundWorker have another length in later releases; a longer text is cut.
template <std::size_t N>
void copy_bounded(char (&target)[N], std::string_view text) {
    const std::size_t length = std::min(text.size(), N - 1);
    std::memcpy(target, text.data(), length);
    target[length] = '\0';
}

}  // namespace forge::server
