// One look of retention: a helper takes stock of the store, decides by the setting `retain`, and removes what is not
// kept. It may take long where there is much to remove, so that the scheduler starts it and looks now and then.
#pragma once

#include "extension/helper_link.h"
#include "extension/operations.h"

namespace forge::server {

class RetentionRun {
public:
    bool running() const { return link_ != nullptr; }
    // Starts the helper on this primary's timeline. Its end, as that of a helper that did not start, comes by look().
    void start(const HelperLink::WakeCheck& interrupted);
    // Nothing while it goes on; then how it ended, once. What was removed and what went wrong is logged, when it is
    // something else than before, and stands in the shared state. kCancelled: there was something else to do.
    std::optional<Status> look();
    // Whatever is removed is removed; the next look goes on.
    void stop();

private:
    Status begin(const HelperLink::WakeCheck& interrupted);
    Status finish(Status status, const protocol::Frame& done);
    void show(const protocol::Frame& progress);
    void report(int level, const std::string& message, const std::string& hint);

    std::unique_ptr<HelperLink> link_;
    std::unique_ptr<Operation> shown_;
    Status begun_;
    Deadline deadline_{};
    std::string reported_;
};

}  // namespace forge::server
