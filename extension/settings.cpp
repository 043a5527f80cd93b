#include "extension/settings.h"

namespace forge::server {

SettingValues settings;

namespace {

// Numbers that say nothing by default: the env directory or the software decides.
constexpr int kNotSet = -1;
constexpr int kLowestLevel = kNotSet;
constexpr int kHighestLevel = 22;

void define_text(const char* name, const char* description, const char* detail, char** variable, const char* value,
                 int flags = 0) {
    DefineCustomStringVariable(name, description, detail, variable, value, PGC_SIGHUP, flags, nullptr, nullptr,
                               nullptr);
}

struct Range {
    int lowest;
    int highest;
};

void define_number(const char* name, const char* description, const char* detail, int* variable, int value, Range range,
                   int flags = 0) {
    DefineCustomIntVariable(name, description, detail, variable, value, range.lowest, range.highest, PGC_SIGHUP, flags,
                            nullptr, nullptr, nullptr);
}

void define_storage_settings() {
    define_text(
        "forge_backup.storage", "Where WAL and base backups go.",
        "\"s3://bucket/prefix\" or \"file:///directory\". Empty means: what the env directory says; if that says "
        "nothing either, WAL is accepted and dropped.",
        &settings.storage, "");
    define_text("forge_backup.env_dir", "Directory with one file for each variable (WALG_*, AWS_*).",
                "A directory that does not exist counts as empty.", &settings.env_dir, "/run/etc/wal-e.d/env");
    define_text("forge_backup.secret_dir", "Directory of the same form as env_dir, which wins over it.",
                "Meant for a mounted secret.", &settings.secret_dir, "");
    define_text("forge_backup.s3_endpoint", "Address of the S3 store.", "Empty means: AWS_ENDPOINT, else Amazon's.",
                &settings.s3_endpoint, "");
    define_text("forge_backup.s3_region", "Region of the S3 store.", "Empty means: AWS_REGION.", &settings.s3_region,
                "");
    define_text("forge_backup.s3_path_style",
                "Whether the bucket stands in the path instead of the host name (on, off).",
                "Empty means: AWS_S3_FORCE_PATH_STYLE.", &settings.s3_path_style, "");
    define_text("forge_backup.s3_ca_file", "File with the certificates that the S3 store is checked against.",
                "Empty means: WALG_S3_CA_CERT_FILE, else those of the system.", &settings.s3_ca_file, "");
    define_text("forge_backup.compression", "Compression method: brotli, lz4, zstd or none.",
                "Empty means: WALG_COMPRESSION_METHOD, else zstd.", &settings.compression, "");
    define_number("forge_backup.compression_level", "Compression level of the method.",
                  "-1 means: the method's own default.", &settings.compression_level, kNotSet,
                  {kLowestLevel, kHighestLevel});
    define_text("forge_backup.encryption_key_files", "Files with encryption keys, separated by commas.",
                "The first key encrypts, all decrypt. Empty means: WALG_LIBSODIUM_KEY or WALG_LIBSODIUM_KEY_PATH.",
                &settings.encryption_key_files, "");
}

void define_schedule_settings() {
    define_text("forge_backup.schedule", "When base backups are made, as a cron expression.",
                "Empty means: on demand, and when there is none.", &settings.schedule, "0 */12 * * *");
    define_text("forge_backup.schedule_timezone", "Time zone of the schedule.", nullptr, &settings.schedule_timezone,
                "UTC");
    define_number("forge_backup.schedule_jitter",
                  "How much later than the schedule a base backup begins at most.",
                  "Each cluster has its own delay below it, always the same.", &settings.schedule_jitter, 30 * 1000,
                  {0, 24 * 3600 * 1000}, GUC_UNIT_MS);
    define_text("forge_backup.backup_from", "Which members make scheduled base backups: primary, standby or any.",
                "Empty means: standby if WALG_BACKUP_FROM_REPLICA is set, else primary.", &settings.backup_from, "");
    define_number("forge_backup.stand_in_after",
                  "How late a base backup of the schedule must be for the primary to make it instead of a standby.",
                  "In effect where standbys make them.", &settings.stand_in_after, 30, {0, 24 * 60}, GUC_UNIT_MIN);
    define_number("forge_backup.retain", "Number of base backups, and of days, to keep.",
                  "0 keeps all; -1 means: BACKUP_NUM_TO_RETAIN, else 5.", &settings.retain, kNotSet, {kNotSet, 10000});
    define_number("forge_backup.delta_max_steps", "Number of delta backups that may follow a full one.",
                  "0 makes every backup a full one; -1 means: WALG_DELTA_MAX_STEPS, else 0.", &settings.delta_max_steps,
                  kNotSet, {kNotSet, 1000});
    define_text("forge_backup.delta_origin", "What a delta backup builds on: LATEST or LATEST_FULL.",
                "The newest backup, or the full backup that it goes back to. Empty means: WALG_DELTA_ORIGIN, else "
                "LATEST.",
                &settings.delta_origin, "");
    define_number("forge_backup.check_interval",
                  "Time between two looks at whether the storage has all that is needed.",
                  "What is missing and still in pg_wal is archived again; for what is lost a base backup is made.",
                  &settings.check_interval, 5 * 60 * 1000, {1000, 24 * 3600 * 1000}, GUC_UNIT_MS);
    define_text("forge_backup.notify_database", "Database in which listeners of channel forge_backup learn of events.",
                "Empty means: nobody is notified.", &settings.notify_database, "");
    define_text("forge_backup.corrupt_pages", "What a base backup does that finds corrupt pages: warn or fail.",
                "With \"warn\" it is made, and they are recorded in it.", &settings.corrupt_pages, "warn");
    define_text("forge_backup.clone_policy", "What a restored copy does about backups of its own: warn, off or on.",
                nullptr, &settings.clone_policy, "warn");
    define_text("forge_backup.foreign_prefix",
                "What becomes of WAL where the prefix belongs to another cluster: keep or drop.",
                "Nothing is written there in either case. Empty means: keep.", &settings.foreign_prefix, "");
}

void define_limit_settings() {
    define_number("forge_backup.archive_timeout", "Longest time one call of the archiver may take.", nullptr,
                  &settings.archive_timeout, 30 * 1000, {1000, 3600 * 1000}, GUC_UNIT_MS);
    define_number("forge_backup.upload_concurrency", "Number of uploads at the same time.",
                  "0 means: WALG_UPLOAD_CONCURRENCY, else the number of processors, at most 10.",
                  &settings.upload_concurrency, 0, {0, 100});
    define_number("forge_backup.download_concurrency", "Number of downloads at the same time.",
                  "0 means: WALG_DOWNLOAD_CONCURRENCY, else the number of processors, at most 10.",
                  &settings.download_concurrency, 0, {0, 100});
    define_number("forge_backup.disk_rate_limit", "Bytes a second that a base backup reads at most; 0 for no limit.",
                  nullptr, &settings.disk_rate_limit, 0, {0, INT_MAX}, GUC_UNIT_BYTE);
    define_number("forge_backup.network_rate_limit", "Bytes a second that go to the store at most; 0 for no limit.",
                  nullptr, &settings.network_rate_limit, 0, {0, INT_MAX}, GUC_UNIT_BYTE);
    define_number("forge_backup.cpu_limit",
                  "Percent of the processors that a base backup takes at most while others are busy.",
                  "In effect while others use more than half of the processors; 100 means no limit.",
                  &settings.cpu_limit, 5, {1, 100});
    define_number("forge_backup.memory_limit", "Memory that one helper process may use.", nullptr,
                  &settings.memory_limit, 256 * 1024, {64 * 1024, INT_MAX}, GUC_UNIT_KB);
    define_number("forge_backup.backlog_limit", "WAL waiting for the store above which it is dropped; 0 for never.",
                  "The gap is recorded, and a base backup is made as soon as the store is back.",
                  &settings.backlog_limit, 0, {0, INT_MAX}, GUC_UNIT_MB);
    define_text("forge_backup.helper_path", "The executable forge-backup, which does all work with the store.", nullptr,
                &settings.helper_path, FORGE_HELPER_PATH, GUC_SUPERUSER_ONLY);
}

std::string number_text(int value, std::int64_t unit = 1) { return std::to_string(value * unit); }
// For numbers whose default says nothing.
std::string number_text_unless(int value, int nothing) { return value == nothing ? std::string() : number_text(value); }

}  // namespace

void define_settings() {
    define_storage_settings();
    define_schedule_settings();
    define_limit_settings();
    MarkGUCPrefixReserved("forge_backup");
}

std::vector<std::string> settings_snapshot() {
    std::vector<std::string> snapshot;
    const auto add = [&](std::string_view name, std::string_view value) {
        snapshot.push_back(std::string(name) + "=" + std::string(value));
    };
    const auto add_text = [&](std::string_view name, const char* value) { add(name, value != nullptr ? value : ""); };
    constexpr std::int64_t kKilobyte = 1024;
    add_text("storage", settings.storage);
    add_text("env_dir", settings.env_dir);
    add_text("secret_dir", settings.secret_dir);
    add_text("s3_endpoint", settings.s3_endpoint);
    add_text("s3_region", settings.s3_region);
    add_text("s3_path_style", settings.s3_path_style);
    add_text("s3_ca_file", settings.s3_ca_file);
    add_text("compression", settings.compression);
    add("compression_level", number_text_unless(settings.compression_level, kNotSet));
    add_text("encryption_key_files", settings.encryption_key_files);
    add("retain", number_text_unless(settings.retain, kNotSet));
    add("delta_max_steps", number_text_unless(settings.delta_max_steps, kNotSet));
    add_text("delta_origin", settings.delta_origin);
    add_text("clone_policy", settings.clone_policy);
    add_text("corrupt_pages", settings.corrupt_pages);
    add_text("backup_from", settings.backup_from);
    add_text("foreign_prefix", settings.foreign_prefix);
    add("upload_concurrency", number_text_unless(settings.upload_concurrency, 0));
    add("download_concurrency", number_text_unless(settings.download_concurrency, 0));
    add("disk_rate_limit", number_text(settings.disk_rate_limit));
    add("network_rate_limit", number_text(settings.network_rate_limit));
    add("cpu_limit", number_text(settings.cpu_limit));
    add("memory_limit", number_text(settings.memory_limit, kKilobyte));
    add("backlog_limit", number_text(settings.backlog_limit, kKilobyte * kKilobyte));
    return snapshot;
}

}  // namespace forge::server
