#include "core/wal/uploader.h"

#include <sys/stat.h>

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <system_error>
#include <thread>

#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/wal/left_timeline.h"
#include "core/wal/push.h"

namespace forge::wal {

namespace {

// Results that are lost cost one look into the store each (postgres-hooks 6, rule 8).
constexpr std::size_t kMaxResults = 256;

// How long one upload may take: the store notices stalls by itself, so this only bounds a store that trickles.
Deadline upload_deadline(std::uint64_t segment_size) {
    constexpr std::uint64_t kSlowest = 32 << 10;  // bytes a second
    return Deadline::after(std::chrono::minutes(10) + seconds(segment_size / kSlowest));
}

class ThreadedUploader final : public Uploader {
public:
    ThreadedUploader(std::shared_ptr<repository::Repository> repository, UploaderOptions options, Logger& logger);
    ~ThreadedUploader() override;
    void request(const std::string& name, const std::string& path, Deadline deadline, Done done) override;
    void forget_request(const std::string& name) override;
    void cancel() override { cancel_.cancel(); }
    Counters counters() const override;

private:
    struct Waiter {
        Deadline deadline;
        Done done;
    };
    struct Job {
        std::string path;
        bool ahead = false;  // started without being asked for
        bool running = false;
        bool sending = false;
        std::vector<Waiter> waiters;
    };
    struct Answer {
        std::string name;
        Uploader::Result result;
        Done done;
    };
    using Jobs = std::map<std::string, Job>;

    void start_workers(std::size_t count);
    // All of these want mutex_ held.
    void plan_ahead();
    std::optional<std::string> next_job();
    void finish_job(const std::string& name, const forge::Result<PushResult>& result);
    void remember(const std::string& name, const std::optional<WalEvent>& last_end);
    void answer(const std::string& name, Waiter waiter, Uploader::Result result);
    void expire_waiters();
    Deadline next_expiry() const;

    void work();
    void run_job(const std::string& name, std::unique_lock<std::mutex>& lock);
    void begin_sending(Job& job);
    void deliver();
    std::string ready_file(const std::string& name) const;
    std::optional<std::chrono::microseconds> waiting_time(const std::string& name) const;

    const std::shared_ptr<repository::Repository> repository_;
    const UploaderOptions options_;
    Logger& logger_;
    const std::size_t senders_;
    const std::size_t packers_;
    const std::uint64_t buffer_limit_;
    CancelToken cancel_;

    mutable std::mutex mutex_;
    std::condition_variable work_changed_;
    std::condition_variable answers_changed_;
    bool stopping_ = false;
    bool workers_gone_ = false;
    Jobs jobs_;                      // waiting and running
    std::deque<std::string> queue_;  // waiting, in order
    // Files that a worker has; the others of them are packed and wait for their turn to be sent.
    std::size_t running_ = 0, packing_ = 0, sending_ = 0;
    std::vector<Bytes> spare_buffers_;         // with memory of files that were packed; gone when nothing is left to do
    std::optional<layout::Segment> frontier_;  // the segment the server asked for last
    std::list<std::string> result_order_;      // oldest first
    // Stored in this epoch, and nobody was told yet.
    std::map<std::string, std::optional<WalEvent>> results_;
    std::set<std::string> failed_ahead_;  // not tried again before the server asks or the store takes something else
    std::deque<Answer> answers_;
    Counters counters_;

    std::vector<std::thread> workers_;
    std::thread messenger_;
};

Result<PushResult> push_if_allowed(repository::Repository& repository, const PushRequest& request, WriteGuard* guard,
                                   const store::CallContext& context) {
    if (guard != nullptr) FORGE_TRY(guard->may_store(request.name, context));
    // A server that stops, or is brought up again by others, may finish a timeline that the cluster has left.
    const std::string data_directory = data_directory_of(request.path);
    if (!data_directory.empty() && !server_is_up(data_directory))
        FORGE_TRY(check_timeline_not_left(repository, request.name, request.segment_size, context));
    auto result = push_file(repository, request, context);
    if (guard != nullptr && result.status().is(Kind::kConflict)) guard->doubt();
    return result;
}

bool fits_in_memory(const UploaderOptions& options) {
    return packing_memory(options.segment_size) <= options.memory_limit;
}

// Of `wanted` jobs, those that may run at once within the memory limit.
std::size_t job_limit(const UploaderOptions& options, int wanted) {
    constexpr std::uint64_t kStreaming = 64 << 20;  // parts of a multipart upload and filters
    const std::uint64_t each = fits_in_memory(options) ? packing_memory(options.segment_size) : kStreaming;
    const auto most = static_cast<std::uint64_t>(std::max(wanted, 1));
    return static_cast<std::size_t>(std::clamp<std::uint64_t>(options.memory_limit / each, 1, most));
}

ThreadedUploader::ThreadedUploader(std::shared_ptr<repository::Repository> repository, UploaderOptions options,
                                   Logger& logger)
    : repository_(std::move(repository)), options_(std::move(options)), logger_(logger),
      senders_(job_limit(options_, options_.concurrency)),
      packers_(std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, senders_)),
      buffer_limit_(fits_in_memory(options_) ? options_.segment_size : options_.memory_limit / 4) {
    // One worker more than jobs may run ahead where memory allows, so that what the server waits for never waits for
    // them.
    const std::size_t count = job_limit(options_, static_cast<int>(senders_ + packers_ + 1));
    workers_.reserve(count);
    messenger_ = std::thread([this] { deliver(); });
    start_workers(count);
}

// As many as the system has threads for: with fewer all that is lost is speed (D6). With none the process ends, and the
// server starts another one later.
void ThreadedUploader::start_workers(std::size_t count) {
    try {
        while (workers_.size() < count) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
        if (workers_.empty()) {
            {
                const std::lock_guard lock(mutex_);
                workers_gone_ = true;
            }
            answers_changed_.notify_all();
            messenger_.join();
            throw;
        }
        logger_.warning("only " + std::to_string(workers_.size()) + " of " + std::to_string(count) +
                        " threads for uploads could be started: " + error.code().message());
    }
}

ThreadedUploader::~ThreadedUploader() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    cancel_.cancel();
    work_changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    {
        const std::lock_guard lock(mutex_);
        for (auto& [name, job] : jobs_) {
            for (Waiter& waiter : job.waiters) answer(name, std::move(waiter), Status(Kind::kCancelled, "canceled"));
        }
        jobs_.clear();
        workers_gone_ = true;
    }
    answers_changed_.notify_all();
    messenger_.join();
}

void ThreadedUploader::request(const std::string& name, const std::string& path, Deadline deadline, Done done) {
    const std::lock_guard lock(mutex_);
    Waiter waiter{deadline, std::move(done)};
    failed_ahead_.erase(name);
    if (const auto segment = layout::parse_segment(name, options_.segment_size)) frontier_ = segment;
    if (const auto result = results_.extract(name)) {
        std::erase(result_order_, name);
        ++counters_.ahead_hits;
        answer(name, std::move(waiter), result.mapped());
    } else {
        const auto [at, is_new] = jobs_.try_emplace(name);
        Job& job = at->second;
        if (!job.running) {
            job.path = path.starts_with('/') ? path : join_path(options_.data_directory, path);
            if (!is_new) std::erase(queue_, name);
            queue_.push_front(name);
        }
        job.waiters.push_back(std::move(waiter));
    }
    plan_ahead();
    work_changed_.notify_all();
    answers_changed_.notify_all();  // the earliest deadline may be another one now
}

void ThreadedUploader::forget_request(const std::string& name) {
    const std::lock_guard lock(mutex_);
    if (const auto at = jobs_.find(name); at != jobs_.end()) at->second.waiters.clear();
}

Uploader::Counters ThreadedUploader::counters() const {
    const std::lock_guard lock(mutex_);
    return counters_;
}

std::string ThreadedUploader::ready_file(const std::string& name) const {
    return options_.data_directory + "/pg_wal/archive_status/" + name + ".ready";
}

// Since the server marked the file as ready, or somebody marked it so again; nothing where it is not.
std::optional<std::chrono::microseconds> ThreadedUploader::waiting_time(const std::string& name) const {
    struct ::stat info {};
    if (::stat(ready_file(name).c_str(), &info) != 0) return std::nullopt;
    const Instant changed{info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec};
    return std::chrono::microseconds(std::max<std::int64_t>(0, SystemClock().now().micros() - changed.micros()));
}

// Queues the successors of the segment asked for last, as far as they are ready without a gap: a few stat calls, no
// directory is read (D8).
void ThreadedUploader::plan_ahead() {
    if (!options_.upload_ahead || !frontier_ || stopping_) return;
    layout::Segment segment = *frontier_;
    const std::size_t window = std::min(2 * (senders_ + packers_), kMaxResults / 2);
    for (std::size_t i = 0; i < window; ++i) {
        ++segment.number;
        const std::string name = layout::segment_name(segment, options_.segment_size);
        if (results_.contains(name) || jobs_.contains(name)) continue;
        if (failed_ahead_.contains(name) || !path_exists(ready_file(name))) return;
        Job job;
        job.path = options_.data_directory + "/pg_wal/" + name;
        job.ahead = true;
        jobs_.emplace(name, std::move(job));
        queue_.push_back(name);
    }
}

// What the server waits for may always run; what runs ahead, only where a processor is left for it, and not so many
// that packed files lie in memory before they can be sent.
std::optional<std::string> ThreadedUploader::next_job() {
    if (queue_.empty()) return std::nullopt;
    const auto at = std::find_if(queue_.begin(), queue_.end(), [this](const std::string& name) {
        return !jobs_[name].ahead || !jobs_[name].waiters.empty();
    });
    const bool room_ahead = packing_ < packers_ && running_ < senders_ + packers_;
    if (at == queue_.end() && !room_ahead) return std::nullopt;
    const auto chosen = at == queue_.end() ? queue_.begin() : at;
    std::string name = *chosen;
    queue_.erase(chosen);
    return name;
}

void ThreadedUploader::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (stopping_) return;
        if (const auto name = next_job()) {
            run_job(*name, lock);
        } else {
            work_changed_.wait(lock);
        }
    }
}

// Leaves the processor to the next file. What the server waits for is sent at once.
void ThreadedUploader::begin_sending(Job& job) {
    std::unique_lock lock(mutex_);
    --packing_;
    work_changed_.notify_all();
    work_changed_.wait(lock, [&] { return stopping_ || sending_ < senders_ || !job.waiters.empty(); });
    ++sending_;
    job.sending = true;
}

void ThreadedUploader::run_job(const std::string& name, std::unique_lock<std::mutex>& lock) {
    Job& job = jobs_[name];  // stays where it is: only this worker takes it out
    job.running = true;
    ++running_;
    ++packing_;
    PushRequest request;
    request.name = name;
    request.path = job.path;
    const bool ahead = job.ahead && job.waiters.empty();
    if (ahead) request.ready_file = ready_file(name);
    request.segment_size = options_.segment_size;
    request.system_identifier = options_.system_identifier;
    request.buffer_limit = buffer_limit_;
    request.on_packed = [this, &job] { begin_sending(job); };
    Bytes buffer;
    if (!spare_buffers_.empty()) {
        buffer = std::move(spare_buffers_.back());
        spare_buffers_.pop_back();
    }
    request.buffer = &buffer;
    lock.unlock();

    Measurement measurement;
    if (const auto waited = waiting_time(name)) measurement.add(Stage::kWait, *waited);
    const MeasuredScope measured(measurement);
    store::CallContext context;
    context.deadline = upload_deadline(options_.segment_size);
    context.cancel = &cancel_;
    forge::Result<PushResult> result = Status(Kind::kInternal, "not run");
    try {
        if (ahead) FORGE_CRASH_POINT("wal-ahead");
        result = push_if_allowed(*repository_, request, options_.guard.get(), context);
        if (result.ok() && result->outcome == PushOutcome::kStored) {
            measurement.plain = result->bytes_read;
            measurement.stored = result->bytes_stored;
            measurement.commit();
        }
    } catch (const std::bad_alloc&) {
        result = Status(Kind::kExhausted, "out of memory while archiving " + quoted(name));
    } catch (const std::exception& error) {
        result = Status(Kind::kInternal, "could not archive " + quoted(name) + ": " + error.what());
    }

    lock.lock();
    --running_;
    --(job.sending ? sending_ : packing_);
    spare_buffers_.push_back(std::move(buffer));
    finish_job(name, result);
    plan_ahead();
    if (jobs_.empty()) spare_buffers_.clear();
    work_changed_.notify_all();
    answers_changed_.notify_all();
}

void ThreadedUploader::finish_job(const std::string& name, const forge::Result<PushResult>& result) {
    Job job = std::move(jobs_[name]);
    jobs_.erase(name);
    if (result.ok() && result->outcome == PushOutcome::kNotReady) {
        if (job.waiters.empty()) return;
        // The server asked meanwhile, so there is somebody to tell what is wrong with the file.
        job.ahead = job.running = job.sending = false;
        jobs_.emplace(name, std::move(job));
        queue_.push_front(name);
        return;
    }
    if (result.ok()) {
        ++counters_.files;
        counters_.bytes_read += result->bytes_read;
        counters_.bytes_stored += result->bytes_stored;
        if (job.waiters.empty()) remember(name, result->last_end);
        if (job.ahead && !job.waiters.empty()) ++counters_.ahead_hits;
        failed_ahead_.clear();
    } else if (!result.status().is(Kind::kCancelled)) {
        ++counters_.failures;
        if (job.waiters.empty()) {
            failed_ahead_.insert(name);
            logger_.debug("could not archive " + quoted(name) + " ahead: " + result.status().to_string());
        }
    }
    for (Waiter& waiter : job.waiters)
        answer(name, std::move(waiter), result.ok() ? result->last_end : Uploader::Result(result.status()));
}

// Told once: who asks for a file again wants to know whether the store has it now.
void ThreadedUploader::remember(const std::string& name, const std::optional<WalEvent>& last_end) {
    if (!results_.try_emplace(name, last_end).second) return;
    if (result_order_.size() >= kMaxResults) {
        results_.erase(result_order_.front());
        result_order_.pop_front();
    }
    result_order_.push_back(name);
}

// Callbacks run on a thread of their own, without the lock: they may call request() again.
void ThreadedUploader::answer(const std::string& name, Waiter waiter, Uploader::Result result) {
    answers_.push_back({name, std::move(result), std::move(waiter.done)});
}

Deadline ThreadedUploader::next_expiry() const {
    Deadline next = Deadline::never();
    for (const auto& [name, job] : jobs_) {
        for (const Waiter& waiter : job.waiters) next = next.or_earlier(waiter.deadline);
    }
    return next;
}

void ThreadedUploader::expire_waiters() {
    for (auto& [name, job] : jobs_) {
        for (auto at = job.waiters.begin(); at != job.waiters.end();) {
            if (!at->deadline.passed()) {
                ++at;
                continue;
            }
            answer(name, std::move(*at),
                   Status(Kind::kTimeout, "WAL file " + quoted(name) + " was not stored in time; its upload goes on"));
            at = job.waiters.erase(at);
        }
    }
}

void ThreadedUploader::deliver() {
    std::unique_lock lock(mutex_);
    for (;;) {
        if (!workers_gone_) expire_waiters();
        if (!answers_.empty()) {
            Answer next = std::move(answers_.front());
            answers_.pop_front();
            lock.unlock();
            next.done(next.name, next.result);
            lock.lock();
            continue;
        }
        if (workers_gone_) return;
        // A millisecond more, so that the deadline has passed when this wakes up.
        answers_changed_.wait_for(lock, next_expiry().left() + milliseconds(1));
    }
}

}  // namespace

std::unique_ptr<Uploader> make_uploader(std::shared_ptr<repository::Repository> repository, UploaderOptions options,
                                        Logger& logger) {
    return std::make_unique<ThreadedUploader>(std::move(repository), std::move(options), logger);
}

Status push_wal_file(repository::Repository& repository, const std::string& name, const std::string& path,
                     std::uint64_t segment_size, const store::CallContext& context, WriteGuard* guard) {
    PushRequest request;
    request.name = name;
    request.path = path;
    request.segment_size = segment_size;
    const std::uint64_t memory = repository.settings().memory_limit;
    request.buffer_limit = packing_memory(segment_size) <= memory ? segment_size : memory / 4;
    return push_if_allowed(repository, request, guard, context).status();
}

}  // namespace forge::wal
