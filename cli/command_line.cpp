#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iostream>

#include "cli/exit_codes.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

// A setting of the server that is an option of every verb as well: "s3_endpoint" is --s3-endpoint.
struct SettingOption {
    std::string_view setting;
    std::string_view option;
    std::string_view value_name;
    std::string_view help;
};
constexpr std::array kSettingOptions{
    SettingOption{"storage", "--storage", "URL", "where the backups are: s3://bucket/prefix or file:///directory"},
    SettingOption{"s3_endpoint", "--s3-endpoint", "URL", "address of the S3 server: https://host[:port]"},
    SettingOption{"s3_region", "--s3-region", "NAME", "region the requests are signed for"},
    SettingOption{"s3_path_style", "--s3-path-style", "BOOL", "bucket in the path instead of the host name: on or off"},
    SettingOption{"s3_ca_file", "--s3-ca-file", "FILE", "certificates (PEM) to trust instead of the system's"},
    SettingOption{"compression", "--compression", "METHOD", "brotli, lz4, zstd or none, for what is written"},
    SettingOption{"compression_level", "--compression-level", "N", "level of the method"},
    SettingOption{"encryption_key_files", "--encryption-key-files", "LIST",
                  "files with keys, separated by commas: the first encrypts, all decrypt"},
    SettingOption{"upload_concurrency", "--upload-concurrency", "N", "uploads at a time"},
    SettingOption{"download_concurrency", "--download-concurrency", "N", "downloads at a time"},
};
constexpr std::array<std::string_view, 5> kOtherValueOptions{"--env-dir", "--secret-dir", "--pgdata", "--log-level",
                                                             "--config"};
constexpr std::array<std::string_view, 2> kOtherFlags{"--quiet", "-q"};
constexpr const char* kStorageGroup = "Where the backups are and how to read them";
constexpr const char* kMessageGroup = "Messages";
const std::vector<std::string> kLogLevels{"debug", "info", "notice", "warning", "error"};

std::string lower_first(std::string text) {
    if (text.size() > 1 && text[1] >= 'a' && text[1] <= 'z') text[0] = static_cast<char>(std::tolower(text[0]));
    return text;
}

}  // namespace

struct CommandLine::Parser {
    explicit Parser(const Verb& verb) : app(std::string(verb.purpose), "forge-backup " + std::string(verb.name)) {}
    CLI::App app;
    std::map<std::string, CLI::Option*> settings;
    std::string env_dir;
    std::string foreign_configuration;
    CLI::Option* env_dir_option = nullptr;
};

CommandLine::CommandLine(const Verb& verb, std::vector<std::string> words, bool as_walg)
    : verb_(verb), words_(std::move(words)), as_walg_(as_walg), parser_(std::make_unique<Parser>(verb)) {
    parser_->app.get_formatter()->column_width(34);
    parser_->app.set_help_flag("-h,--help", "show this help");
    if (as_walg_) parser_->app.allow_extras();
}

CommandLine::~CommandLine() = default;

void CommandLine::add_global_options() {
    CLI::App& app = parser_->app;
    for (const SettingOption& entry : kSettingOptions) {
        const OptionText text{std::string(entry.option), std::string(entry.value_name), std::string(entry.help),
                              kStorageGroup};
        const auto keep = [this, name = std::string(entry.setting)](const std::string& value) {
            global_.settings[name] = value;
        };
        show(text, app.add_option_function<std::string>(text.names, keep, text.help));
    }
    const auto add = [&](std::string& into, const OptionText& text) {
        return show(text, app.add_option(text.names, into, text.help));
    };
    parser_->env_dir_option = add(
        parser_->env_dir, {"--env-dir", "DIR", "directory with one file a variable (WALG_…, AWS_…)", kStorageGroup});
    add(global_.secret_dir,
        {"--secret-dir", "DIR", "the same form, wins over --env-dir; a mounted secret", kStorageGroup});
    add(global_.pgdata,
        {"--pgdata", "DIR", "data directory whose server's settings serve as the last source", kStorageGroup});
    add(global_.log_level,
        {"--log-level", "LEVEL", "debug, info, notice, warning or error", kMessageGroup, kLogLevels});
    // WAL-G's configuration file: its value must not be taken for an argument.
    if (as_walg_) app.add_option("--config", parser_->foreign_configuration)->group("");
    show({"-q,--quiet", "", "errors only", kMessageGroup}, app.add_flag("-q,--quiet", global_.quiet, "errors only"));
}

std::optional<bool> CommandLine::global_option_takes_value(std::string_view name) {
    const auto is_name = [name](const SettingOption& entry) { return entry.option == name; };
    if (std::any_of(kSettingOptions.begin(), kSettingOptions.end(), is_name)) return true;
    if (std::find(kOtherValueOptions.begin(), kOtherValueOptions.end(), name) != kOtherValueOptions.end()) return true;
    if (std::find(kOtherFlags.begin(), kOtherFlags.end(), name) != kOtherFlags.end()) return false;
    return std::nullopt;
}

// One text for the help, which the parser prints, and for all else that shows options.
CLI::Option* CommandLine::show(const OptionText& text, CLI::Option* option) {
    if (!text.value_name.empty()) option->type_name(text.value_name);
    if (!text.group.empty()) option->group(text.group);
    if (!text.values.empty()) option->check(CLI::IsMember(text.values));
    text_.options.push_back(text);
    return option;
}

void CommandLine::positional(const std::string& name, std::string& into, const std::string& help, bool required) {
    parser_->app.add_option(name, into, help)->required(required)->type_name("");
    text_.arguments.push_back({name, {}, help, {}, {}, required});
}

void CommandLine::option(const std::string& names, std::string& into, const std::string& help,
                         const std::string& value_name) {
    show({names, value_name, help}, parser_->app.add_option(names, into, help));
}

void CommandLine::option(const std::string& names, int& into, const std::string& help, const std::string& value_name) {
    show({names, value_name, help}, parser_->app.add_option(names, into, help));
}

void CommandLine::repeated(const std::string& names, std::vector<std::string>& into, const std::string& help,
                           const std::string& value_name) {
    show({names, value_name, help}, parser_->app.add_option(names, into, help))
        ->expected(1)
        ->take_all()
        ->allow_extra_args(false);
}

void CommandLine::flag(const std::string& names, bool& into, const std::string& help) {
    show({names, "", help}, parser_->app.add_flag(names, into, help));
}

void CommandLine::choice(const std::string& names, std::string& into, const std::vector<std::string>& values,
                         const std::string& help) {
    show({names, "WORD", help, {}, values}, parser_->app.add_option(names, into, help));
}

VerbText CommandLine::describe(const Verb& verb) {
    CommandLine line(verb, {}, false);
    line.only_describes_ = true;
    verb.run(line);  // as far as parse()
    return std::move(line.text_);
}

void CommandLine::ignore_unknown() {
    parser_->app.allow_extras();
    std::erase_if(words_, [](const std::string& word) { return word.starts_with("--") && word.ends_with('='); });
}

void CommandLine::more_help(const std::string& text) {
    parser_->app.footer("\n" + text);
    text_.more = text;
}

std::optional<int> CommandLine::parse() {
    add_global_options();
    if (only_describes_) return kExitOk;
    std::vector<std::string> reversed(words_.rbegin(), words_.rend());  // the parser wants them in this order
    try {
        parser_->app.parse(std::move(reversed));
    } catch (const CLI::CallForHelp&) {
        std::cout << parser_->app.help();
        return kExitOk;
    } catch (const CLI::ParseError& error) {
        return bad_usage(lower_first(error.what()));
    }
    if (parser_->env_dir_option->count() > 0) global_.env_dir = parser_->env_dir;
    if (!parser_->foreign_configuration.empty()) std::cerr << "forge-backup: warning: option \"--config\" is ignored\n";
    for (const std::string& word : parser_->app.remaining())
        std::cerr << "forge-backup: warning: argument " << quoted(word) << " is not known and is ignored\n";
    return std::nullopt;
}

int CommandLine::bad_usage(const std::string& message) const {
    std::cerr << "forge-backup " << verb_.name << ": error: " << message << "\n"
              << "forge-backup " << verb_.name << ": hint: Try \"forge-backup " << verb_.name << " --help\".\n";
    return verb_.is_restore_command ? kExitUnknown : kExitUsage;
}

}  // namespace forge::cli
