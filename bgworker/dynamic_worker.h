// A background worker that is started for one piece of work and ends by itself, seen from the process that starts it and
// whose latch is set when it ends. Used by one process. The worker outlives it.
#pragma once

#include "extension/helper_link.h"

namespace forge::server {

class DynamicWorker {
public:
    // Starts it: `name` is what the lists of processes show, `function` the entry point in this library. It may connect to
    // a database. False if no background worker is free. Not while one is known.
    bool start(std::string_view name, std::string_view function, BgWorkerStartTime when);
    // Between the start and the look that notices the end.
    bool known() const { return handle_ != nullptr; }
    // True once, when it has ended, or could not even start.
    bool notice_end();

private:
    BackgroundWorkerHandle* handle_ = nullptr;
};

}  // namespace forge::server
