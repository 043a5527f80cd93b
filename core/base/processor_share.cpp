#include "core/base/processor_share.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <string>
#include <utility>

namespace forge {
namespace {

constexpr milliseconds kInterval{250};  // between two looks: /proc/stat counts in steps of 10 ms
constexpr double kBusy = 0.5;           // of all processors
constexpr double kNoLongerBusy = 0.4;

// The first line: "cpu", then user, nice, system, idle, iowait, irq, softirq, steal in ticks; guests are in user and
// nice.
double time_of_all() {
    constexpr std::array<bool, 8> kCounts{true, true, true, false, false, true, true, true};
    std::ifstream file("/proc/stat");
    std::string word;
    file >> word;
    double ticks = 0;
    for (const bool counts : kCounts) {
        double value = 0;
        file >> value;
        if (counts) ticks += value;
    }
    return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

double time_of_process() {
    timespec time{};
    if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double seconds_between(Steady::time_point from, Steady::time_point to) {
    return std::chrono::duration<double>(to - from).count();
}

}  // namespace

ProcessorShare::Machine ProcessorShare::here() {
    return {static_cast<int>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN))), &time_of_all, &time_of_process,
            &Steady::now};
}

ProcessorShare::ProcessorShare(double share, Machine machine)
    : share_(share), machine_(machine), looked_at_(machine.now()), all_(machine.time_of_all()),
      own_(machine.time_of_process()), since_(looked_at_) {}

bool ProcessorShare::acquire(const CancelToken& cancel) {
    for (milliseconds wait; (wait = due()).count() > 0;)
        if (cancel.wait_for(wait)) return false;
    return !cancel.cancelled();
}

milliseconds ProcessorShare::due() {
    if (share_ >= 1) return {};
    const std::lock_guard lock(mutex_);
    const Steady::time_point now = machine_.now();
    if (now - looked_at_ >= kInterval) look(now);
    if (!others_are_busy_) return {};
    const double rate = share_ * machine_.processors;
    const double ahead = (machine_.time_of_process() - spent_from_) / rate - seconds_between(since_, now);
    return std::min(kInterval, std::chrono::ceil<milliseconds>(std::chrono::duration<double>(std::max(0.0, ahead))));
}

void ProcessorShare::look(Steady::time_point now) {
    const double all = machine_.time_of_all(), own = machine_.time_of_process();
    const double others = (all - all_) - (own - own_);
    const double could = seconds_between(looked_at_, now) * machine_.processors;
    const bool were_busy = std::exchange(others_are_busy_, others > could * (others_are_busy_ ? kNoLongerBusy : kBusy));
    // What was not used is not kept for later, and what was used before they came is not held against us.
    const double allowed = seconds_between(since_, now) * share_ * machine_.processors;
    if (!were_busy || own - spent_from_ < allowed) {
        since_ = now;
        spent_from_ = own;
    }
    looked_at_ = now;
    all_ = all;
    own_ = own;
}

}  // namespace forge
