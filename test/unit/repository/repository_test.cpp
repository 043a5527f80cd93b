#include "core/repository/repository.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sodium.h>
#include <sys/stat.h>

#include <filesystem>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/store/local_store.h"

namespace forge::repository {
namespace {

using codec::Method;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kFull = "base_000000010000000000000003";
constexpr const char* kDelta1 = "base_000000010000000000000005_D_000000010000000000000003";
constexpr const char* kDelta2 = "base_000000010000000000000007_D_000000010000000000000005";
constexpr const char* kHexKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

crypto::KeyRing ring(std::vector<std::pair<std::string, crypto::KeyTransform>> texts) {
    std::vector<crypto::Key> keys;
    for (const auto& [text, transform] : texts) {
        auto key = crypto::Key::parse(text, transform, "test");
        EXPECT_TRUE(key.ok());
        if (key.ok()) keys.push_back(*key);
    }
    return crypto::KeyRing(std::move(keys));
}

// A copy of golden data, since a store may create what it looks into.
class RepositoryTest : public testing::Test {
protected:
    void SetUp() override {
        std::string name = (std::filesystem::temp_directory_path() / "forge_repository_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    void copy_golden(const std::string& name) {
        std::filesystem::copy(std::string(FORGE_TEST_DATA) + "/walg/" + name, directory_,
                              std::filesystem::copy_options::recursive);
        for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_)) {
            std::filesystem::permissions(entry, std::filesystem::perms::owner_write,
                                         std::filesystem::perm_options::add);
        }
    }
    // The times that the objects had when they were written: LATEST and the order of the list follow them.
    void apply_times() {
        auto table = read_file(std::string(FORGE_TEST_DATA) + "/walg/main/expected/objects.tsv", 1 << 20);
        ASSERT_TRUE(table.ok());
        for (const std::string& line : split(*table, '\n')) {
            const auto fields = split(line, '\t');
            if (fields.size() < 3) continue;
            auto time = parse_time(fields[1]);
            ASSERT_TRUE(time.ok());
            set_time(fields[0], *time);
        }
    }
    void set_time(const std::string& key, Instant at) {
        struct timespec times[2];
        times[0].tv_sec = times[1].tv_sec = at.seconds();
        times[0].tv_nsec = times[1].tv_nsec = at.nanos - at.seconds() * 1'000'000'000;
        ASSERT_EQ(utimensat(AT_FDCWD, join_path(directory_, key).c_str(), times, 0), 0);
    }
    void put(const std::string& key, std::string_view content) {
        ASSERT_TRUE(make_directories(parent_path(join_path(directory_, key))).ok());
        ASSERT_TRUE(write_file_durably(join_path(directory_, key), as_bytes(content)).ok());
    }
    Repository& open() {
        auto store = store::open_local_store(directory_);
        EXPECT_TRUE(store.ok()) << store.status().to_string();
        repository_ =
            std::make_unique<Repository>(std::shared_ptr<store::ObjectStore>(std::move(store).value()), settings_);
        return *repository_;
    }
    Result<std::string> plain(Result<std::unique_ptr<Source>> source) {
        if (!source.ok()) return source.status();
        return read_all_text(**source, 64 << 20);
    }

    std::string directory_;
    settings::Settings settings_;
    std::unique_ptr<Repository> repository_;
    store::CallContext context_;
};

std::string sha256(std::string_view text) {
    std::array<std::uint8_t, crypto_hash_sha256_BYTES> digest{};
    const ByteView bytes = as_bytes(text);
    crypto_hash_sha256(digest.data(), bytes.data(), bytes.size());
    return to_hex(digest);
}

class GoldenStore : public RepositoryTest {
protected:
    void SetUp() override {
        RepositoryTest::SetUp();
        copy_golden("main/store");
        apply_times();
        settings_.keys = ring({{kHexKey, crypto::KeyTransform::kHex}});
    }
};

TEST_F(GoldenStore, EveryObjectHasTheRightContent) {  // R8
    auto table = read_file(std::string(FORGE_TEST_DATA) + "/walg/main/expected/plaintext.tsv", 1 << 20);
    ASSERT_TRUE(table.ok());
    Repository& repository = open();
    int objects = 0;
    for (const std::string& line : split(*table, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() < 3) continue;
        ++objects;
        const std::string& key = fields[0];
        const auto wal = layout::parse_wal_key(key);
        auto content = wal ? plain(repository.open_wal(wal->name, context_))
                       : key.ends_with(".json")
                           ? plain(repository.store().get(key, std::nullopt, context_))
                           : plain(repository.open_object(key, layout::part_method(key).value(), context_));
        ASSERT_TRUE(content.ok()) << key << ": " << content.status().to_string();
        EXPECT_EQ(std::to_string(content->size()), fields[1]) << key;
        EXPECT_EQ(sha256(*content), fields[2]) << key;
    }
    EXPECT_EQ(objects, 36);
}

TEST_F(GoldenStore, ListsTheBackups) {
    auto backups = open().list_backups(context_);
    ASSERT_TRUE(backups.ok()) << backups.status().to_string();
    ASSERT_EQ(backups->size(), 3U);
    const BackupEntry& full = (*backups)[0];
    EXPECT_EQ(full.name, kFull);
    EXPECT_EQ(format_rfc3339(full.modified, 9), "2026-11-22T09:17:33.260016933Z");
    EXPECT_EQ(full.start_segment, "000000010000000000000003");
    EXPECT_EQ(full.timeline(), 1U);
    EXPECT_EQ(full.problem, "");
    EXPECT_EQ(full.sentinel.uncompressed_size, 24542474U);
    EXPECT_EQ(full.sentinel.user_data, R"({"fixture":"full","n":1})");
    EXPECT_FALSE(full.sentinel.is_permanent);
    const BackupEntry& delta1 = (*backups)[1];
    EXPECT_EQ(delta1.name, kDelta1);
    EXPECT_EQ(format_rfc3339(delta1.modified, 9), "2026-11-22T09:17:35.440017013Z");
    EXPECT_EQ(delta1.sentinel.delta_from, kFull);
    EXPECT_EQ(format_lsn(delta1.sentinel.start_lsn.value_or(0)), "0/5000028");
    const BackupEntry& delta2 = (*backups)[2];
    EXPECT_EQ(delta2.name, kDelta2);
    EXPECT_EQ(delta2.sentinel.delta_count, 2);
    EXPECT_EQ(format_rfc3339(delta2.sentinel.finish_time), "2026-11-22T09:17:37.601625Z");
    EXPECT_EQ(format_lsn(delta2.sentinel.finish_lsn.value_or(0)), "0/7000100");
}

TEST_F(GoldenStore, ListsTheWal) {
    put("wal_005/000000010000000000000008.zst", "the same file in another method");
    put("wal_005/000000010000000000000010.json", "{}");
    put("wal_005/000000010000000000000000_delta.br", "x");
    auto wal = open().list_wal(context_);
    ASSERT_TRUE(wal.ok()) << wal.status().to_string();
    ASSERT_EQ(wal->segments.size(), 8U);
    EXPECT_EQ(wal->segments.front(), "000000010000000000000002");
    EXPECT_EQ(wal->segments.back(), "000000020000000000000009");
    EXPECT_THAT(wal->histories, ElementsAre("00000002.history"));
    EXPECT_THAT(wal->partials, ElementsAre("000000010000000000000009.partial"));
    EXPECT_THAT(wal->backup_histories,
                ElementsAre("000000010000000000000003.00000028.backup", "000000010000000000000005.00000028.backup",
                            "000000010000000000000007.00000028.backup"));
}

TEST_F(GoldenStore, FindsABackupByNameAndTheLatest) {
    Repository& repository = open();
    auto found = repository.find_backup(kDelta1, context_);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    EXPECT_EQ(found->sentinel.delta_count, 1);
    auto latest = repository.find_backup("LATEST", context_);
    ASSERT_TRUE(latest.ok());
    EXPECT_EQ(latest->name, kDelta2);
}

TEST_F(GoldenStore, LatestGoesByStartTimeNotByModification) {  // W19 of the format notes
    set_time(layout::sentinel_key(kFull), Instant::from_seconds(4'000'000'000));
    auto latest = open().find_backup("LATEST", context_);
    ASSERT_TRUE(latest.ok());
    EXPECT_EQ(latest->name, kDelta2);
}

TEST_F(GoldenStore, UnknownBackupIsRefusedWithWhatThereIs) {
    auto found = open().find_backup("base_0000000100000000000000AA", context_);
    ASSERT_FALSE(found.ok());
    EXPECT_TRUE(found.status().is(Kind::kInvalid));
    EXPECT_EQ(found.status().message(), "backup \"base_0000000100000000000000AA\" does not exist");
    EXPECT_THAT(found.status().hint(), HasSubstr(kDelta2));
}

TEST_F(GoldenStore, MissingOrDamagedMetadataConcernsOneBackupOnly) {  // W18 of the format notes, R11
    std::filesystem::remove(join_path(directory_, layout::metadata_key(kFull)));
    put(layout::metadata_key(kDelta1), "{\"is_permanent\":");
    auto backups = open().list_backups(context_);
    ASSERT_TRUE(backups.ok()) << backups.status().to_string();
    ASSERT_EQ(backups->size(), 3U);
    EXPECT_EQ((*backups)[0].problem, "metadata.json: not found");
    EXPECT_TRUE((*backups)[0].readable);
    EXPECT_EQ((*backups)[0].sentinel.pg_version, 150020) << "the sentinel says it as well";
    EXPECT_THAT((*backups)[1].problem, HasSubstr("metadata.json: "));
    EXPECT_THAT((*backups)[1].problem, HasSubstr("not valid JSON"));
    EXPECT_EQ((*backups)[2].problem, "");
}

TEST_F(GoldenStore, DamagedSentinelIsListedAndNeverTheLatest) {  // S15
    put(layout::sentinel_key(kDelta2), "{\"LSN\":1174");
    Repository& repository = open();
    auto backups = repository.list_backups(context_);
    ASSERT_TRUE(backups.ok());
    ASSERT_EQ(backups->size(), 3U);
    EXPECT_FALSE(backups->back().readable);
    EXPECT_THAT(backups->back().problem, HasSubstr("sentinel: "));
    auto latest = repository.find_backup("LATEST", context_);
    ASSERT_TRUE(latest.ok());
    EXPECT_EQ(latest->name, kDelta1);
}

TEST_F(GoldenStore, PermanenceIsThatOfMetadata) {
    auto json = read_file(join_path(directory_, layout::metadata_key(kFull)), 1 << 20);
    ASSERT_TRUE(json.ok());
    json->replace(json->find("\"is_permanent\":false"), 20, "\"is_permanent\":true");
    put(layout::metadata_key(kFull), *json);
    auto found = open().find_backup(kFull, context_);
    ASSERT_TRUE(found.ok());
    EXPECT_TRUE(found->sentinel.is_permanent);
}

TEST_F(GoldenStore, FilesMetadataOfABackup) {
    Repository& repository = open();
    auto metadata = repository.files_metadata(kDelta1, context_);
    ASSERT_TRUE(metadata.ok()) << metadata.status().to_string();
    EXPECT_TRUE(metadata->files.at("/base/5/16385").is_incremented);
    auto missing = repository.files_metadata("base_0000000100000000000000AA", context_);
    ASSERT_FALSE(missing.ok());
    EXPECT_TRUE(missing.status().is(Kind::kNotFound));
}

TEST_F(GoldenStore, WrongKeyIsCorruptNeverMissing) {  // R10
    settings_.keys = ring({{std::string(64, 'a'), crypto::KeyTransform::kHex}});
    auto content = plain(open().open_wal("00000002.history", context_));
    ASSERT_FALSE(content.ok());
    EXPECT_TRUE(content.status().is(Kind::kCorrupt)) << content.status().to_string();
    EXPECT_THAT(content.status().message(), HasSubstr("wal_005/00000002.history.br"));
    EXPECT_EQ(content.status().message().find(std::string(64, 'a')), std::string::npos);
}

TEST_F(GoldenStore, AnyKeyOfTheRingDecrypts) {  // R10
    settings_.keys = ring({{std::string(64, 'a'), crypto::KeyTransform::kHex}, {kHexKey, crypto::KeyTransform::kHex}});
    auto text = open().read_wal_text("00000002.history", context_);
    ASSERT_TRUE(text.ok()) << text.status().to_string();
    EXPECT_EQ(text->size(), 41U);
}

TEST_F(GoldenStore, TruncatedObjectIsRefusedByName) {  // S15
    const std::string key = "wal_005/000000010000000000000004.br";
    const std::string path = join_path(directory_, key);
    const auto size = std::filesystem::file_size(path);
    for (const auto left : {size - 1, std::uintmax_t{24 + 8209}, std::uintmax_t{24}, std::uintmax_t{0}}) {
        std::filesystem::resize_file(path, left);
        auto content = plain(open().open_wal("000000010000000000000004", context_));
        ASSERT_FALSE(content.ok()) << left;
        EXPECT_TRUE(content.status().is(Kind::kCorrupt)) << content.status().to_string();
        EXPECT_THAT(content.status().message(), HasSubstr(key));
    }
}

TEST_F(GoldenStore, MissingWalIsNotFound) {
    auto missing = open().open_wal("0000000100000000000000AA", context_);
    ASSERT_FALSE(missing.ok());
    EXPECT_TRUE(missing.status().is(Kind::kNotFound));
    EXPECT_TRUE(open().open_wal("../secret", context_).status().is(Kind::kInvalid));
}

struct Variant {
    const char* directory;
    const char* key;
    crypto::KeyTransform transform;
    const char* history_digest = "bba070683d728fe28dccdb22f0482f2f1c3bc51be8f84c1b84254dea50fb7da6";
};

class GoldenVariant : public RepositoryTest, public testing::WithParamInterface<Variant> {};

TEST_P(GoldenVariant, HistoryFileIsFoundWhateverWroteIt) {  // R8
    copy_golden(std::string("variants/") + GetParam().directory);
    if (GetParam().key[0] != '\0') settings_.keys = ring({{GetParam().key, GetParam().transform}});
    Repository& repository = open();
    for (int round = 0; round < 2; ++round) {  // the second time the method is remembered
        auto text = repository.read_wal_text("00000002.history", context_);
        ASSERT_TRUE(text.ok()) << text.status().to_string();
        EXPECT_EQ(sha256(*text), GetParam().history_digest);
    }
}

constexpr const char* kBase64Key = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
INSTANTIATE_TEST_SUITE_P(
    All, GoldenVariant,
    testing::Values(
        Variant{"plain-brotli", "", crypto::KeyTransform::kNone}, Variant{"plain-lz4", "", crypto::KeyTransform::kNone},
        Variant{"plain-lzma", "", crypto::KeyTransform::kNone}, Variant{"plain-zstd", "", crypto::KeyTransform::kNone},
        Variant{"plain-none", "", crypto::KeyTransform::kNone},
        Variant{"sodium-base64-lz4", kBase64Key, crypto::KeyTransform::kBase64},
        Variant{"sodium-base64-lzma", kBase64Key, crypto::KeyTransform::kBase64},
        Variant{"sodium-base64-zstd", kBase64Key, crypto::KeyTransform::kBase64},
        Variant{"sodium-hex-none", "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20",
                crypto::KeyTransform::kHex},
        Variant{"sodium-none-padded", "short-passphrase-25-chars", crypto::KeyTransform::kNone},
        Variant{"sodium-none-truncated", "a-passphrase-that-is-longer-than-32-bytes", crypto::KeyTransform::kNone}),
    [](const auto& variant) {
        std::string name = variant.param.directory;
        std::replace(name.begin(), name.end(), '-', '_');
        return name;
    });

// Encryption authenticates every byte; without it nothing but the checksum would notice a flipped one.
TEST_F(RepositoryTest, OnlyPlainObjectsHaveAContentChecksum) {
    for (const bool encrypted : {false, true}) {
        settings_.compression = Method::kLz4;
        settings_.keys = encrypted ? ring({{kHexKey, crypto::KeyTransform::kHex}}) : crypto::KeyRing();
        Repository& repository = open();
        const std::string key = layout::wal_key("00000003.history", Method::kLz4);
        auto sink = repository.create(key, Method::kLz4, context_);
        ASSERT_TRUE(sink.ok()) << sink.status().to_string();
        ASSERT_TRUE((*sink)->write(as_bytes("1\t0/9000E98\n")).ok());
        ASSERT_TRUE((*sink)->finish().ok());
        const Bytes frame = read_all(*repository.open_compressed(key, context_).value(), 1000).value();
        constexpr std::uint8_t kContentChecksum = 0x04;  // of the LZ4 frame's FLG byte
        EXPECT_EQ((frame.at(4) & kContentChecksum) != 0, !encrypted);
    }
}

class Writing : public RepositoryTest, public testing::WithParamInterface<Method> {};

TEST_P(Writing, WhatIsWrittenIsReadAgain) {
    settings_.compression = GetParam();
    settings_.keys = ring({{kHexKey, crypto::KeyTransform::kHex}});
    Repository& repository = open();
    const std::string key = layout::wal_key("00000003.history", GetParam());
    std::uint64_t stored = 0;
    auto sink = repository.create(key, GetParam(), context_, &stored);
    ASSERT_TRUE(sink.ok()) << sink.status().to_string();
    ASSERT_TRUE((*sink)->write(as_bytes("1\t0/9000E98\tno recovery target specified\n")).ok());
    EXPECT_TRUE(repository.open_wal("00000003.history", context_).status().is(Kind::kNotFound))
        << "not visible before finish";
    ASSERT_TRUE((*sink)->finish().ok());
    EXPECT_EQ(stored, std::filesystem::file_size(join_path(directory_, key)));
    auto raw = read_file(join_path(directory_, key), 1 << 20);
    ASSERT_TRUE(raw.ok());
    EXPECT_EQ(raw->find("recovery"), std::string::npos) << "stored encrypted";
    auto text = repository.read_wal_text("00000003.history", context_);
    ASSERT_TRUE(text.ok()) << text.status().to_string();
    EXPECT_EQ(*text, "1\t0/9000E98\tno recovery target specified\n");
}

INSTANTIATE_TEST_SUITE_P(Methods, Writing,
                         testing::Values(Method::kNone, Method::kLz4, Method::kZstd, Method::kBrotli));

TEST_F(RepositoryTest, LevelBelongsToTheConfiguredMethod) {
    settings_.compression = Method::kZstd;
    settings_.compression_level = 19;  // brotli has no such level
    Repository& repository = open();
    EXPECT_TRUE(repository.create("wal_005/00000003.history.br", Method::kBrotli, context_).ok());
    EXPECT_TRUE(
        repository.create("wal_005/00000003.history.lzma", Method::kLzma, context_).status().is(Kind::kInvalid));
}

TEST_F(RepositoryTest, EmptyStoreHasNoBackups) {
    Repository& repository = open();
    auto backups = repository.list_backups(context_);
    ASSERT_TRUE(backups.ok()) << backups.status().to_string();
    EXPECT_TRUE(backups->empty());
    auto wal = repository.list_wal(context_);
    ASSERT_TRUE(wal.ok());
    EXPECT_TRUE(wal->segments.empty());
    auto latest = repository.find_backup("LATEST", context_);
    ASSERT_FALSE(latest.ok());
    EXPECT_THAT(latest.status().hint(), HasSubstr("There is no backup at all"));
}

TEST_F(RepositoryTest, OpensWhatTheSettingsName) {
    NullLogger logger;
    settings::Settings off;
    EXPECT_TRUE(Repository::open(off, logger).status().is(Kind::kInvalid));
    settings::Inputs inputs;
    inputs.env_dir = directory_ + "/none";
    inputs.explicit_values["storage"] = directory_;
    auto settings = settings::load(inputs);
    ASSERT_TRUE(settings.ok()) << settings.status().to_string();
    auto repository = Repository::open(*settings, logger);
    ASSERT_TRUE(repository.ok()) << repository.status().to_string();
    EXPECT_EQ((*repository)->store().url(), "file://" + directory_);
}

}  // namespace
}  // namespace forge::repository
