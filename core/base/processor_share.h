// Keeps work in the background to a share of the processors while others are busy. Priority alone does not: threads of
// the lowest one fill every gap that others leave, and take the caches and the other half of a core from them.
#pragma once

#include <mutex>

#include "core/base/cancel.h"

namespace forge {

class ProcessorShare {
public:
    struct Machine {
        int processors = 1;
        // Seconds of processor time since some moment: of all processors by whoever, and by this process.
        double (*time_of_all)() = nullptr;
        double (*time_of_process)() = nullptr;
        Steady::time_point (*now)() = nullptr;
    };
    // This machine; one where /proc/stat (proc(5)) cannot be read counts as idle.
    static Machine here();

    // `share` of all processors, in effect while others use more than half of them; 1 or more = no limit.
    explicit ProcessorShare(double share, Machine machine = here());
    // Waits until this process is within its share; false when cancelled meanwhile.
    bool acquire(const CancelToken& cancel);
    // How long to wait before it is; not longer than the next look at the machine.
    milliseconds due();

private:
    void look(Steady::time_point now);

    const double share_;
    const Machine machine_;
    std::mutex mutex_;
    Steady::time_point looked_at_;
    double all_ = 0, own_ = 0;  // when looked at
    bool others_are_busy_ = false;
    Steady::time_point since_;  // from here on `spent_from_` and what the share allows are counted
    double spent_from_ = 0;
};

}  // namespace forge
