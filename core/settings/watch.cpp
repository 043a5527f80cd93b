#include <sys/stat.h>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/settings/env_dir.h"
#include "core/settings/settings.h"
#include "core/settings/sources.h"

namespace forge::settings {

namespace {

// Links are followed: a mount of Kubernetes changes by swapping a link, which gives every file another inode.
std::string state_of(const std::string& path) {
    struct ::stat info {};
    if (::stat(path.c_str(), &info) != 0) return "absent";
    const auto field = [](auto number) { return std::to_string(number) + "/"; };
    return field(info.st_dev) + field(info.st_ino) + field(info.st_size) + field(info.st_mtim.tv_sec) +
           field(info.st_mtim.tv_nsec);
}

std::string fingerprint_of(const std::vector<std::string>& paths) {
    std::string all;
    for (const std::string& path : paths) all += state_of(path) + "\n";
    return all;
}

void add_directory(const std::string& directory, std::vector<std::string>& paths) {
    if (directory.empty()) return;
    paths.push_back(directory);  // its time changes when a file appears or disappears
    const auto names = list_directory(directory);
    if (!names.ok()) return;
    for (const std::string& name : *names) {
        if (is_known_variable(name)) paths.push_back(join_path(directory, name));
    }
}

// Files that values name. A list that is wrong gives paths that do not exist, which is watched, too.
void add_named_files(const Inputs& inputs, std::vector<std::string>& paths) {
    const auto setting = [&inputs](const char* name) {
        const auto found = inputs.explicit_values.find(name);
        return found == inputs.explicit_values.end() ? std::string() : found->second;
    };
    for (const std::string& list : {setting("encryption_key_files"), setting("s3_ca_file")}) {
        for (const std::string& path : split(list, ',')) {
            if (!trim(path).empty()) paths.emplace_back(trim(path));
        }
    }
    const auto sources = Sources::read(inputs);
    if (!sources.ok()) return;
    for (const char* name : {"WALG_LIBSODIUM_KEY_PATH", "S3_CA_CERT_FILE", "FORGE_OLD_LIBSODIUM_KEYS"}) {
        const auto found = sources->variable({name});
        if (!found) continue;
        std::string list = found->value;
        for (char& c : list) c = c == ',' ? ' ' : c;
        for (const std::string& path : split(list, ' ')) {
            if (path.starts_with('/')) paths.push_back(path);
        }
    }
}

}  // namespace

Watch::Watch(const Inputs& inputs) {
    add_directory(inputs.secret_dir, paths_);
    add_directory(inputs.env_dir, paths_);
    add_named_files(inputs, paths_);
    fingerprint_ = fingerprint_of(paths_);
}

bool Watch::changed() const { return fingerprint_of(paths_) != fingerprint_; }

}  // namespace forge::settings
