// Every setting of the server side, in one table. All of them are reload-level, and none of them refuses a value of the
// right type: a server must start whatever the text says, so what a text means is judged by the helper (storage,
// compression, keys) and by the scheduler (schedule), and shown by status().
#pragma once

#include "extension/compat.h"

namespace forge::server {

struct SettingValues {
    char* storage;
    char* env_dir;
    char* secret_dir;
    char* s3_endpoint;
    char* s3_region;
    char* s3_path_style;
    char* s3_ca_file;
    char* compression;
    int compression_level;
    char* encryption_key_files;
    char* schedule;
    char* schedule_timezone;
    int schedule_jitter;  // milliseconds
    char* backup_from;
    int stand_in_after;  // minutes
    int retain;
    int delta_max_steps;
    char* delta_origin;
    char* clone_policy;
    char* corrupt_pages;
    char* foreign_prefix;
    int archive_timeout;  // milliseconds
    int upload_concurrency;
    int download_concurrency;
    int disk_rate_limit;     // bytes a second
    int network_rate_limit;  // bytes a second
    int cpu_limit;           // percent of all processors
    int memory_limit;        // kilobytes
    int backlog_limit;       // megabytes
    int check_interval;      // milliseconds
    char* notify_database;
    char* helper_path;
};
extern SettingValues settings;

// Defines them all and reserves the prefix. Called once, from _PG_init.
void define_settings();

// What a helper must know, as "name=value" texts in a fixed order; an empty value means that the setting says nothing.
// Numbers are in base units (bytes, milliseconds). Two equal snapshots configure a helper alike.
std::vector<std::string> settings_snapshot();

}  // namespace forge::server
