#include "core/settings/settings.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/settings/draft.h"
#include "core/settings/effective.h"
#include "core/settings/storage_url.h"

namespace forge::settings {

namespace {

struct FoundStorage {
    Found found;
    std::string text;
};

// A place that we cannot store to must not be taken for "off": WAL would be dropped.
Status refuse_other_storage(const Sources& sources) {
    const auto found = sources.variable({"WALG_GS_PREFIX", "WALE_GS_PREFIX", "WAL_GS_BUCKET", "WALG_AZ_PREFIX",
                                         "WALG_SWIFT_PREFIX", "WALE_SWIFT_PREFIX", "WALG_SSH_PREFIX"});
    if (!found) return {};
    return found->invalid("this kind of storage is not supported",
                          "Use an S3 bucket (WALG_S3_PREFIX) or a directory (WALG_FILE_PREFIX).");
}

// Nothing = off.
Result<std::optional<FoundStorage>> find_storage(const Sources& sources) {
    if (auto found = sources.setting("storage")) return std::optional(FoundStorage{*found, found->value});
    auto found = sources.variable({"WALG_S3_PREFIX", "WALE_S3_PREFIX", "WALG_FILE_PREFIX"});
    if (found) {
        const bool s3 = found->name != "WALG_FILE_PREFIX";
        if (s3 != found->value.starts_with("s3://")) {
            return found->invalid(
                s3 ? "this does not begin with \"s3://\"" : "this is no directory",
                "WALG_S3_PREFIX is written as \"s3://bucket/prefix\", WALG_FILE_PREFIX as \"/directory\".");
        }
        return std::optional(FoundStorage{*found, found->value});
    }
    found = sources.variable({"WAL_S3_BUCKET"});
    if (!found) {
        FORGE_TRY(refuse_other_storage(sources));
        return std::optional<FoundStorage>();
    }
    const std::string derived = derive_s3_prefix(sources.merged());
    if (derived.empty()) {
        return found->invalid("there is a bucket, but SCOPE or PGVERSION is missing to make a prefix",
                              "Set both, or set WALG_S3_PREFIX to the whole prefix.");
    }
    return std::optional(FoundStorage{*found, derived});
}

Status load_storage(Draft& draft) {
    Settings& settings = draft.settings;
    FORGE_ASSIGN(const std::optional<FoundStorage> storage, find_storage(draft.sources));
    if (!storage) {
        draft.note("storage", "", std::nullopt);
        return {};
    }
    std::string text = storage->text;
    const auto below = draft.sources.variable({"WALG_STORAGE_PREFIX"});
    if (below && storage->found.rank != 0) {
        text.erase(text.find_last_not_of('/') + 1);
        text += "/" + below->value.substr(std::min(below->value.find_first_not_of('/'), below->value.size()));
    }
    auto parsed = parse_storage(text);
    if (!parsed.ok()) return parsed.status().with_context(storage->found.subject());
    const StoragePlace& place = *parsed;
    settings.storage = place.url();
    settings.kind = place.directory.empty() ? StorageKind::kS3 : StorageKind::kDirectory;
    settings.directory = place.directory;
    settings.s3.bucket = place.bucket;
    settings.s3.prefix = place.prefix;
    draft.note("storage", settings.storage, storage->found);
    return {};
}

Result<codec::Method> writable_method(const Found& found) {
    auto method = codec::parse_method(found.value);
    if (!method.ok()) return method.status().with_context(found.subject());
    if (codec::is_writable(*method)) return method;
    return found.invalid(
        forge::quoted(found.value) + " is read only: objects compressed with it can be read, but not written",
        "Set \"compression\" to \"zstd\", \"brotli\", \"lz4\" or \"none\"; what is stored stays readable.");
}

// The names of WAL-G's levels, as levels of the zstd library.
Result<int> zstd_level(const Found& found) {
    constexpr std::pair<std::string_view, int> kLevels[] = {
        {"fastest", 1}, {"default", 3}, {"better", 7}, {"best", 11}};
    for (const auto& [name, level] : kLevels) {
        if (name == found.value) return level;
    }
    return found.invalid("unrecognized level " + forge::quoted(found.value),
                         "Available levels are \"fastest\", \"default\", \"better\" and \"best\".");
}

Status load_compression_level(Draft& draft) {
    const codec::Method method = draft.settings.compression;
    auto& level = draft.settings.compression_level;
    auto found = draft.sources.setting("compression_level", "-1");
    if (found && method != codec::Method::kNone) {
        const auto number = parse_number<int>(trim(found->value));
        const codec::LevelRange range = codec::level_range(method);
        if (!number || *number < range.lowest || *number > range.highest) {
            return found->invalid("invalid level " + forge::quoted(found->value),
                                  "Levels of " + std::string(codec::method_name(method)) + " are " +
                                      std::to_string(range.lowest) + " to " + std::to_string(range.highest) + ".");
        }
        level = *number;
    }
    if (!found) {
        found = draft.sources.variable({"WALG_ZSTD_LEVEL"});
        if (found) {
            FORGE_ASSIGN(const int named, zstd_level(*found));
            if (method == codec::Method::kZstd) level = named;
        }
    }
    draft.note("compression_level", level ? std::to_string(*level) : "", level ? found : std::nullopt);
    return {};
}

Status load_compression(Draft& draft) {
    Settings& settings = draft.settings;
    const auto found = draft.sources.find("compression", {"WALG_COMPRESSION_METHOD"});
    if (found) {
        FORGE_ASSIGN(settings.compression, writable_method(*found));
    }
    draft.note("compression", std::string(codec::method_name(settings.compression)), found);
    settings.backup_compression = settings.compression;
    const auto backup = draft.sources.variable({"WALG_BACKUP_COMPRESSION_METHOD"});
    // It is an exception to what the same source or a weaker one says, not to a stronger one.
    const bool applies = backup && (!found || backup->rank <= found->rank);
    if (applies) {
        FORGE_ASSIGN(settings.backup_compression, writable_method(*backup));
    }
    draft.note("backup_compression", std::string(codec::method_name(settings.backup_compression)),
               applies ? backup : found);
    return load_compression_level(draft);
}

Status load_foreign_prefix(Draft& draft) {
    const auto found = draft.sources.setting("foreign_prefix");
    if (found && found->value != "keep" && found->value != "drop")
        return found->invalid("unrecognized policy " + forge::quoted(found->value),
                              "Available policies are \"keep\" and \"drop\".");
    draft.settings.drop_foreign = found && found->value == "drop";
    draft.note("foreign_prefix", draft.settings.drop_foreign ? "drop" : "keep", found);
    return {};
}

// Decided by the scheduler, which reads it among the effective settings.
Status load_backup_from(Draft& draft) {
    auto found = draft.sources.setting("backup_from");
    std::string value = found ? found->value : "primary";
    if (found && value != "primary" && value != "standby" && value != "any")
        return found->invalid("unrecognized kind of member " + forge::quoted(value),
                              "Available kinds are \"primary\", \"standby\" and \"any\".");
    if (!found) {
        found = draft.sources.variable({"WALG_BACKUP_FROM_REPLICA"});
        if (found) {
            const auto standby = parse_bool(found->value);
            if (!standby)
                return found->invalid("invalid value " + forge::quoted(found->value), "Use \"true\" or \"false\".");
            if (*standby) value = "standby";
        }
    }
    draft.note("backup_from", value, found);
    return {};
}

// Only "off" changes what is stored; the server says the rest.
Status load_clone_policy(Draft& draft) {
    constexpr std::string_view kStandard = "warn";
    const auto found = draft.sources.setting("clone_policy", kStandard);
    const std::string policy = found ? found->value : std::string(kStandard);
    if (policy != "warn" && policy != "off" && policy != "on")
        return found->invalid("unrecognized policy " + forge::quoted(policy),
                              "Available policies are \"warn\", \"off\" and \"on\".");
    draft.note("clone_policy", policy, found);
    return {};
}

Status load_user_data(Draft& draft) {
    const auto found = draft.sources.find("user_data", {"WALG_SENTINEL_USER_DATA"});
    if (found) {
        if (!nlohmann::json::accept(found->value)) {
            return found->invalid("the user data is not valid JSON",
                                  "Write a JSON value; a text needs double quotes around it.");
        }
        draft.settings.user_data = found->value;
    }
    draft.note("user_data", draft.settings.user_data, found);
    return {};
}

// Fields with their lengths, so that no two lists of fields give the same text.
std::string digest_of(const std::vector<std::string>& fields) {
    std::string text;
    for (const std::string& field : fields) text += std::to_string(field.size()) + ":" + field;
    std::array<std::uint8_t, crypto_generichash_BYTES_MIN> digest{};
    const ByteView bytes = as_bytes(text);
    crypto_generichash(digest.data(), digest.size(), bytes.data(), bytes.size(), nullptr, 0);
    return to_hex(digest);
}

std::string epoch_digest(const Settings& settings) {
    const store::S3Options& s3 = settings.s3;
    std::vector<std::string> fields{
        settings.storage,
        s3.endpoint,
        s3.region,
        s3.path_style ? "path" : "host",
        s3.storage_class,
        s3.server_side_encryption,
        s3.kms_key_id,
        std::string(codec::method_name(settings.compression)),
        settings.compression_level ? std::to_string(*settings.compression_level) : "",
        std::string(codec::method_name(settings.backup_compression)),
    };
    for (const crypto::Key& key : settings.keys.keys()) fields.push_back(key.fingerprint());
    return digest_of(fields);
}

}  // namespace

void Draft::note(const std::string& name, const std::string& value, const std::optional<Found>& found) {
    settings.origins.push_back({name, value, found ? found->source : "default"});
}

std::string change_of_file(const std::string& path) {
    if (path.empty()) return {};
    const auto info = stat_path(path);
    if (!info.ok()) return {};
    return ", changed " + format_human(Instant::from_seconds(info->st_mtim.tv_sec));
}

std::string derive_s3_prefix(const std::map<std::string, std::string>& variables) {
    const auto value = [&variables](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? std::string() : found->second;
    };
    for (const char* name : {"WALG_S3_PREFIX", "WALE_S3_PREFIX"}) {
        if (std::string prefix = value(name); !prefix.empty()) return prefix;
    }
    const std::string bucket = value("WAL_S3_BUCKET");
    const std::string scope = value("SCOPE");
    const std::string version = value("PGVERSION");
    if (bucket.empty() || scope.empty() || version.empty()) return {};
    std::string site = value("WAL_BUCKET_SCOPE_PREFIX");
    const std::string name_space = value("POD_NAMESPACE");
    if (!variables.contains("WAL_BUCKET_SCOPE_PREFIX") && !name_space.empty() && name_space != "default") {
        site = name_space + "-";
    }
    return "s3://" + bucket + "/spilo/" + site + scope + value("WAL_BUCKET_SCOPE_SUFFIX") + "/wal/" + version;
}

std::string_view effective_value(const Settings& settings, std::string_view name) {
    for (const Settings::Origin& origin : settings.origins)
        if (origin.name == name) return origin.value;
    return {};
}

Result<Settings> load(const Inputs& inputs) {
    FORGE_ASSIGN(const Sources sources, Sources::read(inputs));
    Settings settings;
    Draft draft{inputs, sources, settings};
    FORGE_TRY(load_storage(draft));
    FORGE_TRY(load_limits(draft));
    // Without a store nothing is written: what would be wrong about it harms nobody, and must not turn "off" into
    // "broken".
    if (settings.kind != StorageKind::kOff) {
        if (settings.kind == StorageKind::kS3) FORGE_TRY(load_s3(draft));
        FORGE_TRY(load_compression(draft));
        FORGE_TRY(load_keys(draft));
        FORGE_TRY(load_user_data(draft));
        FORGE_TRY(load_delta(draft));
        FORGE_TRY(load_foreign_prefix(draft));
        FORGE_TRY(load_backup_from(draft));
        FORGE_TRY(load_clone_policy(draft));
    }
    if (settings.network_rate_limit > 0) {
        settings.s3.network_limit = std::make_shared<RateLimiter>(settings.network_rate_limit);
    }
    settings.epoch_digest = epoch_digest(settings);
    return settings;
}

}  // namespace forge::settings
