#include "core/settings/env_dir.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::settings {

namespace {

constexpr std::size_t kLargestFile = 64 << 10;
constexpr int kMountReads = 5;

using Variables = std::map<std::string, std::string>;

// Where the link "..data" of a Kubernetes mount points: the kubelet swaps it in one step, so two equal answers mean
// that nothing changed in between. Empty in other directories.
std::string mount_version(const std::string& directory) {
    std::array<char, 4096> target{};
    const ssize_t length = ::readlink(join_path(directory, "..data").c_str(), target.data(), target.size());
    return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

std::string value_of(std::string_view content) {
    std::string value(content.substr(0, content.find('\n')));
    value.erase(value.find_last_not_of(" \t") + 1);
    std::replace(value.begin(), value.end(), '\0', '\n');
    return value;
}

Result<Variables> read_files(const std::string& directory, const std::function<bool(std::string_view)>& wanted) {
    FORGE_ASSIGN(const std::vector<std::string> names, list_directory(directory));
    Variables variables;
    for (const std::string& name : names) {
        if (name.starts_with('.') || !wanted(name)) continue;
        const std::string path = join_path(directory, name);
        if (is_directory(path)) continue;
        FORGE_ASSIGN(const std::string content, read_file(path, kLargestFile));
        variables[name] = value_of(content);
    }
    return variables;
}

}  // namespace

Result<std::optional<Variables>> read_env_dir(const std::string& directory,
                                              const std::function<bool(std::string_view)>& wanted) {
    struct ::stat info {};
    if (::stat(directory.c_str(), &info) != 0) {
        // ENOTDIR: a part of the path is a file, which somebody has to look at.
        if (errno == ENOENT) return std::optional<Variables>();
        return errno_status(errno, "could not access directory", directory);
    }
    if (!S_ISDIR(info.st_mode)) {
        return Status(Kind::kInvalid, quoted(directory) + " is not a directory",
                      "Name a directory that holds one file for each variable.");
    }
    for (int attempt = 1;; ++attempt) {
        const std::string before = mount_version(directory);
        Result<Variables> variables = read_files(directory, wanted);
        if (mount_version(directory) == before || attempt == kMountReads) {
            if (!variables.ok()) return variables.status();
            return std::optional(std::move(variables).value());
        }
    }
}

}  // namespace forge::settings
