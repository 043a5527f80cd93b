#include "core/settings/settings.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <functional>
#include <set>

#include "test/unit/settings/test_directory.h"

namespace forge::settings {
namespace {

using codec::Method;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kHexKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr const char* kOtherHexKey = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
constexpr const char* kBase64Key = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

class SettingsTest : public DirectoryTest {};

TEST_F(SettingsTest, NothingAnywhereIsOff) {
    EXPECT_EQ(loaded().kind, StorageKind::kOff);
    std::filesystem::remove_all(inputs_.env_dir);
    EXPECT_EQ(loaded().kind, StorageKind::kOff);
    inputs_.env_dir.clear();
    const Settings settings = loaded();
    EXPECT_EQ(settings.kind, StorageKind::kOff);
    EXPECT_EQ(settings.storage, "");
    EXPECT_EQ(settings.retain, 5);
    EXPECT_EQ(origin(settings, "retain").source, "default");
}

TEST_F(SettingsTest, EmptyBucketIsOff) {
    variable("WAL_S3_BUCKET", "");
    variable("SCOPE", "forge");
    variable("PGVERSION", "15");
    variable("WALG_LIBSODIUM_KEY", "too short");  // nothing is written, so nothing is wrong
    EXPECT_EQ(loaded().kind, StorageKind::kOff);
    inputs_.explicit_values["storage"] = "";
    EXPECT_EQ(loaded().kind, StorageKind::kOff);
}

TEST_F(SettingsTest, BrokenIsNotOff) {
    variable("WALG_GS_PREFIX", "gs://bucket/x");
    EXPECT_THAT(failure().message(), HasSubstr("WALG_GS_PREFIX"));
    std::filesystem::remove(inputs_.env_dir + "/WALG_GS_PREFIX");
    use_secret_dir();
    std::filesystem::remove(inputs_.secret_dir);
    const Status status = failure();
    EXPECT_THAT(status.message(), HasSubstr(inputs_.secret_dir));
    EXPECT_THAT(status.message(), HasSubstr("secret_dir"));
}

// A row sets one thing in each source and says who must win.
TEST_F(SettingsTest, StrongerSourceWins) {
    use_secret_dir();
    variable("WALG_S3_PREFIX", "s3://env/p");
    EXPECT_EQ(loaded().storage, "s3://env/p");
    EXPECT_EQ(origin(loaded(), "storage").source, "file " + inputs_.env_dir + "/WALG_S3_PREFIX");
    write("secret/WALE_S3_PREFIX", "s3://secret/p");
    EXPECT_EQ(loaded().storage, "s3://secret/p");
    inputs_.environment["WALG_FILE_PREFIX"] = "/environment";
    EXPECT_EQ(loaded().storage, "file:///environment");
    EXPECT_EQ(loaded().kind, StorageKind::kDirectory);
    EXPECT_EQ(origin(loaded(), "storage").source, "environment WALG_FILE_PREFIX");
    inputs_.explicit_values["storage"] = "s3://setting";
    EXPECT_EQ(loaded().storage, "s3://setting");
    EXPECT_EQ(origin(loaded(), "storage").source, "setting");
    inputs_.explicit_values["storage"] = "";
    inputs_.environment["WALG_FILE_PREFIX"] = "";  // counts as unset
    EXPECT_EQ(loaded().storage, "s3://secret/p");
}

TEST_F(SettingsTest, BareNameBeforePrefixedOne) {
    variable("WALG_S3_PREFIX", "s3://bucket/p");
    variable("WALE_AWS_REGION", "three");
    EXPECT_EQ(loaded().s3.region, "three");
    variable("WALG_AWS_REGION", "two");
    EXPECT_EQ(loaded().s3.region, "two");
    variable("AWS_REGION", "one");
    EXPECT_EQ(loaded().s3.region, "one");
    inputs_.environment["WALE_AWS_REGION"] = "environment";  // the source counts more than the spelling
    EXPECT_EQ(loaded().s3.region, "environment");
}

TEST_F(SettingsTest, EmptyFileHidesTheVariableOfAWeakerSource) {
    use_secret_dir();
    variable("WALG_S3_PREFIX", "s3://bucket/p");
    variable("WALG_UPLOAD_CONCURRENCY", "7");
    write("secret/WALG_UPLOAD_CONCURRENCY", "");
    EXPECT_EQ(origin(loaded(), "upload_concurrency").source, "default");
}

TEST_F(SettingsTest, VariablesOfTheS3Dialect) {
    const std::string ca = write("ca.pem", "certificates");
    variable("WALG_S3_PREFIX", "s3://bucket/some/path/");
    variable("AWS_ENDPOINT", "http://127.0.0.1:9000");
    variable("AWS_REGION", "eu-central-1");
    variable("WALG_S3_CA_CERT_FILE", ca);
    variable("WALG_S3_SSE", "aws:kms");
    variable("S3_SSE_KMS_ID", "key-id");
    variable("S3_STORAGE_CLASS", "STANDARD_IA");
    variable("WALG_NETWORK_RATE_LIMIT", "1048576");
    const Settings settings = loaded();
    EXPECT_EQ(settings.kind, StorageKind::kS3);
    EXPECT_EQ(settings.s3.bucket, "bucket");
    EXPECT_EQ(settings.s3.prefix, "some/path");
    EXPECT_EQ(settings.s3.endpoint, "http://127.0.0.1:9000");
    EXPECT_EQ(settings.s3.region, "eu-central-1");
    EXPECT_TRUE(settings.s3.path_style) << "the default with an endpoint";
    EXPECT_EQ(settings.s3.ca_file, ca);
    EXPECT_EQ(settings.s3.server_side_encryption, "aws:kms");
    EXPECT_EQ(settings.s3.kms_key_id, "key-id");
    EXPECT_EQ(settings.s3.storage_class, "STANDARD_IA");
    EXPECT_NE(settings.s3.network_limit, nullptr);
    EXPECT_EQ(settings.network_rate_limit, 1048576U);
}

TEST_F(SettingsTest, PathStyle) {
    variable("WALG_S3_PREFIX", "s3://bucket");
    EXPECT_FALSE(loaded().s3.path_style) << "no endpoint";
    variable("WALE_S3_ENDPOINT", "https+virtualhost://host:9000");
    EXPECT_EQ(loaded().s3.endpoint, "https://host:9000");
    EXPECT_FALSE(loaded().s3.path_style) << "the convention says so";
    variable("AWS_ENDPOINT", "https://other");
    EXPECT_EQ(loaded().s3.endpoint, "https://other");
    EXPECT_FALSE(loaded().s3.path_style);
    for (const char* yes : {"true", "1", "on"}) {
        variable("AWS_S3_FORCE_PATH_STYLE", yes);
        EXPECT_TRUE(loaded().s3.path_style) << yes;
    }
    for (const char* no : {"false", "0", "off"}) {
        variable("AWS_S3_FORCE_PATH_STYLE", no);
        EXPECT_FALSE(loaded().s3.path_style) << no;
    }
    inputs_.explicit_values["s3_endpoint"] = "https://setting";
    EXPECT_TRUE(loaded().s3.path_style) << "what the environment says is about its own endpoint";
    inputs_.explicit_values["s3_path_style"] = "off";
    EXPECT_FALSE(loaded().s3.path_style);
    inputs_.explicit_values["s3_path_style"] = "auto";
    EXPECT_TRUE(loaded().s3.path_style);
}

TEST_F(SettingsTest, CredentialsAreReadAgainAtEachUse) {  // S2, S4
    variable("WALG_S3_PREFIX", "s3://bucket");
    variable("AWS_EC2_METADATA_DISABLED", "true");
    const Settings settings = loaded();
    auto credentials = settings.s3.credentials({});
    ASSERT_FALSE(credentials.ok());
    EXPECT_TRUE(credentials.status().is(Kind::kDenied));
    EXPECT_THAT(credentials.status().hint(),
                HasSubstr("Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in \"" + inputs_.env_dir + "\""));
    variable("AWS_ACCESS_KEY_ID", "the-id");
    EXPECT_THAT(settings.s3.credentials({}).status().hint(), HasSubstr("Set AWS_SECRET_ACCESS_KEY in"));
    variable("AWS_SECRET_KEY", "the-secret");
    credentials = settings.s3.credentials({});
    ASSERT_TRUE(credentials.ok()) << credentials.status().to_string();
    EXPECT_EQ(credentials->access_key_id, "the-id");
    EXPECT_EQ(credentials->secret_access_key, "the-secret");
    variable("AWS_SECRET_ACCESS_KEY", "the-new-secret");
    variable("AWS_SESSION_TOKEN", "the-token");
    credentials = settings.s3.credentials({});
    ASSERT_TRUE(credentials.ok());
    EXPECT_EQ(credentials->secret_access_key, "the-new-secret");
    EXPECT_EQ(credentials->session_token, "the-token");
}

TEST_F(SettingsTest, TokenOfOtherKeysIsNotUsed) {
    use_secret_dir();
    variable("WALG_S3_PREFIX", "s3://bucket");
    variable("AWS_SESSION_TOKEN", "left over");
    write("secret/AWS_ACCESS_KEY_ID", "id");
    write("secret/AWS_SECRET_ACCESS_KEY", "secret");
    const auto credentials = loaded().s3.credentials({});
    ASSERT_TRUE(credentials.ok());
    EXPECT_EQ(credentials->session_token, "");
}

TEST_F(SettingsTest, Compression) {
    variable("WALG_FILE_PREFIX", "/dir");
    EXPECT_EQ(loaded().compression, Method::kZstd);
    variable("WALG_ZSTD_LEVEL", "best");
    EXPECT_EQ(loaded().compression_level, 11);
    variable("WALG_COMPRESSION_METHOD", "brotli");
    EXPECT_EQ(loaded().compression, Method::kBrotli);
    EXPECT_FALSE(loaded().compression_level) << "a level of zstd";
    variable("WALG_BACKUP_COMPRESSION_METHOD", "lz4");
    EXPECT_EQ(loaded().compression, Method::kBrotli);
    EXPECT_EQ(loaded().backup_compression, Method::kLz4);
    inputs_.explicit_values["compression"] = "none";
    EXPECT_EQ(loaded().backup_compression, Method::kNone) << "the setting is stronger than both variables";
    inputs_.explicit_values["compression"] = "zstd";
    inputs_.explicit_values["compression_level"] = "19";
    EXPECT_EQ(loaded().compression_level, 19);
    inputs_.explicit_values["compression_level"] = "-1";
    EXPECT_EQ(loaded().compression_level, 11) << "not set";
}

TEST_F(SettingsTest, Limits) {
    variable("WALG_FILE_PREFIX", "/dir");
    variable("WALG_UPLOAD_CONCURRENCY", "500");
    variable("WALG_DOWNLOAD_CONCURRENCY", "3");
    variable("WALG_DISK_RATE_LIMIT", "1000");
    variable("WALG_TAR_SIZE_THRESHOLD", "6000000");
    variable("BACKUP_NUM_TO_RETAIN", "1");
    variable("WALG_SENTINEL_USER_DATA", R"({"a": 12345678901234567890})");
    Settings settings = loaded();
    EXPECT_EQ(settings.upload_concurrency, 100) << "cut: such files work with WAL-G";
    EXPECT_EQ(settings.download_concurrency, 3);
    EXPECT_EQ(settings.disk_rate_limit, 1000U);
    EXPECT_EQ(settings.part_size_limit, 6000000U);
    EXPECT_EQ(settings.retain, 2) << "as the scripts have it";
    EXPECT_EQ(settings.user_data, R"({"a": 12345678901234567890})");
    EXPECT_EQ(settings.memory_limit, 256U << 20);
    EXPECT_EQ(settings.cpu_limit, 0.05);
    inputs_.explicit_values = {{"upload_concurrency", "4"}, {"download_concurrency", "0"}, {"disk_rate_limit", "20MB"},
                               {"network_rate_limit", "0"}, {"memory_limit", "1 GB"},      {"retain", "0"},
                               {"cpu_limit", "25"}};
    settings = loaded();
    EXPECT_EQ(settings.upload_concurrency, 4);
    EXPECT_EQ(settings.download_concurrency, 3) << "0 is not set";
    EXPECT_EQ(settings.disk_rate_limit, 20U << 20);
    EXPECT_EQ(settings.memory_limit, 1U << 30);
    EXPECT_EQ(settings.cpu_limit, 0.25);
    EXPECT_EQ(settings.retain, 0) << "keep all";
    inputs_.explicit_values["retain"] = "-1";
    EXPECT_EQ(loaded().retain, 2);
}

// A server names all of them, changed or not.
TEST_F(SettingsTest, ADefaultIsNotShownAsASetting) {
    variable("WALG_FILE_PREFIX", "/dir");
    inputs_.explicit_values = {{"cpu_limit", "5"},
                               {"memory_limit", "268435456"},
                               {"corrupt_pages", "warn"},
                               {"clone_policy", "warn"},
                               {"disk_rate_limit", "0"}};
    for (const auto& [name, value] : inputs_.explicit_values)
        EXPECT_EQ(origin(loaded(), name).source, "default") << name;
    inputs_.explicit_values = {{"cpu_limit", "6"},
                               {"memory_limit", "268435457"},
                               {"corrupt_pages", "fail"},
                               {"clone_policy", "on"},
                               {"disk_rate_limit", "1"}};
    for (const auto& [name, value] : inputs_.explicit_values)
        EXPECT_EQ(origin(loaded(), name).source, "setting") << name;
}

TEST_F(SettingsTest, DeltasAreOffUntilSomebodySaysHowMany) {
    variable("WALG_FILE_PREFIX", "/dir");
    Settings settings = loaded();
    EXPECT_EQ(settings.delta_max_steps, 0);
    EXPECT_EQ(settings.delta_origin, DeltaOrigin::kLatest);
    EXPECT_EQ(origin(settings, "delta_max_steps").source, "default");
    variable("WALG_DELTA_MAX_STEPS", "7");
    variable("WALG_DELTA_ORIGIN", "LATEST_FULL");
    variable("WALG_DELTA_FROM_NAME", "base_000000010000000000000003");
    inputs_.explicit_values = {{"delta_max_steps", "-1"}, {"delta_origin", ""}};
    settings = loaded();
    EXPECT_EQ(settings.delta_max_steps, 7);
    EXPECT_EQ(settings.delta_origin, DeltaOrigin::kLatestFull);
    EXPECT_EQ(settings.delta_from_name, "base_000000010000000000000003");
    EXPECT_THAT(origin(settings, "delta_origin").source, HasSubstr("WALG_DELTA_ORIGIN"));
    inputs_.explicit_values = {{"delta_max_steps", "0"}, {"delta_origin", "LATEST"}};
    settings = loaded();
    EXPECT_EQ(settings.delta_max_steps, 0);
    EXPECT_EQ(settings.delta_origin, DeltaOrigin::kLatest);
    EXPECT_EQ(origin(settings, "delta_max_steps").source, "setting");
    variable("WALG_DELTA_FROM_USER_DATA", "{}");
    EXPECT_THAT(failure().message(), HasSubstr("WALG_DELTA_FROM_USER_DATA names a backup as well"));
}

TEST_F(SettingsTest, ThePrimaryMakesBackupsUntilSomebodySaysWho) {
    variable("WALG_FILE_PREFIX", "/dir");
    EXPECT_EQ(origin(loaded(), "backup_from").value, "primary");
    variable("WALG_BACKUP_FROM_REPLICA", "true");
    EXPECT_EQ(origin(loaded(), "backup_from").value, "standby");
    inputs_.explicit_values = {{"backup_from", "any"}};
    EXPECT_EQ(origin(loaded(), "backup_from").value, "any");
    EXPECT_EQ(origin(loaded(), "backup_from").source, "setting");
}

TEST_F(SettingsTest, Sizes) {
    inputs_.explicit_values["storage"] = "/dir";
    const std::pair<const char*, std::uint64_t> cases[] = {{"16777216", 16ULL << 20}, {"16384kB", 16ULL << 20},
                                                           {"17MB", 17ULL << 20},     {" 2 GB ", 2ULL << 30},
                                                           {"1TB", 1ULL << 40},       {"33554432B", 32ULL << 20}};
    for (const auto& [text, bytes] : cases) {
        inputs_.explicit_values["memory_limit"] = text;
        EXPECT_EQ(loaded().memory_limit, bytes) << text;
    }
    for (const char* text : {"256mb", "256 M", "-1", "1.5GB", "MB", "99999999999TB", "0x10MB"}) {
        inputs_.explicit_values["memory_limit"] = text;
        EXPECT_THAT(failure().message(), StartsWith("setting \"memory_limit\": invalid size")) << text;
    }
}

TEST_F(SettingsTest, KeysOfTheVariables) {
    variable("WALG_FILE_PREFIX", "/dir");
    variable("WALG_LIBSODIUM_KEY_TRANSFORM", "hex");
    variable("WALG_LIBSODIUM_KEY_PATH", write("key", std::string(kOtherHexKey) + "\n"));
    ASSERT_EQ(loaded().keys.keys().size(), 1U);
    const std::string of_path = loaded().keys.active().fingerprint();
    variable("WALG_LIBSODIUM_KEY", kHexKey);
    const std::string of_text = loaded().keys.active().fingerprint();
    EXPECT_NE(of_text, of_path) << "the text wins over the path";
    variable("FORGE_OLD_LIBSODIUM_KEYS",
             std::string(kOtherHexKey) + ", " + write("older", "ee" + std::string(kHexKey).substr(2)));
    const Settings settings = loaded();
    ASSERT_EQ(settings.keys.keys().size(), 3U);
    EXPECT_EQ(settings.keys.active().fingerprint(), of_text);
    EXPECT_EQ(settings.keys.keys()[1].fingerprint(), of_path);
    variable("WALG_LIBSODIUM_KEY_TRANSFORM", "base64");
    variable("WALG_LIBSODIUM_KEY", kBase64Key);
    variable("FORGE_OLD_LIBSODIUM_KEYS", "/SEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=");  // no path
    EXPECT_EQ(loaded().keys.keys().size(), 2U);
}

TEST_F(SettingsTest, KeyFilesOfTheSetting) {  // C13, K1
    variable("WALG_FILE_PREFIX", "/dir");
    variable("WALG_LIBSODIUM_KEY", "not used, and too short");
    const std::string first = write("first", std::string(kHexKey) + "\n");
    const std::string second = write("second", kBase64Key);
    inputs_.explicit_values["encryption_key_files"] = first + ", " + second;
    const Settings settings = loaded();
    ASSERT_EQ(settings.keys.keys().size(), 2U);
    const auto shown = origin(settings, "encryption_key_files");
    EXPECT_THAT(shown.value, StartsWith("(secret) fingerprint " + settings.keys.active().fingerprint() + ", changed "));
    EXPECT_EQ(shown.source, "file " + first);
    inputs_.explicit_values["encryption_key_files"] = first + "," + root_ + "/missing";
    const Status status = failure();
    EXPECT_TRUE(status.is(Kind::kDenied));
    EXPECT_THAT(status.message(), HasSubstr(root_ + "/missing"));
    EXPECT_THAT(status.message(), HasSubstr("encryption_key_files"));
}

struct Bad {
    const char* name;  // a setting where it is in lower case, else a variable
    const char* value;
    const char* text;  // must be part of the message
};

void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.name << " = " << bad.value; }

class BadValue : public SettingsTest, public testing::WithParamInterface<Bad> {};

TEST_P(BadValue, IsRefusedByNameWithAHint) {
    variable("WALG_S3_PREFIX", "s3://bucket/prefix");
    const bool is_setting = std::islower(static_cast<unsigned char>(GetParam().name[0])) != 0;
    if (is_setting)
        inputs_.explicit_values[GetParam().name] = GetParam().value;
    else
        variable(GetParam().name, GetParam().value);
    const Status status = failure();
    EXPECT_TRUE(status.is(Kind::kInvalid) || status.is(Kind::kDenied)) << status.to_string();
    EXPECT_THAT(status.message(),
                StartsWith(is_setting ? "setting \"" + std::string(GetParam().name) + "\": "
                                      : "file \"" + inputs_.env_dir + "/" + GetParam().name + "\": "));
    EXPECT_THAT(status.message(), HasSubstr(GetParam().text));
    EXPECT_THAT(status.message(), Not(testing::EndsWith(".")));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadValue,
    testing::Values(
        Bad{"storage", "backups", "not an absolute directory"},
        Bad{"storage", "gs://bucket", "of a kind that is not known"}, Bad{"storage", "s3://", "names no bucket"},
        Bad{"WALG_S3_PREFIX", "/directory", "does not begin with \"s3://\""},
        Bad{"s3_endpoint", "ftp://host", "not an http or https URL"},
        Bad{"AWS_ENDPOINT", "https://host/path", "no host"}, Bad{"WALE_S3_ENDPOINT", "https+x://host", "convention"},
        Bad{"s3_path_style", "maybe", "neither on nor off"}, Bad{"AWS_S3_FORCE_PATH_STYLE", "2", "neither on nor off"},
        Bad{"s3_region", "a b", "the region"}, Bad{"s3_ca_file", "/nonexistent/ca.pem", "/nonexistent/ca.pem"},
        Bad{"S3_SSE", "rot13", "server-side encryption"}, Bad{"S3_SSE", "aws:kms", "needs a key"},
        Bad{"S3_SSE_KMS_ID", "id", "\"aws:kms\" only"}, Bad{"S3_SSE_C", "key", "not supported"},
        Bad{"compression", "gzip", "\"gzip\""}, Bad{"compression", "lzma", "read only"},
        Bad{"WALG_COMPRESSION_METHOD", "lzma", "read only"},
        Bad{"WALG_BACKUP_COMPRESSION_METHOD", "snappy", "\"snappy\""},
        Bad{"compression_level", "20", "invalid level \"20\""}, Bad{"compression_level", "high", "invalid level"},
        Bad{"WALG_ZSTD_LEVEL", "7", "unrecognized level"},
        Bad{"encryption_key_files", "/nonexistent/key", "/nonexistent/key"},
        Bad{"encryption_key_files", " , ", "names no file"},
        Bad{"WALG_LIBSODIUM_KEY_PATH", "relative", "not an absolute path"},
        Bad{"WALG_LIBSODIUM_KEY_PATH", "/nonexistent/key", "/nonexistent/key"},
        Bad{"WALG_LIBSODIUM_KEY_TRANSFORM", "rot13", "no transform"},
        Bad{"FORGE_OLD_LIBSODIUM_KEYS", kHexKey, "no key to encrypt with"}, Bad{"WALG_PGP_KEY", "armored", "OpenPGP"},
        Bad{"WALG_PGP_KEY_PATH", "/key", "OpenPGP"}, Bad{"WALG_CSE_KMS_ID", "id", "key management"},
        Bad{"upload_concurrency", "101", "\"101\""}, Bad{"download_concurrency", "-1", "\"-1\""},
        Bad{"WALG_UPLOAD_CONCURRENCY", "many", "\"many\""}, Bad{"disk_rate_limit", "fast", "invalid size"},
        Bad{"WALG_NETWORK_RATE_LIMIT", "1 Mbit", "invalid size"}, Bad{"memory_limit", "1MB", "too low"},
        Bad{"cpu_limit", "0", "invalid value \"0\""}, Bad{"WALG_TAR_SIZE_THRESHOLD", "0", "invalid size"},
        Bad{"retain", "many", "\"many\""}, Bad{"BACKUP_NUM_TO_RETAIN", "-5", "\"-5\""},
        Bad{"user_data", "{", "not valid JSON"}, Bad{"WALG_SENTINEL_USER_DATA", "text", "not valid JSON"},
        Bad{"delta_max_steps", "-2", "\"-2\""}, Bad{"WALG_DELTA_MAX_STEPS", "many", "\"many\""},
        Bad{"delta_origin", "latest", "unrecognized origin"}, Bad{"WALG_DELTA_ORIGIN", "FULL", "unrecognized origin"},
        Bad{"backup_from", "leader", "unrecognized kind"}, Bad{"WALG_BACKUP_FROM_REPLICA", "perhaps", "\"perhaps\""},
        Bad{"WALG_DELTA_FROM_USER_DATA", "{", "not valid JSON"}));

TEST_F(SettingsTest, KeyOfWrongLengthIsRefusedByName) {
    variable("WALG_FILE_PREFIX", "/dir");
    variable("WALG_LIBSODIUM_KEY", "short");
    EXPECT_THAT(failure().message(), HasSubstr(inputs_.env_dir + "/WALG_LIBSODIUM_KEY"));
    variable("WALG_LIBSODIUM_KEY_TRANSFORM", "hex");
    variable("WALG_LIBSODIUM_KEY", std::string(kHexKey).substr(2));
    EXPECT_THAT(failure().message(), HasSubstr("31 bytes"));
}

TEST_F(SettingsTest, BucketWithoutScopeIsBrokenNotOff) {
    inputs_.environment["WAL_S3_BUCKET"] = "bucket";
    const Status status = failure();
    EXPECT_THAT(status.message(), StartsWith("environment variable \"WAL_S3_BUCKET\": "));
    EXPECT_THAT(status.hint(), HasSubstr("WALG_S3_PREFIX"));
}

TEST_F(SettingsTest, StoragePrefixIsOneMoreFolder) {
    variable("WALG_S3_PREFIX", "s3://bucket/p/");
    variable("WALG_STORAGE_PREFIX", "/more/");
    EXPECT_EQ(loaded().storage, "s3://bucket/p/more");
    inputs_.explicit_values["storage"] = "s3://bucket/p";
    EXPECT_EQ(loaded().storage, "s3://bucket/p") << "the setting is the whole place";
}

TEST(DerivedPrefix, WorkedResults) {
    using Variables = std::map<std::string, std::string>;
    const Variables base{{"WAL_S3_BUCKET", "forge-pg-cluster"}, {"SCOPE", "forge-pg-cluster"}, {"PGVERSION", "15"}};
    const auto with = [&base](const Variables& more) {
        Variables all = more;
        all.insert(base.begin(), base.end());
        return derive_s3_prefix(all);
    };
    EXPECT_EQ(with({{"WAL_BUCKET_SCOPE_PREFIX", "reno-dev4-"}, {"WAL_BUCKET_SCOPE_SUFFIX", ""}}),
              "s3://forge-pg-cluster/spilo/reno-dev4-forge-pg-cluster/wal/15");
    EXPECT_EQ(with({{"WAL_BUCKET_SCOPE_PREFIX", ""}, {"POD_NAMESPACE", "postgres"}}),
              "s3://forge-pg-cluster/spilo/forge-pg-cluster/wal/15");
    EXPECT_EQ(with({{"WAL_BUCKET_SCOPE_PREFIX", ""}, {"WAL_BUCKET_SCOPE_SUFFIX", "/U"}}),
              "s3://forge-pg-cluster/spilo/forge-pg-cluster/U/wal/15");
    EXPECT_EQ(with({{"POD_NAMESPACE", "postgres"}}), "s3://forge-pg-cluster/spilo/postgres-forge-pg-cluster/wal/15");
    EXPECT_EQ(with({{"POD_NAMESPACE", "default"}}), "s3://forge-pg-cluster/spilo/forge-pg-cluster/wal/15");
    EXPECT_EQ(with({{"WALE_S3_PREFIX", "s3://two/x"}}), "s3://two/x");
    EXPECT_EQ(with({{"WALE_S3_PREFIX", "s3://two/x"}, {"WALG_S3_PREFIX", "s3://one/x"}}), "s3://one/x");
    EXPECT_EQ(with({{"WAL_S3_BUCKET", ""}}), "");
    EXPECT_EQ(derive_s3_prefix({}), "");
}

TEST_F(SettingsTest, DerivedPrefixIsTheStorage) {
    variable("WAL_S3_BUCKET", "bucket");
    inputs_.environment = {
        {"SCOPE", "scope"}, {"PGVERSION", "15"}, {"WAL_BUCKET_SCOPE_PREFIX", ""}, {"POD_NAMESPACE", "postgres"}};
    EXPECT_EQ(loaded().storage, "s3://bucket/spilo/scope/wal/15") << "set to nothing is not the same as not set";
}

TEST_F(SettingsTest, EpochChangesWithTheDestinationAndTheFormOnly) {  // P10
    variable("WALG_S3_PREFIX", "s3://bucket/p");
    variable("WALG_LIBSODIUM_KEY", kHexKey);
    variable("WALG_LIBSODIUM_KEY_TRANSFORM", "hex");
    const std::string before = loaded().epoch_digest;
    variable("AWS_ACCESS_KEY_ID", "another");
    variable("AWS_SECRET_ACCESS_KEY", "another");
    variable("WALG_UPLOAD_CONCURRENCY", "3");
    EXPECT_EQ(loaded().epoch_digest, before);
    std::set<std::string> seen{before};
    const std::pair<const char*, const char*> changes[] = {{"WALG_S3_PREFIX", "s3://bucket/q"},
                                                           {"AWS_ENDPOINT", "https://host"},
                                                           {"WALG_COMPRESSION_METHOD", "lz4"},
                                                           {"WALG_LIBSODIUM_KEY", kOtherHexKey}};
    for (const auto& [name, value] : changes) {
        variable(name, value);
        EXPECT_TRUE(seen.insert(loaded().epoch_digest).second) << name;
    }
}

// K2: whatever is right or wrong, no secret gets into an origin or an error.
TEST_F(SettingsTest, NoSecretIsShown) {
    const std::string secrets[] = {kHexKey,
                                   kOtherHexKey,
                                   kBase64Key,
                                   "my-secret-access-key",
                                   "my-access-key-id",
                                   "my-session-token",
                                   "a-pass-phrase-of-enough-bytes"};
    std::string shown;
    const auto collect = [&] {
        const auto settings = load(inputs_);
        shown += settings.status().to_string() + "\n";
        if (!settings.ok()) return;
        for (const auto& origin : settings->origins)
            shown += origin.name + "=" + origin.value + " " + origin.source + "\n";
        shown += settings->epoch_digest + "\n";
    };
    variable("WALG_S3_PREFIX", "s3://bucket/p");
    variable("AWS_ACCESS_KEY_ID", "my-access-key-id");
    variable("AWS_SECRET_ACCESS_KEY", "my-secret-access-key");
    variable("AWS_SESSION_TOKEN", "my-session-token");
    for (const std::string& key :
         {std::string(kHexKey), std::string(kBase64Key), std::string("a-pass-phrase-of-enough-bytes")}) {
        variable("WALG_LIBSODIUM_KEY", key);
        for (const char* transform : {"hex", "base64", "none", kHexKey}) {
            variable("WALG_LIBSODIUM_KEY_TRANSFORM", transform);
            variable("FORGE_OLD_LIBSODIUM_KEYS", std::string(kOtherHexKey) + " " + kBase64Key);
            collect();
        }
    }
    for (const char* name :
         {"WALG_LIBSODIUM_KEY_PATH", "S3_SSE", "S3_SSE_C", "WALG_PGP_KEY", "AWS_S3_FORCE_PATH_STYLE"}) {
        inputs_.environment = {{name, kHexKey}};  // the key where it does not belong
        collect();
    }
    inputs_.environment.clear();
    for (const char* name : {"encryption_key_files", "storage"}) {
        inputs_.explicit_values = {{name, name == std::string("storage")
                                              ? "s3://my-access-key-id:my-secret-access-key@bucket/x"
                                              : kBase64Key}};
        collect();
    }
    inputs_.explicit_values = {{"s3_endpoint", "https://my-access-key-id:my-secret-access-key@host"}};
    collect();
    EXPECT_THAT(shown, HasSubstr("(secret)"));
    for (const std::string& secret : secrets)
        EXPECT_EQ(shown.find(secret), std::string::npos) << secret << "\n" << shown;
}

TEST_F(SettingsTest, WatchNoticesTheSwapOfAMountedSecret) {  // K1
    use_secret_dir();
    variable("WALG_S3_PREFIX", "s3://bucket/p");
    write("secret/..first/WALG_LIBSODIUM_KEY", "first-pass-phrase-of-32-bytes");
    write("secret/..second/WALG_LIBSODIUM_KEY", "other-pass-phrase-of-32-bytes");
    ASSERT_EQ(::symlink("..first", (inputs_.secret_dir + "/..data").c_str()), 0);
    ASSERT_EQ(::symlink("..data/WALG_LIBSODIUM_KEY", (inputs_.secret_dir + "/WALG_LIBSODIUM_KEY").c_str()), 0);
    const Watch watch(inputs_);
    const std::string before = loaded().keys.active().fingerprint();
    EXPECT_FALSE(watch.changed());
    ASSERT_EQ(::symlink("..second", (inputs_.secret_dir + "/..data_tmp").c_str()), 0);
    ASSERT_EQ(::rename((inputs_.secret_dir + "/..data_tmp").c_str(), (inputs_.secret_dir + "/..data").c_str()), 0);
    EXPECT_TRUE(watch.changed());
    EXPECT_NE(loaded().keys.active().fingerprint(), before);
    EXPECT_FALSE(Watch(inputs_).changed());
}

TEST_F(SettingsTest, WatchNoticesEveryFileThatMatters) {  // K1, N9
    const std::string key = write("key", kHexKey);
    const std::string ca = write("ca.pem", "one");
    inputs_.explicit_values["encryption_key_files"] = key;
    variable("S3_CA_CERT_FILE", ca);
    const auto changed_by = [this](const std::function<void()>& change) {
        const Watch watch(inputs_);
        EXPECT_FALSE(watch.changed());
        change();
        return watch.changed();
    };
    EXPECT_TRUE(changed_by([&] { write("key", kOtherHexKey); }));
    EXPECT_TRUE(changed_by([&] { write("ca.pem", "another one"); }));
    EXPECT_TRUE(changed_by([&] { variable("AWS_REGION", "eu"); })) << "a new file";
    EXPECT_TRUE(changed_by([&] { std::filesystem::remove(inputs_.env_dir + "/AWS_REGION"); }));
    EXPECT_TRUE(changed_by([&] { std::filesystem::remove(key); }));
    EXPECT_TRUE(changed_by([&] { write("key", kHexKey); })) << "absent before";
    EXPECT_TRUE(changed_by([&] { std::filesystem::remove_all(inputs_.env_dir); }));
    EXPECT_TRUE(changed_by([&] { std::filesystem::create_directory(inputs_.env_dir); }));
    EXPECT_FALSE(changed_by([&] { write("unrelated", "x"); }));
}

TEST(ProcessEnvironment, HoldsKnownVariablesOnly) {
    ASSERT_EQ(::setenv("WALG_S3_PREFIX", "s3://bucket/of-the-environment", 1), 0);
    ASSERT_EQ(::setenv("SOMETHING_ELSE", "x", 1), 0);
    const auto variables = process_environment();
    EXPECT_EQ(variables.at("WALG_S3_PREFIX"), "s3://bucket/of-the-environment");
    EXPECT_FALSE(variables.contains("SOMETHING_ELSE"));
    EXPECT_FALSE(variables.contains("PATH"));
    ASSERT_EQ(::unsetenv("WALG_S3_PREFIX"), 0);
    ASSERT_EQ(::unsetenv("SOMETHING_ELSE"), 0);
}

}  // namespace
}  // namespace forge::settings
