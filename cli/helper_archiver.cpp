// The archiver's helper: ships the WAL files it is asked for, and the ones after them.
#include <future>
#include <map>

#include "cli/helper_roles.h"
#include "core/base/text.h"
#include "core/store/breaker.h"
#include "core/wal/uploader.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

class Archiver {
public:
    Archiver(Channel& channel, Logger& logger, const Hello& hello)
        : channel_(channel), logger_(logger), hello_(hello), config_(channel, logger, hello) {}
    ~Archiver();
    void run();

private:
    // A request of the server without an answer so far.
    struct Pending {
        std::string path;
        std::uint64_t epoch = 0;
        Deadline deadline = Deadline::never();
    };
    void archive(const Frame& frame);
    void forget(const Frame& frame);
    void follow_configuration();
    void start(const std::string& name, const Pending& pending);
    void finished(const std::string& name, std::uint64_t generation, const std::shared_ptr<store::Breaker>& breaker,
                  const wal::Uploader::Result& result);
    void tell_features(store::Breaker::State state);
    void answer(const std::string& name, std::uint64_t epoch, std::string_view state, const Status& result,
                const std::optional<wal::WalEvent>& last_end = std::nullopt);
    std::shared_ptr<store::Breaker> make_breaker();
    void set_breaker(std::shared_ptr<store::Breaker> breaker);
    std::shared_ptr<store::Breaker> current_breaker();
    void send_store_state(store::Breaker::State state, const Status& error);
    void send_owner(const wal::WriteGuard::View& view);
    Status refusal() const;

    Channel& channel_;
    Logger& logger_;
    const Hello& hello_;
    Configuration config_;
    std::mutex mutex_;
    std::map<std::string, Pending> pending_;
    std::atomic<std::uint64_t> generation_{0};  // of uploader_
    std::atomic<bool> drop_foreign_{false};     // WAL that may not be written anywhere is not wanted
    std::shared_ptr<store::Breaker> breaker_;
    std::shared_ptr<repository::Repository> repository_;  // that the uploader uses
    std::optional<bool> conditional_put_;                 // as far as the server was told
    std::unique_ptr<wal::Uploader> uploader_;
    std::vector<std::future<void>> retired_;  // uploaders of earlier settings on their way out
};

Archiver::~Archiver() {
    ++generation_;  // nobody is told any more
    uploader_.reset();
}

void Archiver::run() {
    while (true) {
        Frame frame;
        switch (channel_.receive(frame, seconds(1))) {
            case Channel::Event::kEnd: end_process_after(seconds(3)); return;
            case Channel::Event::kTimeout: config_.refresh(); break;
            case Channel::Event::kFrame:
                if (frame.type == FrameType::kConfigure)
                    config_.configure(frame);
                else if (frame.type == FrameType::kArchive)
                    archive(frame);
                else if (frame.type == FrameType::kForget)
                    forget(frame);
                break;
        }
        follow_configuration();
    }
}

// Makes the uploader fit the settings in force. What the server waits for is asked of the new one.
void Archiver::follow_configuration() {
    if (generation_ == config_.generation()) return;
    generation_ = config_.generation();
    std::erase_if(retired_,
                  [](const std::future<void>& one) { return one.wait_for(seconds(0)) == std::future_status::ready; });
    if (uploader_) {
        uploader_->cancel();  // now: once the new one has stored a file, the server may recycle it
        retired_.push_back(std::async(std::launch::async, [old = std::move(uploader_)]() mutable { old.reset(); }));
    }
    if (breaker_ && breaker_->state() != store::Breaker::State::kClosed)
        send_store_state(store::Breaker::State::kClosed, {});
    set_breaker(nullptr);
    {
        const std::lock_guard lock(mutex_);
        repository_ = config_.state() == Configuration::State::kOn ? config_.repository() : nullptr;
        conditional_put_.reset();
    }
    if (config_.state() == Configuration::State::kOn) {
        wal::UploaderOptions options;
        options.data_directory = hello_.data_directory;
        options.segment_size = hello_.segment_size;
        options.system_identifier = hello_.system_identifier;
        options.concurrency = config_.settings().upload_concurrency;
        options.memory_limit = config_.settings().memory_limit;
        options.guard = make_guard(config_.repository(), hello_,
                                   [this, generation = generation_.load()](const wal::WriteGuard::View& view) {
                                       if (generation == generation_) send_owner(view);
                                   });
        drop_foreign_ = config_.settings().drop_foreign;
        uploader_ = wal::make_uploader(config_.repository(), options, logger_);
        set_breaker(make_breaker());
    }
    std::map<std::string, Pending> waiting;
    {
        const std::lock_guard lock(mutex_);
        waiting.swap(pending_);
    }
    for (const auto& [name, pending] : waiting) start(name, pending);
}

void Archiver::archive(const Frame& frame) {
    config_.refresh();
    follow_configuration();
    Pending pending{std::string(frame.text(Tag::kPath)), frame.number(Tag::kEpoch), Deadline::never()};
    if (frame.has(Tag::kTimeoutMs)) pending.deadline = Deadline::after(milliseconds(frame.number(Tag::kTimeoutMs)));
    start(std::string(frame.text(Tag::kName)), pending);
}

void Archiver::start(const std::string& name, const Pending& pending) {
    if (!layout::classify_wal_name(name))
        return answer(name, pending.epoch, "error",
                      Status(Kind::kInvalid, "file " + quoted(name) + " is not a WAL file"));
    switch (config_.state()) {
        case Configuration::State::kOff:
            return answer(name, pending.epoch, config_.is_off_as_clone() ? "clone" : "off", Status());
        case Configuration::State::kError: return answer(name, pending.epoch, "error", config_.error());
        case Configuration::State::kOn: break;
    }
    if (!breaker_->allow()) return answer(name, pending.epoch, "on", refusal());
    {
        const std::lock_guard lock(mutex_);
        pending_[name] = pending;
    }
    uploader_->request(
        name, pending.path, pending.deadline,
        [this, generation = generation_.load(), breaker = breaker_](
            const std::string& done, const wal::Uploader::Result& result) { finished(done, generation, breaker, result); });
}

void Archiver::finished(const std::string& name, std::uint64_t generation,
                        const std::shared_ptr<store::Breaker>& breaker, const wal::Uploader::Result& result) {
    if (generation != generation_) return;
    Pending pending;
    {
        const std::lock_guard lock(mutex_);
        const auto found = pending_.find(name);
        if (found == pending_.end()) return;
        pending = std::move(found->second);
        pending_.erase(found);
    }
    // A file that takes longer than the server waits is no failure of the store: its upload goes on (N13).
    const Status status = result.status();
    const bool only_slow = status.is(Kind::kTimeout) && pending.deadline.passed();
    if (status.ok()) {
        breaker->success();
        tell_features(breaker->state());
    } else if (!only_slow)
        breaker->failure(status);
    if (status.is(Kind::kForeign) && drop_foreign_) return answer(name, pending.epoch, "foreign", Status());
    answer(name, pending.epoch, "on", status, status.ok() ? *result : std::nullopt);
}

// Known when the first file is stored; before the answer, so that who waits for that sees it.
void Archiver::tell_features(store::Breaker::State state) {
    {
        const std::lock_guard lock(mutex_);
        if (conditional_put_ || !repository_) return;
        const auto known = repository_->store().known_features();
        if (!known) return;
        conditional_put_ = known->conditional_put;
    }
    send_store_state(state, {});
}

void Archiver::answer(const std::string& name, std::uint64_t epoch, std::string_view state, const Status& result,
                      const std::optional<wal::WalEvent>& last_end) {
    Frame frame(FrameType::kArchived);
    frame.add(Tag::kName, name).add_number(Tag::kEpoch, epoch).add(Tag::kState, state);
    if (last_end)
        frame.add_number(Tag::kLatestLsn, last_end->end_lsn)
            .add_number(Tag::kLatestTime, static_cast<std::uint64_t>(last_end->time.micros()));
    channel_.send(add_status(frame, result));
}

void Archiver::forget(const Frame& frame) {
    const std::string name(frame.text(Tag::kName));
    {
        const std::lock_guard lock(mutex_);
        if (pending_.erase(name) == 0) return;
    }
    if (uploader_) uploader_->forget_request(name);
}

std::shared_ptr<store::Breaker> Archiver::make_breaker() {
    return std::make_shared<store::Breaker>(
        store::Breaker::Options{}, Steady::now, store::random_fraction,
        [this, generation = generation_.load()](store::Breaker::State state, const Status& error) {
            if (generation == generation_) send_store_state(state, error);
        });
}

// Changed by the receiving thread only, which therefore reads the member as it is; other threads ask here.
void Archiver::set_breaker(std::shared_ptr<store::Breaker> breaker) {
    const std::lock_guard lock(mutex_);
    breaker_ = std::move(breaker);
}

std::shared_ptr<store::Breaker> Archiver::current_breaker() {
    const std::lock_guard lock(mutex_);
    return breaker_;
}

void Archiver::send_store_state(store::Breaker::State state, const Status& error) {
    Frame frame(FrameType::kStoreState);
    frame.add(Tag::kState, store::breaker_state_name(state));
    const std::shared_ptr<store::Breaker> breaker = current_breaker();
    std::uint64_t next_try = 0;
    if (breaker && state != store::Breaker::State::kClosed) {
        frame.add_number(Tag::kFailures, static_cast<std::uint64_t>(breaker->failures()));
        if (const auto at = breaker->next_try()) {
            const auto wait = std::chrono::duration_cast<std::chrono::microseconds>(*at - Steady::now());
            next_try = static_cast<std::uint64_t>(SystemClock().now().micros() + wait.count());
        }
    } else {
        frame.add_number(Tag::kFailures, 0);
    }
    frame.add_number(Tag::kNextTry, next_try);
    {
        const std::lock_guard lock(mutex_);
        if (conditional_put_) frame.add(Tag::kConditionalPut, *conditional_put_ ? "yes" : "no");
    }
    channel_.send(add_status(frame, error));
}

void Archiver::send_owner(const wal::WriteGuard::View& view) {
    Frame frame(FrameType::kOwner);
    frame.add(Tag::kState, wal::guard_state_name(view.state)).add(Tag::kValue, view.detail);
    channel_.send(add_status(frame, view.problem));
}

Status Archiver::refusal() const {
    const Status last = breaker_->last_error();
    std::string wait = "soon";
    if (const auto at = breaker_->next_try()) {
        const double rest = std::chrono::duration<double>(*at - Steady::now()).count();
        if (rest > 0) wait = "in " + format_duration(rest);
    }
    return Status(last.ok() ? Kind::kUnavailable : last.kind(),
                  std::string(store::is_refusal(last) ? "the store refuses" : "the store does not answer") +
                      ", it is tried again " + wait + ": " + last.message(),
                  last.hint());
}

}  // namespace

void run_archiver_role(Channel& channel, Logger& logger, const Hello& hello) {
    Archiver archiver(channel, logger, hello);
    archiver.run();
}

}  // namespace forge::cli
