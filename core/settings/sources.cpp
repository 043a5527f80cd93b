#include "core/settings/sources.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/settings/env_dir.h"

namespace forge::settings {

namespace {

// Accepted bare, with WALG_ and with WALE_ in front (walg-format 10).
constexpr std::array<std::string_view, 15> kStorageVariables{
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT",
    "AWS_REGION",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_S3_FORCE_PATH_STYLE",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_SESSION_TOKEN",
    "S3_CA_CERT_FILE",
    "S3_SSE",
    "S3_SSE_C",
    "S3_SSE_KMS_ID",
    "S3_STORAGE_CLASS",
};

constexpr std::array<std::string_view, 54> kOtherVariables{
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "BACKUP_NUM_TO_RETAIN",
    "FORGE_OLD_LIBSODIUM_KEYS",
    "PGVERSION",
    "POD_NAMESPACE",
    "SCOPE",
    "WALE_GPG_KEY_ID",
    "WALE_GS_PREFIX",
    "WALE_S3_ENDPOINT",
    "WALE_S3_PREFIX",
    "WALE_SWIFT_PREFIX",
    "WALG_AZ_PREFIX",
    "WALG_BACKUP_COMPRESSION_METHOD",
    "WALG_BACKUP_FROM_REPLICA",
    "WALG_COMPRESSION_METHOD",
    "WALG_CSE_KMS_ID",
    "WALG_DELTA_FROM_NAME",
    "WALG_DELTA_FROM_USER_DATA",
    "WALG_DELTA_MAX_STEPS",
    "WALG_DELTA_ORIGIN",
    "WALG_DISK_RATE_LIMIT",
    "WALG_DOWNLOAD_CONCURRENCY",
    "WALG_FILE_PREFIX",
    "WALG_GPG_KEY_ID",
    "WALG_GS_PREFIX",
    "WALG_LIBSODIUM_KEY",
    "WALG_LIBSODIUM_KEY_PATH",
    "WALG_LIBSODIUM_KEY_TRANSFORM",
    "WALG_NETWORK_RATE_LIMIT",
    "WALG_PGP_KEY",
    "WALG_PGP_KEY_PATH",
    "WALG_S3_PREFIX",
    "WALG_SENTINEL_USER_DATA",
    "WALG_SSH_PREFIX",
    "WALG_STORAGE_PREFIX",
    "WALG_SWIFT_PREFIX",
    "WALG_TAR_SIZE_THRESHOLD",
    "WALG_UPLOAD_CONCURRENCY",
    "WALG_ZSTD_LEVEL",
    "WAL_BUCKET_SCOPE_PREFIX",
    "WAL_BUCKET_SCOPE_SUFFIX",
    "WAL_GS_BUCKET",
    "WAL_S3_BUCKET",
    "YC_CSE_KMS_KEY_ID",
};

template <typename List>
bool contains(const List& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
}

bool is_storage_variable(std::string_view name) { return contains(kStorageVariables, name); }

// The names under which a variable may appear, in the order of preference.
std::vector<std::string> spellings(std::string_view name) {
    std::vector<std::string> all{std::string(name)};
    if (is_storage_variable(name)) {
        all.push_back("WALG_" + std::string(name));
        all.push_back("WALE_" + std::string(name));
    }
    return all;
}

}  // namespace

bool is_known_variable(std::string_view name) {
    if (contains(kOtherVariables, name) || is_storage_variable(name)) return true;
    return (name.starts_with("WALG_") || name.starts_with("WALE_")) && is_storage_variable(name.substr(5));
}

std::vector<std::string_view> known_variables() {
    std::vector<std::string_view> names(kStorageVariables.begin(), kStorageVariables.end());
    names.insert(names.end(), kOtherVariables.begin(), kOtherVariables.end());
    return names;
}

std::map<std::string, std::string> process_environment() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        const std::size_t equals = text.find('=');
        if (equals == std::string_view::npos || !is_known_variable(text.substr(0, equals))) continue;
        variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

std::string Found::subject() const {
    if (rank == 0) return "setting " + quoted(name);
    if (file.empty()) return "environment variable " + quoted(name);
    return "file " + quoted(file);
}

Status Found::invalid(const std::string& text, const std::string& hint) const {
    return Status(Kind::kInvalid, text, hint).with_context(subject());
}

Result<Sources> Sources::read(const Inputs& inputs) {
    Sources sources;
    sources.settings_ = inputs.explicit_values;
    sources.layers_.push_back({"", inputs.environment});
    if (!inputs.secret_dir.empty()) {
        FORGE_ASSIGN(const bool there, sources.add_directory(inputs.secret_dir));
        // Somebody said that secrets are there. Without them we would take half a configuration for a whole one.
        if (!there) {
            return Status(Kind::kInvalid,
                          "directory " + quoted(inputs.secret_dir) + " of \"secret_dir\" does not exist",
                          "Mount the secret there, or empty the setting \"secret_dir\".");
        }
    }
    if (!inputs.env_dir.empty()) {
        FORGE_ASSIGN([[maybe_unused]] const bool there, sources.add_directory(inputs.env_dir));
    }
    if (sources.places_.empty()) sources.places_ = "the environment";
    return sources;
}

Result<bool> Sources::add_directory(const std::string& directory) {
    places_ += (places_.empty() ? "" : " or ") + quoted(directory);
    FORGE_ASSIGN(auto variables, read_env_dir(directory, is_known_variable));
    if (!variables) return false;
    layers_.push_back({directory, std::move(*variables)});
    return true;
}

std::optional<Found> Sources::setting(const std::string& name, std::string_view unset) const {
    const auto found = settings_.find(name);
    if (found == settings_.end() || found->second.empty() || found->second == unset) return std::nullopt;
    return Found{name, found->second, "setting", "", 0};
}

std::optional<Found> Sources::variable(std::initializer_list<std::string_view> names) const {
    std::set<std::string> hidden;
    int rank = 0;
    for (const Layer& layer : layers_) {
        ++rank;
        for (const std::string_view name : names) {
            for (const std::string& spelling : spellings(name)) {
                const auto found = layer.variables.find(spelling);
                if (found == layer.variables.end() || hidden.contains(spelling)) continue;
                if (found->second.empty()) {
                    if (!layer.directory.empty()) hidden.insert(spelling);
                    continue;
                }
                if (layer.directory.empty()) {
                    return Found{spelling, found->second, "environment " + spelling, "", rank};
                }
                const std::string path = join_path(layer.directory, spelling);
                return Found{spelling, found->second, "file " + path, path, rank};
            }
        }
    }
    return std::nullopt;
}

std::optional<Found> Sources::find(const std::string& setting_name,
                                   std::initializer_list<std::string_view> variables) const {
    if (auto found = setting(setting_name)) return found;
    return variable(variables);
}

std::map<std::string, std::string> Sources::merged() const {
    std::map<std::string, std::string> all;
    for (const Layer& layer : layers_) {
        for (const auto& [name, value] : layer.variables) {
            // An empty variable of the environment counts as unset there.
            if (!value.empty() || !layer.directory.empty()) all.emplace(name, value);
        }
    }
    // Set to nothing everywhere is still something else than not set (the site prefix).
    for (const Layer& layer : layers_) all.insert(layer.variables.begin(), layer.variables.end());
    return all;
}

std::string Sources::places() const { return places_; }

}  // namespace forge::settings
