// The entry point of the library: settings, shared memory, the scheduler. Runs in the postmaster, in single-user mode
// and under pg_upgrade as well: no network, no file, no failure.
#include "extension/compat.h"
#include "extension/settings.h"
#include "extension/shared_state.h"

extern "C" {
PG_MODULE_MAGIC;
}

namespace {

void register_scheduler() {
    BackgroundWorker worker{};
    forge::server::copy_bounded(worker.bgw_name, "forge_backup scheduler");
    forge::server::copy_bounded(worker.bgw_type, "forge_backup scheduler");
    forge::server::copy_bounded(worker.bgw_library_name, "forge_backup");
    forge::server::copy_bounded(worker.bgw_function_name, "forge_scheduler_main");
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = BgWorkerStart_ConsistentState;
    worker.bgw_restart_time = 10;
    RegisterBackgroundWorker(&worker);
}

// A server that was not restarted after an upgrade may come across another file of this library than the one it has
// loaded. Two of them in one process would define the settings twice, over one piece of shared memory.
void refuse_second_copy() {
    void** const loaded = find_rendezvous_variable("forge_backup library");
    if (*loaded != nullptr)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("forge_backup: another copy of the library, version %s, is in use by this server",
                               static_cast<const char*>(*loaded)),
                        errhint("Restart the server after an upgrade; keep one copy of the library only.")));
    static char version[] = FORGE_VERSION;
    *loaded = version;
}

}  // namespace

extern "C" void _PG_init(void) {
    refuse_second_copy();
    forge::server::define_settings();
    if (!process_shared_preload_libraries_in_progress) return;
    forge::server::request_shared_state();
    // pg_upgrade starts servers to move a catalog; nothing of that is worth a backup.
    if (!IsBinaryUpgrade) register_scheduler();
}
