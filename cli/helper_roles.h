// What a helper does for the server, one class a role (core/protocol/frame.h has the conversation). Each role's run()
// returns when the peer is gone.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "cli/helper_channel.h"
#include "core/repository/repository.h"
#include "core/restore/marker.h"
#include "core/settings/settings.h"
#include "core/wal/write_guard.h"

namespace forge::cli {

// What the server said about itself.
struct Hello {
    std::string role;
    std::string data_directory;
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    std::uint64_t system_identifier = 0;
    int server_version = 0;
    std::string cluster_name;
};

// Who the server is, for the record of the prefix's owner.
repository::Identity identity_of(const Hello& hello);
// Whom to ask before anything is written with the settings in force.
std::shared_ptr<wal::WriteGuard> make_guard(const std::shared_ptr<repository::Repository>& repository,
                                            const Hello& hello, wal::WriteGuard::OnChange on_change = {});

// The settings in force, as the server sent them and the files now are. Used by the thread that receives.
class Configuration {
public:
    enum class State { kOff, kOn, kError };
    Configuration(Channel& channel, Logger& logger, const Hello& hello)
        : channel_(channel), logger_(logger), hello_(hello) {}

    // Takes over kConfigure and answers it.
    void configure(const protocol::Frame& frame);
    // Looks whether files changed (in the state "error": always), at most once a second, and tells the server when the
    // result is another one, or credentials were issued.
    void refresh();

    State state() const { return state_; }
    // kOff though there is a storage: this is a copy of another cluster, and the policy for those is "off".
    bool is_off_as_clone() const {
        return state_ == State::kOff && is_clone_ && settings_.kind != settings::StorageKind::kOff;
    }
    const Status& error() const { return error_; }                                             // of kError
    const std::shared_ptr<repository::Repository>& repository() const { return repository_; }  // null unless kOn
    const settings::Inputs& inputs() const { return inputs_; }
    const settings::Settings& settings() const { return settings_; }
    Status off() const;  // why nothing is stored, in the state kOff
    // Also of no storage, which checks and reports are there to say.
    Result<settings::Settings> settings_or_error() const;
    Result<std::shared_ptr<repository::Repository>> repository_or_error() const;
    std::uint64_t epoch() const { return epoch_; }
    // Another number whenever repository() is another one.
    std::uint64_t generation() const { return generation_; }

private:
    bool load();
    void look_for_marker(const settings::Settings& settings);
    void announce();
    std::string credentials_state() const;

    Channel& channel_;
    Logger& logger_;
    const Hello& hello_;
    settings::Inputs inputs_;
    std::unique_ptr<settings::Watch> watch_;
    Steady::time_point looked_{};
    State state_ = State::kOff;
    Status error_;
    settings::Settings settings_;
    std::optional<restore::Marker> marker_;  // of a restored data directory
    bool is_clone_ = false;
    std::string identity_;  // of everything that was loaded
    std::shared_ptr<repository::Repository> repository_;
    std::string announced_credentials_;  // what the server was told last
    std::uint64_t epoch_ = 0;
    std::uint64_t generation_ = 0;
    bool configured_ = false;
};

// One thread that does one thing after the other, so that the receiving thread stays free to notice the end.
class JobThread {
public:
    explicit JobThread(Logger& logger);
    ~JobThread();  // finishes what runs, drops what waits
    void add(std::function<void()> job);
    bool busy() const;

private:
    void work();
    Logger& logger_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> jobs_;
    bool running_ = false;
    bool stopping_ = false;
    std::thread thread_;
};

// After the end is noticed the process must not linger: exit 0 after `grace`, whatever still runs.
void end_process_after(milliseconds grace);

void run_archiver_role(Channel& channel, Logger& logger, const Hello& hello);
void run_backup_role(Channel& channel, Logger& logger, const Hello& hello);
void run_query_role(Channel& channel, Logger& logger, const Hello& hello);

}  // namespace forge::cli
