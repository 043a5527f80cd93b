#include "cli/common.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "cli/exit_codes.h"
#include "cli/server_settings.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

constexpr int kNothingButErrors = 100;

int lowest_level(const GlobalOptions& options) {
    if (options.quiet || options.log_level == "error") return kNothingButErrors;
    if (options.log_level == "debug") return static_cast<int>(LogLevel::kDebug);
    if (options.log_level == "info") return static_cast<int>(LogLevel::kInfo);
    if (options.log_level == "warning") return static_cast<int>(LogLevel::kWarning);
    return static_cast<int>(LogLevel::kNotice);
}

std::string_view label_of(LogLevel level) {
    switch (level) {
        case LogLevel::kDebug: return "debug";
        case LogLevel::kInfo: return "info";
        case LogLevel::kNotice: return "notice";
        case LogLevel::kWarning: return "warning";
    }
    return "notice";
}

// Variables whose values must not stand on a command line, or for which there is no option.
constexpr std::array<std::string_view, 19> kEnvironmentOnly{"AWS_ACCESS_KEY_ID",
                                                            "AWS_SECRET_ACCESS_KEY",
                                                            "AWS_SESSION_TOKEN",
                                                            "WALG_LIBSODIUM_KEY",
                                                            "WALG_LIBSODIUM_KEY_PATH",
                                                            "WALG_LIBSODIUM_KEY_TRANSFORM",
                                                            "FORGE_OLD_LIBSODIUM_KEYS",
                                                            "AWS_WEB_IDENTITY_TOKEN_FILE",
                                                            "AWS_ROLE_ARN",
                                                            "AWS_ROLE_SESSION_NAME",
                                                            "AWS_ENDPOINT_URL_STS",
                                                            "AWS_PROFILE",
                                                            "AWS_SHARED_CREDENTIALS_FILE",
                                                            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                                            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                                            "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                                            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                                            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                                            "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"};

bool may_be_option(std::string_view setting) {
    std::string option = "--" + std::string(setting);
    for (char& c : option)
        if (c == '_') c = '-';
    return CommandLine::global_option_takes_value(option).value_or(false);
}

// What matters only for writing is left out of the commands of a restore.
bool matters_for_reading(std::string_view setting) {
    return !setting.starts_with("compression") && setting != "upload_concurrency";
}

std::string option_word(std::string_view setting, std::string_view value) {
    std::string word = "--" + std::string(setting);
    for (char& c : word)
        if (c == '_') c = '-';
    return word + "=" + std::string(value);
}

// Files in settings are relative to this process's directory, which the caller of the words does not share.
std::string portable_value(std::string_view setting, const std::string& value) {
    if (setting == "s3_ca_file") return value.empty() ? value : absolute_path(value);
    if (setting != "encryption_key_files") return value;
    std::string all;
    for (const std::string& file : split(value, ',')) {
        if (!all.empty()) all += ',';
        all += absolute_path(std::string(trim(file)));
    }
    return all;
}

bool set_by_nobody(const settings::Settings& settings, const std::string& name) {
    if (name == "storage") return settings.kind == settings::StorageKind::kOff;
    for (const settings::Settings::Origin& origin : settings.origins)
        if (origin.name == name) return origin.source == "default" || origin.value.empty();
    return true;
}

Result<LoadedSettings> add_server_settings(LoadedSettings loaded, const GlobalOptions& options,
                                           const std::string& data_directory) {
    FORGE_ASSIGN(auto server, read_server_settings(data_directory));
    const auto has = [&server](const char* name) { return server.count(name) != 0 && !server[name].empty(); };
    bool reload = false;
    if (!options.env_dir && has("env_dir")) {
        loaded.inputs.env_dir = server["env_dir"];
        reload = true;
    }
    if (options.secret_dir.empty() && has("secret_dir")) {
        loaded.inputs.secret_dir = server["secret_dir"];
        reload = true;
    }
    if (reload) {
        FORGE_ASSIGN(loaded.settings, settings::load(loaded.inputs));
    }
    for (const auto& [name, value] : server)
        if (!value.empty() && name != "env_dir" && name != "secret_dir" && set_by_nobody(loaded.settings, name))
            loaded.inputs.explicit_values[name] = value;
    FORGE_ASSIGN(loaded.settings, settings::load(loaded.inputs));
    return loaded;
}

// What the server says of its own machine, where nothing else says something. A backup is worth more than its limits.
Result<LoadedSettings> add_server_limits(LoadedSettings loaded, const std::string& data_directory, Logger& logger) {
    const auto server = read_server_settings(data_directory);
    if (!server.ok()) {
        logger.warning("the limits that the server sets are not known: " + server.status().message());
        return loaded;
    }
    for (const char* const name : {"cpu_limit", "disk_rate_limit", "network_rate_limit"})
        if (const auto found = server->find(name); found != server->end() && set_by_nobody(loaded.settings, name))
            loaded.inputs.explicit_values[name] = found->second;
    FORGE_ASSIGN(loaded.settings, settings::load(loaded.inputs));
    return loaded;
}

}  // namespace

StderrLogger::StderrLogger(const GlobalOptions& options) : lowest_(lowest_level(options)) {}

void StderrLogger::write_line(std::string_view label, std::string_view message) {
    const std::lock_guard lock(mutex_);
    if (guard_) guard_(true);
    std::fprintf(stderr, "forge-backup: %.*s: %.*s\n", static_cast<int>(label.size()), label.data(),
                 static_cast<int>(message.size()), message.data());
    if (guard_) guard_(false);
}

void StderrLogger::log(LogLevel level, std::string_view message) {
    if (static_cast<int>(level) >= lowest_) write_line(label_of(level), message);
}

void StderrLogger::error(const Status& status) {
    write_line("error", status.message());
    if (!status.hint().empty()) write_line("hint", status.hint());
}

void StderrLogger::hint(std::string_view text) { write_line("hint", text); }

void StderrLogger::set_line_guard(std::function<void(bool)> guard) {
    const std::lock_guard lock(mutex_);
    guard_ = std::move(guard);
}

Result<LoadedSettings> load_settings(const GlobalOptions& options, const std::string& data_directory) {
    LoadedSettings loaded;
    loaded.inputs.explicit_values = options.settings;
    loaded.inputs.environment = settings::process_environment();
    if (options.env_dir) {
        if (!is_directory(*options.env_dir))
            return Status(Kind::kInvalid, "directory " + quoted(*options.env_dir) + " of --env-dir does not exist",
                          "Give a directory with one file for each variable.");
        loaded.inputs.env_dir = *options.env_dir;
    }
    loaded.inputs.secret_dir = options.secret_dir;
    FORGE_ASSIGN(loaded.settings, settings::load(loaded.inputs));
    if (!options.pgdata.empty()) return add_server_settings(std::move(loaded), options, options.pgdata);
    if (loaded.settings.kind == settings::StorageKind::kOff && !data_directory.empty() &&
        path_exists(join_path(data_directory, "PG_VERSION")))
        return add_server_settings(std::move(loaded), options, data_directory);
    return loaded;
}

Status no_storage() {
    return {Kind::kInvalid, "no storage is configured",
            "Use --storage, or set WALG_S3_PREFIX or WALG_FILE_PREFIX in the environment or in a file of --env-dir."};
}

SignalWatcher::SignalWatcher(CancelToken& token, milliseconds grace) : token_(token), grace_(grace) {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&set, number);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC));
    stop_ = Fd(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { watch(); });
}

SignalWatcher::~SignalWatcher() {
    const std::uint64_t one = 1;
    if (::write(stop_.get(), &one, sizeof(one)) == sizeof(one))
        thread_.join();
    else
        thread_.detach();
}

void SignalWatcher::watch() {
    std::array<pollfd, 2> wanted{pollfd{signals_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    while (true) {
        const int timeout = received_.load() == 0 ? -1 : static_cast<int>(grace_.count());
        const int ready = ::poll(wanted.data(), wanted.size(), timeout);
        if (ready < 0 && errno == EINTR) continue;
        if (wanted[1].revents != 0) return;
        if (ready == 0) ::_exit(kExitSignalBase + received_.load());
        signalfd_siginfo info{};
        if (::read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
        const bool second = received_.exchange(static_cast<int>(info.ssi_signo)) != 0;
        if (second) ::_exit(kExitSignalBase + received_.load());
        token_.cancel();
    }
}

void expect_quick_answers(settings::Settings& settings) {
    settings.s3.first_byte_timeout = seconds(10);
    settings.s3.stall_timeout = seconds(10);
    settings.s3.retry_time = seconds(8);  // what failed quickly is tried again; what took its time is reported
}

Session::Session(const CommandLine& line, milliseconds grace, Patience patience)
    : line_(line), patience_(patience), logger_(line.global()), signals_(cancel_, grace) {}

std::shared_ptr<repository::Repository> Session::open(const std::string& data_directory) {
    return open_loaded(load_settings(line_.global(), data_directory));
}

std::shared_ptr<repository::Repository> Session::open_beside_server(const std::string& data_directory) {
    Result<LoadedSettings> loaded = load_settings(line_.global(), data_directory);
    if (loaded.ok()) loaded = add_server_limits(std::move(loaded).value(), data_directory, logger_);
    return open_loaded(std::move(loaded));
}

std::shared_ptr<repository::Repository> Session::open_at(const std::string& storage) {
    GlobalOptions options = line_.global();
    options.settings["storage"] = storage;
    return open_loaded(load_settings(options));
}

std::shared_ptr<repository::Repository> Session::open_loaded(Result<LoadedSettings> loaded) {
    if (!loaded.ok()) {
        logger_.error(loaded.status());
        return nullptr;
    }
    loaded_ = std::move(loaded).value();
    if (loaded_->settings.kind == settings::StorageKind::kOff) {
        logger_.error(no_storage());
        return nullptr;
    }
    if (patience_ == Patience::kShort) expect_quick_answers(loaded_->settings);
    auto opened = repository::Repository::open(loaded_->settings, logger_);
    if (!opened.ok()) {
        logger_.error(opened.status());
        return nullptr;
    }
    return std::move(opened).value();
}

store::CallContext Session::context() const {
    store::CallContext context;
    context.cancel = &cancel_;
    return context;
}

int Session::fail(const Status& status) {
    logger_.error(status);
    return signals_.received() != 0 ? kExitSignalBase + signals_.received() : kExitFailure;
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
    constexpr std::string_view kUnits = "kMG";
    const std::size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
    if (unit == std::string_view::npos) return parse_number<std::uint64_t>(text);
    const auto number = parse_number<std::uint64_t>(text.substr(0, text.size() - 1));
    const std::size_t shift = 10 * (unit + 1);
    if (!number || *number > (UINT64_MAX >> 1 >> shift)) return std::nullopt;
    return *number << shift;
}

std::string own_path() {
    std::array<char, 4096> buffer{};
    const ssize_t length = ::readlink("/proc/self/exe", buffer.data(), buffer.size());
    return length > 0 ? std::string(buffer.data(), static_cast<std::size_t>(length)) : "forge-backup";
}

std::string absolute_path(const std::string& path) {
    if (path.starts_with('/')) return path;
    std::array<char, 4096> buffer{};
    if (::getcwd(buffer.data(), buffer.size()) == nullptr) return path;
    return join_path(buffer.data(), path);
}

std::vector<std::string> words_for_options(const GlobalOptions& options) {
    std::vector<std::string> words;
    for (const auto& [name, value] : options.settings) words.push_back(option_word(name, portable_value(name, value)));
    if (options.env_dir) words.push_back(option_word("env_dir", absolute_path(*options.env_dir)));
    if (!options.secret_dir.empty()) words.push_back(option_word("secret_dir", absolute_path(options.secret_dir)));
    if (!options.pgdata.empty()) words.push_back(option_word("pgdata", absolute_path(options.pgdata)));
    return words;
}

std::vector<std::string> words_for_inputs(const settings::Inputs& inputs) {
    std::vector<std::string> words;
    for (const auto& [name, value] : inputs.explicit_values)
        if (!value.empty() && may_be_option(name) && matters_for_reading(name))
            words.push_back(option_word(name, portable_value(name, value)));
    if (!inputs.env_dir.empty() && inputs.env_dir != settings::kDefaultEnvDir)
        words.push_back(option_word("env_dir", absolute_path(inputs.env_dir)));
    if (!inputs.secret_dir.empty()) words.push_back(option_word("secret_dir", absolute_path(inputs.secret_dir)));
    return words;
}

SettingWords words_for_same_settings(const GlobalOptions&, const LoadedSettings& loaded) {
    SettingWords result;
    result.words = words_for_inputs(loaded.inputs);
    for (const settings::Settings::Origin& origin : loaded.settings.origins) {
        if (!origin.source.starts_with("environment") || !may_be_option(origin.name) ||
            !matters_for_reading(origin.name) || origin.value.empty())
            continue;
        if (origin.name == "encryption_key_files" || origin.value.find("(secret)") != std::string::npos) continue;
        result.words.push_back(option_word(origin.name, portable_value(origin.name, origin.value)));
    }
    for (const std::string_view name : kEnvironmentOnly) {
        const auto found = loaded.inputs.environment.find(std::string(name));
        if (found != loaded.inputs.environment.end() && !found->second.empty())
            result.needs_environment.emplace_back(name);
    }
    return result;
}

std::string shell_words(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += " " + shell_quoted(word);
    return text;
}

}  // namespace forge::cli
