// What is going on besides the base backup: a verification or deletion that a session asked for, a look of retention.
// Kept in shared memory while it lasts, for the view `progress`.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// Of the process that has it, from construction to destruction. Without preloading, or when there are very many, it is
// not shown. A process that ends in the middle leaves its row behind, which running_operations() does not show and the
// next one takes.
class Operation {
public:
    // `name`: "verify", "delete", "retention"; `subject`: the backup, may be empty.
    Operation(std::string_view name, std::string_view subject);
    ~Operation();
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;
    // kProgress of the helper that does the work.
    void note(const protocol::Frame& progress);

private:
    OperationRow* row_ = nullptr;
};

std::vector<OperationRow> running_operations();

}  // namespace forge::server
