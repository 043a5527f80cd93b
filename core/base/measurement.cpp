#include "core/base/measurement.h"

#include <mutex>

namespace forge {

namespace {

// Of the whole process, which does one thing: archive, make a base backup, or fetch for a restore.
struct Tally {
    std::mutex mutex;
    Statistics statistics;
};
Tally& tally() {
    static Tally the_tally;
    return the_tally;
}

thread_local Measurement* t_current = nullptr;

class TimedSink final : public Sink {
public:
    TimedSink(std::unique_ptr<Sink> next, Measurement& measurement, Stage stage)
        : next_(std::move(next)), measurement_(measurement), stage_(stage) {}
    Status write(ByteView data) override {
        const StageScope scope(&measurement_, stage_);
        if (stage_ == Stage::kStore) measurement_.stored += data.size();
        return next_->write(data);
    }
    Status finish() override {
        const StageScope scope(&measurement_, stage_);
        return next_->finish();
    }

private:
    std::unique_ptr<Sink> next_;
    Measurement& measurement_;
    Stage stage_;
};

class TimedSource final : public Source {
public:
    TimedSource(std::unique_ptr<Source> next, Measurement& measurement, Stage stage)
        : next_(std::move(next)), measurement_(measurement), stage_(stage) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        const StageScope scope(&measurement_, stage_);
        auto got = next_->read(buffer);
        if (got.ok() && stage_ == Stage::kStore) measurement_.stored += *got;
        return got;
    }

private:
    std::unique_ptr<Source> next_;
    Measurement& measurement_;
    Stage stage_;
};

std::uint64_t micros_of(Steady::duration time) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    return micros > 0 ? static_cast<std::uint64_t>(micros) : 0;
}

}  // namespace

Measurement* Measurement::current() { return t_current; }

MeasuredScope::MeasuredScope(Measurement& measurement) : before_(std::exchange(t_current, &measurement)) {}
MeasuredScope::~MeasuredScope() { t_current = before_; }

Stage Measurement::enter(Stage stage) {
    const auto now = Steady::now();
    spent_[static_cast<std::size_t>(stage_)].time += now - since_;
    since_ = now;
    spent_[static_cast<std::size_t>(stage)].entered = true;
    return std::exchange(stage_, stage);
}

void Measurement::add(Stage stage, std::chrono::microseconds time) {
    Spent& spent = spent_[static_cast<std::size_t>(stage)];
    spent.entered = true;
    spent.time += time;
}

void Measurement::commit() {
    commit_stages();
    const std::lock_guard lock(tally().mutex);
    tally().statistics.stages[static_cast<std::size_t>(Stage::kTotal)].add(micros_of(Steady::now() - begin_));
}

void Measurement::commit_stages() {
    enter(stage_);
    const std::lock_guard lock(tally().mutex);
    Statistics& statistics = tally().statistics;
    for (std::size_t i = 0; i < static_cast<std::size_t>(Stage::kTotal); ++i)
        if (spent_[i].entered) statistics.stages[i].add(micros_of(spent_[i].time));
    statistics.objects += stored > 0 ? 1 : 0;
    statistics.bytes_plain += plain;
    statistics.bytes_stored += stored;
}

std::unique_ptr<Sink> timed(std::unique_ptr<Sink> next, Stage stage) {
    Measurement* const measurement = Measurement::current();
    if (measurement == nullptr) return next;
    return std::make_unique<TimedSink>(std::move(next), *measurement, stage);
}

std::unique_ptr<Source> timed(std::unique_ptr<Source> next, Stage stage) {
    Measurement* const measurement = Measurement::current();
    if (measurement == nullptr) return next;
    return std::make_unique<TimedSource>(std::move(next), *measurement, stage);
}

void note_retry(Kind kind) {
    const std::lock_guard lock(tally().mutex);
    ++tally().statistics.retries[static_cast<std::size_t>(kind)];
}

Statistics take_statistics() {
    const std::lock_guard lock(tally().mutex);
    return std::exchange(tally().statistics, Statistics());
}

}  // namespace forge
