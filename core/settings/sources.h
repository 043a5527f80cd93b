// Where settings come from, in the order of settings.h, and which variables are known.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/status.h"
#include "core/settings/settings.h"

namespace forge::settings {

// True for a variable that load() looks at: everything else in an environment or directory is none of our business.
bool is_known_variable(std::string_view name);
// Their names, storage variables in the bare spelling only.
std::vector<std::string_view> known_variables();

// A value that somebody set.
struct Found {
    std::string name;    // of the setting or variable
    std::string value;   // not empty
    std::string source;  // "setting", "environment NAME", "file PATH"
    std::string file;    // path, where the source is a file
    int rank = 0;        // 0 = setting, higher = weaker source

    // 'setting "compression"', 'environment variable "X"', 'file "/…/X"': the beginning of an error message.
    std::string subject() const;
    // An error about this value; the value is part of it only if the caller puts it there.
    Status invalid(const std::string& text, const std::string& hint) const;
};

class Sources {
public:
    static Result<Sources> read(const Inputs& inputs);

    // The setting of that name; nothing when it is empty or `unset`, the value that stands for "not set" (a server
    // names each of its settings, so that a number's default is such a value).
    std::optional<Found> setting(const std::string& name, std::string_view unset = {}) const;
    // The strongest source that has one of the variables; within a source the first of them. An empty file hides the
    // variable in weaker sources. Storage variables are found with WALG_ and WALE_ in front as well.
    std::optional<Found> variable(std::initializer_list<std::string_view> names) const;
    std::optional<Found> find(const std::string& setting_name, std::initializer_list<std::string_view> variables) const;
    // Every variable with its strongest value, empty ones included.
    std::map<std::string, std::string> merged() const;
    // "/etc/a" or "/etc/b": where a variable could be set, for hints.
    std::string places() const;

private:
    // False if there is no such directory.
    Result<bool> add_directory(const std::string& directory);

    struct Layer {
        std::string directory;  // empty: the environment
        std::map<std::string, std::string> variables;
    };
    std::map<std::string, std::string> settings_;
    std::vector<Layer> layers_;
    std::string places_;
};

}  // namespace forge::settings
