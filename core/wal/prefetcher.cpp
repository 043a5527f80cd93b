#include "core/wal/prefetcher.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/segment_copy.h"
#include "core/wal/spool.h"

namespace forge::wal {

namespace {

constexpr milliseconds kLook{5};  // how often the position is read
constexpr std::chrono::minutes kLongestFetch{5};
// What was downloaded waits for the disk while the next one is; more of them would wait for one another.
constexpr int kBeingSynced = 2;
constexpr int kLockTries = 5;

// Whoever only looks at the lock has it for a moment.
Result<Fd> lock_patiently(const Spool& spool, const CancelToken& cancel) {
    for (int i = 1;; ++i) {
        auto lock = spool.lock();
        if (!lock.status().is(Kind::kAlreadyExists) || i == kLockTries) return lock;
        if (cancel.wait_for(milliseconds(1))) return cancel.check();
    }
}

std::vector<std::string> successors(const Spool::Position& position, int count) {
    std::vector<std::string> names;
    auto segment = layout::parse_segment(position.segment, position.segment_size);
    for (int i = 0; segment && i < count; ++i) {
        ++segment->number;
        names.push_back(layout::segment_name(*segment, position.segment_size));
    }
    return names;
}

// Which segment is to be fetched next. Used under the lock of Prefetch.
class Window {
public:
    // What was fetched for the position before is not fetched again: recovery may have taken it already.
    void move(const std::vector<std::string>& names, const Spool& spool) {
        std::map<std::string, bool> before = std::exchange(taken_up_, {});
        for (const std::string& name : names) taken_up_[name] = before[name] || path_exists(spool.path(name));
        if (taken_up_.count(missing_) == 0) missing_.clear();
        at_end_ = false;
    }
    bool has_work() const { return find_next() != taken_up_.end(); }
    std::optional<std::string> take_next() {
        const auto next = find_next();
        if (next == taken_up_.end()) return std::nullopt;
        taken_up_[next->first] = true;
        return next->first;
    }
    void was_fetched(const std::string& name) {
        if (name == missing_) missing_.clear();
    }
    void was_missing(const std::string& name) {
        if (taken_up_.count(name) == 0) return;
        taken_up_[name] = false;
        if (missing_.empty() || name < missing_) missing_ = name;
        at_end_ = true;
    }

private:
    using Names = std::map<std::string, bool>;
    // Nobody asks for what comes behind a missing one.
    Names::const_iterator find_next() const {
        if (at_end_) return taken_up_.end();
        const auto next = std::find_if(taken_up_.begin(), taken_up_.end(), [](const auto& e) { return !e.second; });
        return next != taken_up_.end() && !missing_.empty() && next->first > missing_ ? taken_up_.end() : next;
    }

    Names taken_up_;       // the wanted ones; true = fetched, or being fetched
    std::string missing_;  // the first one that the store did not have
    bool at_end_ = false;  // it is not asked for again before the position changes
};

class Prefetch {
public:
    Prefetch(repository::Repository& repository, const PrefetchOptions& options, const store::CallContext& context)
        : repository_(repository), options_(options), context_(context), spool_(options.spool_directory) {}

    Status run() {
        FORGE_ASSIGN(const Fd lock, lock_patiently(spool_, store::cancel_of(context_)));
        const auto position = spool_.position();
        if (!position) return {};
        segment_size_ = position->segment_size;
        FORGE_TRY(move(*position, true));
        std::vector<std::thread> threads;
        for (int i = 0; i < std::min(options_.ahead, prefetch_depth(repository_)); ++i)
            threads.emplace_back([this] { work(); });
        end(watch());
        for (std::thread& thread : threads) thread.join();
        return error_;
    }

private:
    Status move(const Spool::Position& position, bool first) {
        const std::vector<std::string> names = successors(position, options_.ahead);
        position_ = position;
        FORGE_TRY(spool_.clean(names, first));
        const std::lock_guard lock(mutex_);
        window_.move(names, spool_);
        changed_.notify_all();
        return {};
    }

    // Until there was nothing to do for a while.
    Status watch() {
        auto quiet_since = Steady::now();
        while (!is_ended()) {
            if (store::cancel_of(context_).wait_for(kLook)) return store::cancel_of(context_).check();
            const auto position = spool_.position();
            if (position && !(*position == position_)) {
                FORGE_TRY(move(*position, false));
                quiet_since = Steady::now();
            }
            if (is_busy())
                quiet_since = Steady::now();
            else if (Steady::now() - quiet_since >= options_.stay)
                return {};
        }
        return {};
    }

    void work() {
        while (const auto name = next_name()) {
            const Status status = guarded_fetch(*name);
            if (status.ok()) options_.fetched();
            if (!status.ok() && !status.is(Kind::kNotFound)) end(status);
            const std::lock_guard lock(mutex_);
            --busy_;
            status.ok() ? window_.was_fetched(*name) : window_.was_missing(*name);
            changed_.notify_all();
        }
    }
    std::optional<std::string> next_name() {
        std::unique_lock lock(mutex_);
        std::optional<std::string> name;
        const int slots = repository_.settings().download_concurrency;
        changed_.wait(lock, [&] { return ended_ || (busy_ - syncing_ < slots && (name = window_.take_next())); });
        if (ended_) return std::nullopt;
        ++busy_;
        return name;
    }
    Status guarded_fetch(const std::string& name) {
        try {
            return fetch(name);
        } catch (const std::exception& error) {
            return Status(Kind::kExhausted, "could not fetch WAL file " + quoted(name) + ": " + error.what());
        }
    }
    Status fetch(const std::string& name) {
        Measurement measurement;
        const MeasuredScope measured(measurement);
        FORGE_ASSIGN(WrittenWalFile file, download(name));
        count_syncing(1);
        const Status status = file.commit(spool_.path(name));
        count_syncing(-1);
        FORGE_TRY(status);
        measurement.commit_stages();
        return {};
    }
    void count_syncing(int more) {
        const std::lock_guard lock(mutex_);
        syncing_ += more;
        changed_.notify_all();
    }
    Result<WrittenWalFile> download(const std::string& name) {
        store::CallContext context = context_;
        context.deadline = context.deadline.or_earlier(Deadline::after(kLongestFetch));
        FORGE_ASSIGN(const std::unique_ptr<Source> source, repository_.open_wal(name, context));
        return write_wal_file(*source, name, layout::WalKind::kSegment, segment_size_, spool_.part_path(name));
    }

    void end(const Status& why) {
        const std::lock_guard lock(mutex_);
        if (error_.ok()) error_ = why;
        ended_ = true;
        changed_.notify_all();
    }
    bool is_ended() {
        const std::lock_guard lock(mutex_);
        return ended_;
    }
    bool is_busy() {
        const std::lock_guard lock(mutex_);
        return busy_ > 0 || window_.has_work();
    }

    repository::Repository& repository_;
    const PrefetchOptions& options_;
    const store::CallContext& context_;
    const Spool spool_;
    std::mutex mutex_;
    std::condition_variable changed_;
    Spool::Position position_;  // of the thread that watches
    std::uint64_t segment_size_ = 0;
    Window window_;
    int busy_ = 0;     // threads that have a segment
    int syncing_ = 0;  // of these, those that have read it from the store
    bool ended_ = false;
    Status error_;
};

}  // namespace

int prefetch_depth(const repository::Repository& repository) {
    return repository.settings().download_concurrency + kBeingSynced;
}

Status prefetch_wal(repository::Repository& repository, const PrefetchOptions& options,
                    const store::CallContext& context) {
    if (options.spool_directory.empty() || options.ahead <= 0) return {};
    return Prefetch(repository, options, context).run();
}

}  // namespace forge::wal
