#include "bgworker/dynamic_worker.h"

#include "extension/boundary.h"

namespace forge::server {

bool DynamicWorker::start(std::string_view name, std::string_view function, BgWorkerStartTime when) {
    BackgroundWorker worker{};
    copy_bounded(worker.bgw_name, name);
    copy_bounded(worker.bgw_type, name);
    copy_bounded(worker.bgw_library_name, "forge_backup");
    copy_bounded(worker.bgw_function_name, function);
    worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
    worker.bgw_start_time = when;
    worker.bgw_restart_time = BGW_NEVER_RESTART;
    worker.bgw_notify_pid = MyProcPid;
    if (call_server([&] { return RegisterDynamicBackgroundWorker(&worker, &handle_); })) return true;
    handle_ = nullptr;
    return false;
}

bool DynamicWorker::notice_end() {
    if (handle_ == nullptr) return false;
    BackgroundWorkerHandle* const handle = handle_;
    const BgwHandleStatus status = call_server([handle] {
        pid_t pid = 0;
        return GetBackgroundWorkerPid(handle, &pid);
    });
    if (status == BGWH_STARTED || status == BGWH_NOT_YET_STARTED) return false;
    pfree(handle_);
    handle_ = nullptr;
    return true;
}

}  // namespace forge::server
