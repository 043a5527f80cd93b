// Tells the listeners of channel forge_backup about new events. A notification is a transaction in a database, so that a
// worker of its own connects there for the moment that it takes, and only on a primary, and only when the setting
// notify_database names one. Nobody waits for it: not the one to whom the event happened, not DROP DATABASE.
#pragma once

#include "bgworker/dynamic_worker.h"

namespace forge::server {

class Notifier {
public:
    // One look: starts the worker when there is something to tell, and notices its end.
    void follow(bool in_recovery);
    // Changed settings deserve a new chance.
    void settings_reloaded() { retry_at_ = Deadline{}; }
    // When to look again at the latest, besides when woken; far away where nothing waits.
    Deadline wanted_at() const;

private:
    void notice_end();
    void start(std::uint64_t count);
    void fail(const Status& problem);

    DynamicWorker worker_;
    std::uint64_t wanted_ = 0;  // events that the worker has to tell about
    Deadline retry_at_{};
    std::chrono::seconds pause_{0};
};

}  // namespace forge::server
