// Measures where the time of one object goes while it passes through a pipeline, and adds it to what this process has
// measured. Time belongs to the innermost stage that was entered, so that a filter is not charged with what comes after
// it.
#pragma once

#include <memory>

#include "core/base/cancel.h"
#include "core/base/statistics.h"
#include "core/base/stream.h"

namespace forge {

// Of one object; used by one thread at a time. Dropped without commit() it counts for nothing.
class Measurement {
public:
    Measurement() = default;
    Measurement(const Measurement&) = delete;
    Measurement& operator=(const Measurement&) = delete;
    // From now on time belongs to `stage`; returns the one before.
    Stage enter(Stage stage);
    // Time that passed elsewhere.
    void add(Stage stage, std::chrono::microseconds time);
    // One time for each stage that was entered, and for the total, goes into the statistics of the process.
    void commit();
    // The same without the total: for work that nobody waits for.
    void commit_stages();

    // That of the work this thread does; null = nobody measures it.
    static Measurement* current();

    std::uint64_t plain = 0, stored = 0;  // bytes; without any no object was moved

private:
    struct Spent {
        bool entered = false;
        Steady::duration time{};
    };
    std::array<Spent, kStages> spent_{};
    Stage stage_ = Stage::kTotal;
    Steady::time_point begin_ = Steady::now(), since_ = begin_;
};

// Makes a measurement the thread's current one for a scope.
class MeasuredScope {
public:
    explicit MeasuredScope(Measurement& measurement);
    ~MeasuredScope();
    MeasuredScope(const MeasuredScope&) = delete;
    MeasuredScope& operator=(const MeasuredScope&) = delete;

private:
    Measurement* before_;
};

// A stage for a scope; nothing without measurement.
class StageScope {
public:
    explicit StageScope(Stage stage) : StageScope(Measurement::current(), stage) {}
    StageScope(Measurement* measurement, Stage stage)
        : measurement_(measurement), before_(measurement != nullptr ? measurement->enter(stage) : stage) {}
    ~StageScope() {
        if (measurement_ != nullptr) measurement_->enter(before_);
    }
    StageScope(const StageScope&) = delete;
    StageScope& operator=(const StageScope&) = delete;

private:
    Measurement* measurement_;
    Stage before_;
};

// `next`, its calls measured as `stage` in the thread's current measurement, which outlives it; `next` itself where there
// is none. What passes the store is counted as stored.
std::unique_ptr<Sink> timed(std::unique_ptr<Sink> next, Stage stage);
std::unique_ptr<Source> timed(std::unique_ptr<Source> next, Stage stage);

// A request is tried again after a failure of this kind. Thread-safe.
void note_retry(Kind kind);

// What this process has measured since it was asked last. Thread-safe.
Statistics take_statistics();

}  // namespace forge
