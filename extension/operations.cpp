#include "extension/operations.h"

#include "extension/boundary.h"

namespace forge::server {

using protocol::Tag;

namespace {

// The scheduler is a background worker and in the list of processes as well.
bool is_running(int pid) {
    return pid != 0 && call_server([pid] { return BackendPidGetProc(pid) != nullptr; });
}

}  // namespace

Operation::Operation(std::string_view name, std::string_view subject) {
    SharedState* const state = shared_state();
    if (state == nullptr) return;
    for (OperationRow& row : state->operations) {
        const StateLock lock(state, LW_EXCLUSIVE);
        if (row.pid != 0 && is_running(row.pid)) continue;
        row = OperationRow{};
        row.pid = MyProcPid;
        row.name.set(name);
        row.subject.set(subject);
        row.started_at = GetCurrentTimestamp();
        row_ = &row;
        return;
    }
}

Operation::~Operation() {
    if (row_ == nullptr) return;
    const StateLock lock(shared_state(), LW_EXCLUSIVE);
    row_->pid = 0;
}

void Operation::note(const protocol::Frame& progress) {
    if (row_ == nullptr) return;
    const StateLock lock(shared_state(), LW_EXCLUSIVE);
    row_->bytes_total = progress.number(Tag::kBytesTotal);
    row_->bytes_done = progress.number(Tag::kBytesDone);
    row_->objects_total = progress.number(Tag::kFilesTotal);
    row_->objects_done = progress.number(Tag::kFilesDone);
}

std::vector<OperationRow> running_operations() {
    std::vector<OperationRow> rows;
    const auto state = copy_state();
    if (state == nullptr) return rows;
    std::copy_if(std::begin(state->operations), std::end(state->operations), std::back_inserter(rows),
                 [](const OperationRow& row) { return is_running(row.pid); });
    return rows;
}

}  // namespace forge::server
