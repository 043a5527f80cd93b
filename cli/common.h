// What every verb does first: messages to standard error, settings from the options, the store, and the answer to
// signals.
#pragma once

#include <signal.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/command_line.h"
#include "core/base/cancel.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/repository/repository.h"
#include "core/settings/settings.h"

namespace forge::cli {

// "forge-backup: warning: MESSAGE" on standard error. Thread-safe.
class StderrLogger final : public Logger {
public:
    explicit StderrLogger(const GlobalOptions& options);
    void log(LogLevel level, std::string_view message) override;
    // "forge-backup: error: …" and "forge-backup: hint: …"; never suppressed.
    void error(const Status& status);
    void hint(std::string_view text);
    // Called before a line is written (with true) and after it (with false): a progress line on a terminal makes room.
    void set_line_guard(std::function<void(bool)> guard);

private:
    void write_line(std::string_view label, std::string_view message);
    std::mutex mutex_;
    int lowest_;
    std::function<void(bool)> guard_;
};

// The sources of settings in the order of the design. With --pgdata, or where nothing says where the backups are and
// `data_directory` is not empty, the server's own settings fill what no other source sets.
struct LoadedSettings {
    settings::Inputs inputs;  // to give to a later load or to a helper
    settings::Settings settings;
};
Result<LoadedSettings> load_settings(const GlobalOptions& options, const std::string& data_directory = {});
// The error for settings without storage.
Status no_storage();

// Cancels `token` when SIGINT, SIGTERM, SIGHUP or SIGQUIT arrives, and ends the process with 128 + signal where it has
// not ended by itself `grace` later. Make it before the first thread: the signals stay blocked everywhere else.
class SignalWatcher {
public:
    SignalWatcher(CancelToken& token, milliseconds grace);
    ~SignalWatcher();
    SignalWatcher(const SignalWatcher&) = delete;
    SignalWatcher& operator=(const SignalWatcher&) = delete;
    // 0 = none came.
    int received() const { return received_.load(); }

private:
    void watch();
    CancelToken& token_;
    milliseconds grace_;
    std::atomic<int> received_{0};
    Fd signals_;
    Fd stop_;
    std::thread thread_;
};

// For verbs whose answer somebody waits for: a store that says nothing is reported after 10 s.
void expect_quick_answers(settings::Settings& settings);

// Everything a verb that talks to the store needs; nothing is done before open().
class Session {
public:
    enum class Patience { kLong, kShort };  // kShort: expect_quick_answers()
    // `grace`: how long clean-up may take after a signal.
    explicit Session(const CommandLine& line, milliseconds grace = seconds(10), Patience patience = Patience::kLong);
    // Reads the settings and opens the store; off is an error. Null = an error was reported. `data_directory` as for
    // load_settings().
    std::shared_ptr<repository::Repository> open(const std::string& data_directory = {});

    // As open(), beside the server of `data_directory`: whatever storage is meant, what its operator allows programs to
    // take of its machine and network holds (cpu_limit and the rate limits), where nothing else sets that.
    std::shared_ptr<repository::Repository> open_beside_server(const std::string& data_directory);
    // The same with another storage than the settings say.
    std::shared_ptr<repository::Repository> open_at(const std::string& storage);

    store::CallContext context() const;
    StderrLogger& log() { return logger_; }
    CancelToken& cancel() { return cancel_; }
    const LoadedSettings& loaded() const { return *loaded_; }
    // Reports the failure and returns the exit code: 128 + signal after a signal, else kExitFailure.
    int fail(const Status& status);
    int signal() const { return signals_.received(); }  // 0 = none

private:
    std::shared_ptr<repository::Repository> open_loaded(Result<LoadedSettings> loaded);

    const CommandLine& line_;
    const Patience patience_;
    StderrLogger logger_;
    CancelToken cancel_;
    SignalWatcher signals_;
    std::optional<LoadedSettings> loaded_;
};

// The options of settings that were given, as words for another call.
std::vector<std::string> words_for_options(const GlobalOptions& options);

// "500000", "500k", "20M", "1G": bytes, with units as powers of 1024.
std::optional<std::uint64_t> parse_rate(std::string_view text);

// This executable's absolute path.
std::string own_path();
std::string absolute_path(const std::string& path);

// The words that make another call of this executable read the same storage: options given here, and what came from
// variables of this process's environment but is no secret. `needs_environment`: variables with secrets that cannot be
// passed on, empty = none.
struct SettingWords {
    std::vector<std::string> words;
    std::vector<std::string> needs_environment;
};
SettingWords words_for_same_settings(const GlobalOptions& options, const LoadedSettings& loaded);
// The same for a helper, whose settings are the server's.
std::vector<std::string> words_for_inputs(const settings::Inputs& inputs);
// "--storage=… --env-dir=…" with shell quoting, a blank before each.
std::string shell_words(const std::vector<std::string>& words);

}  // namespace forge::cli
