#include "cli/progress_line.h"

#include <unistd.h>

#include <cstdio>

namespace forge::cli {

namespace {

constexpr milliseconds kTerminalInterval{200};
constexpr milliseconds kPlainInterval{5000};
constexpr int kBarWidth = 24;

}  // namespace

ProgressLine::ProgressLine(const GlobalOptions& options, StderrLogger& logger, std::function<ProgressSample()> sample)
    : logger_(logger), sample_(std::move(sample)), terminal_(::isatty(STDERR_FILENO) == 1),
      wanted_(!options.quiet && options.log_level != "error" && options.log_level != "warning") {
    if (!wanted_) return;
    // Messages come between: the line makes room and comes back with the next round.
    if (terminal_)
        logger_.set_line_guard([this](bool before) {
            if (before) clear();
        });
    thread_ = std::thread([this] { work(); });
}

void ProgressLine::stop() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
    logger_.set_line_guard({});
    clear();
}

void ProgressLine::work() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, terminal_ ? kTerminalInterval : kPlainInterval, [this] { return stopping_; })) {
        lock.unlock();
        show();
        lock.lock();
    }
}

void ProgressLine::show() {
    const ProgressSample sample = sample_();
    std::string now = text(sample);
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    if (terminal_) {
        std::fprintf(stderr, "\r\033[K%s", now.c_str());
        std::fflush(stderr);
        shown_ = true;
    } else if (now != last_) {
        std::fprintf(stderr, "forge-backup: %s\n", now.c_str());
        last_ = std::move(now);
    }
}

void ProgressLine::clear() {
    const std::lock_guard lock(mutex_);
    if (!shown_) return;
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    shown_ = false;
}

std::string ProgressLine::text(const ProgressSample& sample) {
    const Steady::time_point now = Steady::now();
    const double span = std::chrono::duration<double>(now - mark_time_).count();
    if (span > 0.1 && sample.done >= mark_done_) {
        const double current = static_cast<double>(sample.done - mark_done_) / span;
        rate_ = rate_ == 0 ? current : rate_ * 0.8 + current * 0.2;
        mark_time_ = now;
        mark_done_ = sample.done;
    }
    const std::string speed = format_size(static_cast<std::uint64_t>(rate_)) + "/s";
    if (sample.total == 0) return sample.phase + ": " + format_size(sample.done) + ", " + speed;
    const double share = std::min(1.0, static_cast<double>(sample.done) / static_cast<double>(sample.total));
    std::string line = sample.phase + ": ";
    if (terminal_) {
        const int filled = static_cast<int>(share * kBarWidth);
        line += "[" + std::string(static_cast<std::size_t>(filled), '#') +
                std::string(static_cast<std::size_t>(kBarWidth - filled), '.') + "] ";
    }
    line += std::to_string(static_cast<int>(share * 100)) + "% of " + format_size(sample.total) + ", " + speed;
    if (rate_ > 0 && sample.total > sample.done)
        line += ", " + format_duration(static_cast<double>(sample.total - sample.done) / rate_) + " left";
    return line;
}

}  // namespace forge::cli
