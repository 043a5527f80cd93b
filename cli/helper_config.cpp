#include <unistd.h>

#include "cli/common.h"
#include "cli/helper_roles.h"
#include "cli/server_identity.h"
#include "cli/version.h"
#include "core/base/text.h"
#include "core/settings/effective.h"

namespace forge::cli {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;

namespace {

std::string digest_of(const settings::Settings& settings, bool unwanted) {
    std::string all = settings.epoch_digest + (unwanted ? "\nunwanted clone" : "");
    for (const settings::Settings::Origin& origin : settings.origins)
        all += "\n" + origin.name + "\t" + origin.value + "\t" + origin.source;
    return all;
}

settings::Inputs inputs_of(const Frame& frame) {
    settings::Inputs inputs;
    for (const std::string_view word : frame.all(Tag::kSetting)) {
        const std::size_t equals = word.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string name(word.substr(0, equals));
        const std::string value(word.substr(equals + 1));
        if (name == "env_dir")
            inputs.env_dir = value;
        else if (name == "secret_dir")
            inputs.secret_dir = value;
        else
            inputs.explicit_values[name] = value;
    }
    return inputs;
}

}  // namespace

void Configuration::configure(const Frame& frame) {
    inputs_ = inputs_of(frame);
    epoch_ = frame.number(Tag::kEpoch);
    configured_ = true;
    load();
    announce();
}

void Configuration::refresh() {
    const Steady::time_point now = Steady::now();
    if (!configured_ || now - looked_ < seconds(1)) return;
    looked_ = now;
    const bool changed = (state_ == State::kError || watch_->changed()) && load();
    if (changed || credentials_state() != announced_credentials_) announce();
}

// What has become of credentials that are issued; empty where they are written down.
std::string Configuration::credentials_state() const {
    const auto& describe = settings_.s3.describe_credentials;
    return state_ == State::kOn && describe ? describe() : std::string();
}

// True when the result is another one than before.
bool Configuration::load() {
    looked_ = Steady::now();
    watch_ = std::make_unique<settings::Watch>(inputs_);  // before reading: a change meanwhile is seen the next time
    Result<settings::Settings> loaded = settings::load(inputs_);
    if (loaded.ok()) look_for_marker(*loaded);
    const bool unwanted = loaded.ok() && is_clone_ && settings::effective_value(*loaded, "clone_policy") == "off";
    std::string identity = loaded.ok() ? digest_of(*loaded, unwanted) : "error\n" + loaded.status().to_string();
    std::shared_ptr<repository::Repository> opened;
    Status failure = loaded.status();
    if (loaded.ok() && identity == identity_) return false;
    if (loaded.ok() && loaded->kind != settings::StorageKind::kOff && !unwanted) {
        auto result = repository::Repository::open(*loaded, logger_);
        failure = result.status();
        if (result.ok())
            opened = std::move(result).value();
        else
            identity = "error\n" + failure.to_string();
    }
    if (identity == identity_) return false;
    identity_ = std::move(identity);
    error_ = failure;
    state_ = !failure.ok() ? State::kError : opened ? State::kOn : State::kOff;
    if (loaded.ok()) settings_ = std::move(loaded).value();
    repository_ = std::move(opened);
    ++generation_;
    return true;
}

void Configuration::look_for_marker(const settings::Settings& settings) {
    marker_ = restore::read_marker(hello_.data_directory);
    is_clone_ = marker_ && restore::is_clone(*marker_, hello_.cluster_name, settings.storage);
}

void Configuration::announce() {
    announced_credentials_ = credentials_state();
    Frame frame(FrameType::kConfigured);
    frame.add_number(Tag::kEpoch, epoch_);
    frame.add(Tag::kState, state_ == State::kOn      ? "on"
                           : is_off_as_clone()     ? "clone"
                           : state_ == State::kOff ? "off"
                                                   : "error");
    frame.add(Tag::kStorage, state_ == State::kError ? std::string() : settings_.storage);
    if (state_ == State::kError) {
        add_status(frame, error_);
    } else {
        for (const crypto::Key& key : settings_.keys.keys())
            frame.add(Tag::kKey, key.fingerprint() + "\t" + key.origin());
        if (is_off_as_clone()) add_status(frame, off());
        for (const settings::Settings::Origin& origin : settings_.origins) {
            const bool live = origin.name == "s3_credentials" && !announced_credentials_.empty();
            frame.add(Tag::kSetting,
                      origin.name + "\t" + (live ? announced_credentials_ : origin.value) + "\t" + origin.source);
        }
    }
    if (marker_) {
        frame.add(Tag::kSource, marker_->source_cluster.empty() ? marker_->source : marker_->source_cluster);
        frame.add_number(Tag::kRestoredAt, static_cast<std::uint64_t>(marker_->restored_at.micros()));
        frame.add_number(Tag::kClone, is_clone_ ? 1 : 0);
    }
    channel_.send(frame);
}

Status Configuration::off() const {
    if (!is_off_as_clone()) return no_storage();
    return restore::unwanted_clone(*marker_);
}

Result<settings::Settings> Configuration::settings_or_error() const {
    if (state_ == State::kError) return error_;
    if (is_off_as_clone()) return off();
    return settings_;
}

Result<std::shared_ptr<repository::Repository>> Configuration::repository_or_error() const {
    if (state_ == State::kError) return error_;
    if (state_ == State::kOff) return off();
    return repository_;
}

repository::Identity identity_of(const Hello& hello) {
    return {hello.system_identifier, hello.cluster_name, name_space_of_process()};
}

std::shared_ptr<wal::WriteGuard> make_guard(const std::shared_ptr<repository::Repository>& repository,
                                            const Hello& hello, wal::WriteGuard::OnChange on_change) {
    wal::GuardOptions options;
    options.identity = identity_of(hello);
    options.created_by = product();
    options.data_directory = hello.data_directory;
    return std::make_shared<wal::WriteGuard>(repository, std::move(options), std::move(on_change));
}

JobThread::JobThread(Logger& logger) : logger_(logger), thread_([this] { work(); }) {}

JobThread::~JobThread() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        jobs_.clear();
    }
    changed_.notify_all();
    thread_.join();
}

void JobThread::add(std::function<void()> job) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
    }
    changed_.notify_all();
}

bool JobThread::busy() const {
    const std::lock_guard lock(mutex_);
    return running_ || !jobs_.empty();
}

void JobThread::work() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
        if (stopping_) return;
        const std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        running_ = true;
        lock.unlock();
        try {
            job();
        } catch (const std::exception& error) {
            logger_.warning(std::string("helper request failed: ") + error.what());
            ::_exit(1);  // the server takes the end of the link as failure of the request
        }
        lock.lock();
        running_ = false;
    }
}

void end_process_after(milliseconds grace) {
    std::thread([grace] {
        std::this_thread::sleep_for(grace);
        ::_exit(0);
    }).detach();
}

}  // namespace forge::cli
