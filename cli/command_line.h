// The command line of one verb: the options every verb shares and its own, help, and complaints about bad usage. A thin
// shell around the option parser, so that only one file pays for compiling it.
//
// Not thread-safe. Variables handed in outlive the object.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/verbs.h"

namespace CLI {
class Option;
}

namespace forge::cli {

// Options that may stand before or after every verb.
struct GlobalOptions {
    std::map<std::string, std::string> settings;  // setting name ("s3_endpoint") -> value, only those given
    std::optional<std::string> env_dir;
    std::string secret_dir;
    std::string pgdata;
    std::string log_level = "notice";  // debug, info, notice, warning, error
    bool quiet = false;
};

// An option or an argument of a verb, as the manual and the completion of shells show it.
struct OptionText {
    std::string names;            // "-q,--quiet"; of an argument its name, "PGDATA"
    std::string value_name = {};  // "DIR"; empty = takes no value
    std::string help = {};
    std::string group = {};                // heading it stands below; empty = the verb's own
    std::vector<std::string> values = {};  // all that are allowed; empty = any
    bool required = false;
};

// All that a verb says of itself. Options are the verb's own, then those every verb has.
struct VerbText {
    std::vector<OptionText> arguments;
    std::vector<OptionText> options;
    std::string more;  // what --help shows below the options
};

class CommandLine {
public:
    // `words`: everything but the program's name and the verb. `as_walg`: called by that name; unknown options are
    // ignored with a warning.
    CommandLine(const Verb& verb, std::vector<std::string> words, bool as_walg);
    ~CommandLine();

    void positional(const std::string& name, std::string& into, const std::string& help, bool required);
    // `names` as "--target-dir" or "-f,--flag".
    void option(const std::string& names, std::string& into, const std::string& help, const std::string& value_name);
    void option(const std::string& names, int& into, const std::string& help, const std::string& value_name);
    void repeated(const std::string& names, std::vector<std::string>& into, const std::string& help,
                  const std::string& value_name);
    void flag(const std::string& names, bool& into, const std::string& help);
    void choice(const std::string& names, std::string& into, const std::vector<std::string>& values,
                const std::string& help);
    // Arguments nobody knows are ignored with a warning, and "--option=" counts as not given: for callers that pass on
    // whatever they were configured with.
    void ignore_unknown();
    // What --help shows below the options, as it is.
    void more_help(const std::string& text);

    // Nothing when the verb should go on; else the exit code (help was shown, or the usage was wrong).
    std::optional<int> parse();
    // "forge-backup VERB: error: MESSAGE" for usage that only the verb can judge; returns the exit code to end with.
    int bad_usage(const std::string& message) const;

    const GlobalOptions& global() const { return global_; }
    const Verb& verb() const { return verb_; }
    bool as_walg() const { return as_walg_; }

    // Name of an option as it stands on the command line -> does it take a value; nothing = none of the options every
    // verb has.
    static std::optional<bool> global_option_takes_value(std::string_view name);
    // What a verb says of itself, without running it. Not for hidden verbs.
    static VerbText describe(const Verb& verb);

private:
    struct Parser;
    void add_global_options();
    CLI::Option* show(const OptionText& text, CLI::Option* option);

    const Verb& verb_;
    std::vector<std::string> words_;
    bool as_walg_;
    GlobalOptions global_;
    VerbText text_;
    bool only_describes_ = false;
    std::unique_ptr<Parser> parser_;
};

}  // namespace forge::cli
