// Tells how far a long job is: one line that is rewritten on a terminal, plain lines at most every five seconds
// elsewhere. On standard error.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cli/common.h"

namespace forge::cli {

struct ProgressSample {
    std::string phase;        // "fetching"
    std::uint64_t done = 0;   // bytes
    std::uint64_t total = 0;  // 0 = not known yet
};

class ProgressLine {
public:
    // `sample` is called from a thread of its own until stop(). Quiet options show nothing.
    ProgressLine(const GlobalOptions& options, StderrLogger& logger, std::function<ProgressSample()> sample);
    ~ProgressLine() { stop(); }
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;
    // Removes the line from the terminal. Idempotent.
    void stop();

private:
    void work();
    void show();
    void clear();
    std::string text(const ProgressSample& sample);

    StderrLogger& logger_;
    std::function<ProgressSample()> sample_;
    bool terminal_;
    bool wanted_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    bool shown_ = false;  // a line is on the terminal
    std::string last_;
    Steady::time_point started_ = Steady::now();
    Steady::time_point mark_time_ = started_;
    std::uint64_t mark_done_ = 0;
    double rate_ = 0;  // bytes a second, smoothed
    std::thread thread_;
};

}  // namespace forge::cli
