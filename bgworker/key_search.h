// Finds out whether old keys of the ring are still needed: a helper asks the store. Usually one request a key is
// enough; a key that is no longer needed makes it look at every object, once, which may take long: the scheduler starts
// the search and looks now and then.
#pragma once

#include "extension/helper_link.h"

namespace forge::server {

class KeySearch {
public:
    bool running() const { return link_ != nullptr; }
    // For keys as keys_to_search() gives them. Its end, also that of a helper that did not start, comes by look().
    void start(const std::vector<std::string>& keys, const HelperLink::WakeCheck& interrupted);
    // Nothing while it goes on; then how it ended, once. What was found is in shared memory by then.
    std::optional<Status> look();
    void stop();

private:
    Status begin(const std::vector<std::string>& keys, const HelperLink::WakeCheck& interrupted);
    Status finish(Status status);

    std::unique_ptr<HelperLink> link_;
    Status begun_;
    Deadline deadline_{};
};

}  // namespace forge::server
