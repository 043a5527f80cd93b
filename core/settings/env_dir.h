// A directory with one file a variable, as envdir and Kubernetes mounts have it (spilo-contract 1.1): the file's name
// is the variable, its first line the value with trailing blanks and tabs cut, NUL bytes read as line ends; an empty
// file unsets the variable.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace forge::settings {

// Variable -> value, "" for an empty file; nothing if the directory does not exist. Only files whose name `wanted`
// accepts are read, so that other things may lie beside them. A mount that Kubernetes refreshes meanwhile is read
// again, so all values are of one moment. kDenied for what cannot be read, kInvalid for what is no directory or no line
// of text.
Result<std::optional<std::map<std::string, std::string>>>
read_env_dir(const std::string& directory, const std::function<bool(std::string_view)>& wanted);

}  // namespace forge::settings
