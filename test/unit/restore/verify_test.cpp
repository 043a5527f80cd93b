#include "core/restore/verify.h"

#include <gmock/gmock.h>

#include "core/backup/manifest.h"
#include "core/restore/verify_pages.h"
#include "test/unit/backup/fake_cluster.h"
#include "test/unit/backup/manifest_text.h"
#include "test/unit/wal/support.h"

namespace forge::restore {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

namespace fs = std::filesystem;

constexpr const char* kD1 = "base_000000010000000000000005_D_000000010000000000000003";
constexpr const char* kD2 = "base_000000010000000000000007_D_000000010000000000000005";

// A copy of a bucket in a directory, which tests damage.
class VerifyTest : public ::testing::Test {
protected:
    Status verify(const std::string& name, const VerifyOptions& options = {}) {
        findings_.clear();
        auto backup = repository_->find_backup(name, {});
        if (!backup.ok()) return backup.status();
        return verify_these({std::move(backup).value()}, options);
    }
    Status verify_these(const std::vector<repository::BackupEntry>& backups, const VerifyOptions& options = {}) {
        findings_.clear();
        progress_ = std::make_unique<VerifyProgress>();
        return verify_backups(
            *repository_, backups, options, [this](const VerifyFinding& finding) { findings_.push_back(finding); },
            *progress_, cancel_, logger_);
    }
    // Object -> "error: …" or "warning: …" of all that is not fine.
    std::multimap<std::string, std::string> problems(const std::string& name, const VerifyOptions& options = {}) {
        const Status status = verify(name, options);
        EXPECT_TRUE(status.ok()) << status.to_string();
        std::multimap<std::string, std::string> result;
        for (const VerifyFinding& finding : findings_)
            if (finding.level != VerifyFinding::Level::kOk)
                result.emplace(finding.object,
                               (finding.level == VerifyFinding::Level::kError ? "error: " : "warning: ") +
                                   finding.detail);
        return result;
    }
    std::multiset<std::string> objects() const {
        std::multiset<std::string> names;
        for (const VerifyFinding& finding : findings_) names.insert(finding.object);
        return names;
    }
    std::string path(const std::string& key) const { return store_ + "/" + key; }
    std::set<std::string> keys(const std::string& prefix = {}) const {
        std::set<std::string> keys;
        for (const auto& entry : fs::recursive_directory_iterator(store_)) {
            const std::string key = fs::relative(entry.path(), store_).string();
            if (entry.is_regular_file() && key.starts_with(prefix)) keys.insert(key);
        }
        return keys;
    }
    std::string content(const std::string& key) const { return test::read_text(path(key)); }
    void replace(const std::string& key, const std::string& content) { test::write_text(path(key), content); }
    // As the repository writes objects.
    void store_object(const std::string& key, codec::Method method, ByteView plain) {
        auto sink = repository_->create(key, method, {});
        ASSERT_TRUE(sink.ok()) << sink.status().to_string();
        ASSERT_TRUE((*sink)->write(plain).ok());
        ASSERT_TRUE((*sink)->finish().ok());
    }
    Bytes plain(const std::string& key, codec::Method method) {
        auto source = repository_->open_object(key, method, {});
        EXPECT_TRUE(source.ok());
        auto bytes = read_all(**source, 64 << 20);
        EXPECT_TRUE(bytes.ok());
        return *bytes;
    }
    // Some text in an object that is stored plain.
    void edit(const std::string& key, const std::string& from, const std::string& to) {
        std::string text = content(key);
        const std::size_t at = text.find(from);
        ASSERT_NE(at, std::string::npos) << from;
        replace(key, text.replace(at, from.size(), to));
    }

    test::TestDirectory directory_;
    std::string store_ = directory_ / "store";
    std::shared_ptr<repository::Repository> repository_;
    std::vector<VerifyFinding> findings_;
    std::unique_ptr<VerifyProgress> progress_;
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

class VerifyGolden : public VerifyTest {
protected:
    VerifyGolden() {
        testing::copy_golden_bucket(store_);
        repository_ = std::make_shared<repository::Repository>(test::local_store(store_),
                                                               test::test_settings(codec::Method::kBrotli));
    }
    static std::string part(const std::string& backup, const std::string& name) {
        return layout::parts_folder(backup) + name;
    }
    static std::string wal(const std::string& name) { return "wal_005/" + name + ".br"; }
};

TEST_F(VerifyGolden, BackupsOfWalGAreFine) {
    for (const std::string& name : {std::string(test::kGoldenFull), std::string(kD1), std::string(kD2)}) {
        EXPECT_THAT(problems(name), IsEmpty()) << name;
        EXPECT_EQ(progress_->objects_done, progress_->objects_total) << name;
        EXPECT_EQ(progress_->bytes_done, progress_->bytes_total) << name;
        EXPECT_EQ(progress_->objects_done, findings_.size()) << name;
    }
    const std::multiset<std::string> seen = objects();
    for (const std::string& key : keys("basebackups_005/"))
        EXPECT_EQ(seen.count(key), 1U) << "the whole chain: " << key;
    EXPECT_EQ(seen.count(wal("000000010000000000000007")), 1U);
    EXPECT_EQ(seen.count(wal("000000010000000000000008")), 0U) << "behind the end of the backup";
}

TEST_F(VerifyGolden, SharedObjectsAreReadOnce) {
    const auto backups = repository_->list_backups({});
    ASSERT_TRUE(backups.ok());
    VerifyOptions options;
    options.all_wal = true;
    const Status status = verify_these(*backups, options);
    ASSERT_TRUE(status.ok()) << status.to_string();
    const std::multiset<std::string> seen = objects();
    for (const std::string& key : seen) EXPECT_EQ(seen.count(key), 1U) << key;
    for (const std::string& key : keys("basebackups_005/")) EXPECT_EQ(seen.count(key), 1U) << key;
    for (const char* name : {"000000010000000000000003", "000000010000000000000008", "000000020000000000000009",
                             "00000002.history", "000000010000000000000005.00000028.backup"})
        EXPECT_EQ(seen.count(wal(name)), 1U) << name;
    for (const VerifyFinding& finding : findings_) {
        EXPECT_EQ(finding.level, VerifyFinding::Level::kOk) << finding.object << ": " << finding.detail;
        const bool is_last = finding.object == wal("000000020000000000000009");
        EXPECT_EQ(finding.detail.find("is the last one") != std::string::npos, is_last) << finding.object;
    }
}

TEST_F(VerifyGolden, AGapInTheWalBehindABackupIsAWarning) {
    fs::remove(path(wal("000000010000000000000006")));
    VerifyOptions options;
    options.all_wal = true;
    EXPECT_THAT(problems(std::string(test::kGoldenFull), options),
                AllOf(SizeIs(1), Contains(Pair("wal_005/000000010000000000000006",
                                               AllOf(HasSubstr("warning: is missing"),
                                                     HasSubstr("\"000000020000000000000009\""))))));
}

// W5, S16: whatever is gone is named, and the rest is still read.
TEST_F(VerifyGolden, W5_S16_EveryObjectThatIsMissingIsNamed) {
    for (const std::string& key : keys("basebackups_005/" + std::string(kD1))) {
        if (key.ends_with("_backup_stop_sentinel.json")) continue;
        const std::string kept = content(key);
        fs::remove(path(key));
        const auto found = problems(kD1);
        const std::string level = key.ends_with("/metadata.json") ? "warning: " : "error: ";
        if (key.ends_with("backup_label.tar.br") || !key.ends_with("pg_control.tar.br"))
            EXPECT_THAT(found, Contains(Pair(key, level + "is missing"))) << key;
        else
            EXPECT_THAT(found, Contains(Key(HasSubstr("pg_control.tar")))) << key;
        EXPECT_GE(findings_.size(), 12U) << "the others are read: " << key;
        replace(key, kept);
    }
    fs::remove(path(layout::sentinel_key(test::kGoldenFull)));
    EXPECT_THAT(problems(kD1), Contains(Pair(layout::sentinel_key(test::kGoldenFull), HasSubstr("is missing"))))
        << "a chain without its full backup";
}

// S14, S15: the codecs and the encryption notice what is cut or changed; one damaged object does not hide another.
TEST_F(VerifyGolden, S14_S15_EveryDamagedObjectIsNamed) {
    std::set<std::string> all = keys("basebackups_005/" + std::string(kD1) + "/");
    all.insert(wal("000000010000000000000005"));
    all.insert(wal("000000010000000000000005.00000028.backup"));
    const auto expect_named = [&](const std::string& what, const std::function<std::string(std::string)>& damage) {
        std::map<std::string, std::string> kept;
        for (const std::string& key : all) {
            kept[key] = content(key);
            replace(key, damage(kept[key]));
        }
        const auto found = problems(kD1);
        for (const std::string& key : all) {
            EXPECT_THAT(found, Contains(Key(key))) << what;
            replace(key, kept[key]);
        }
    };
    for (const std::size_t size : {std::size_t{0}, std::size_t{24}, std::size_t{24 + 8209}})
        expect_named("cut", [&](const std::string& text) {
            return text.size() > size ? text.substr(0, size) : text.substr(0, text.size() - 2);
        });
    expect_named("one byte less", [](const std::string& text) { return text.substr(0, text.size() - 1); });
    std::erase_if(all, [](const std::string& key) { return key.ends_with(".json"); });  // a digit is as good as another
    expect_named("one bit", [](std::string text) {
        text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
        return text;
    });
    EXPECT_THAT(problems(kD1), IsEmpty());
}

TEST_F(VerifyGolden, S16_PartsOfAnotherBackupAreNoticed) {
    fs::copy_file(path(part(kD1, "part_001.tar.br")), path(part(kD2, "part_001.tar.br")),
                  fs::copy_options::overwrite_existing);
    EXPECT_THAT(problems(kD2), Not(IsEmpty()));
    fs::copy_file(path(part(kD1, "backup_label.tar.br")), path(part(kD2, "backup_label.tar.br")),
                  fs::copy_options::overwrite_existing);
    EXPECT_THAT(problems(kD2), Contains(Pair(part(kD2, "backup_label.tar.br"), HasSubstr("starts at 0/5000028"))));
}

TEST_F(VerifyGolden, S16_UnexpectedObjectsAreNamed) {
    const std::string extra = part(kD1, "part_002.tar.br");
    fs::copy_file(path(part(kD1, "part_001.tar.br")), path(extra));
    replace(part(kD1, "notes.txt"), "x");
    replace("basebackups_005/" + std::string(kD1) + "/notes.txt", "x");
    const auto found = problems(kD1);
    EXPECT_THAT(found, SizeIs(3));
    EXPECT_THAT(found, Contains(Pair(extra, HasSubstr("error: is not part of the backup"))));
    EXPECT_THAT(found, Contains(Pair(part(kD1, "notes.txt"), HasSubstr("error: is no part of a backup"))));
    EXPECT_THAT(found, Contains(Pair("basebackups_005/" + std::string(kD1) + "/notes.txt",
                                     HasSubstr("warning: is not part of the backup"))));
}

TEST_F(VerifyGolden, WholeFilesAndIncrementsAreNotTakenForEachOther) {
    const std::string list = layout::files_metadata_key(kD1);
    const std::string kept = content(list);
    // /base/5/16393 is an increment of 8 pages.
    edit(list, R"("/base/5/16393":{"IsIncremented":true)", R"("/base/5/16393":{"IsIncremented":false)");
    EXPECT_THAT(problems(kD1), Contains(Pair(part(kD1, "part_001.tar.br"),
                                             HasSubstr("an increment of file \"base/5/16393\", which is listed as a "
                                                       "whole file"))));
    replace(list, kept);
    edit(list, R"("/base/5/16393":{"IsIncremented":true,"IsSkipped":false)",
         R"("/base/5/16393":{"IsIncremented":false,"IsSkipped":true)");
    EXPECT_THAT(problems(kD1), Contains(Pair(part(kD1, "part_001.tar.br"),
                                             HasSubstr("\"base/5/16393\", which is listed as unchanged"))));
}

TEST_F(VerifyGolden, AFileThatTheChainDoesNotHaveIsNamed) {
    edit(layout::files_metadata_key(test::kGoldenFull), R"("/PG_VERSION":)", R"("/PG_VERSION2":)");
    const auto found = problems(kD1);
    EXPECT_THAT(found, Contains(Pair(kD1, AllOf(HasSubstr("does not have"), HasSubstr("\"PG_VERSION\"")))));
    EXPECT_THAT(found, Contains(Pair(std::string(test::kGoldenFull), HasSubstr("\"PG_VERSION2\""))));
}

TEST_F(VerifyGolden, AParentThatWasReplacedIsNoticed) {
    edit(layout::sentinel_key(test::kGoldenFull), R"("LSN":50331688)", R"("LSN":50331696)");
    EXPECT_THAT(problems(kD1), Contains(Pair(kD1, HasSubstr("starts at 0/3000030"))));
}

// W2, R8: without a list nobody knows what is missing; of a delta, not even what is there.
TEST_F(VerifyGolden, W2_ABackupWithoutListOfFilesIsAWarningAndADeltaAnError) {
    edit(layout::sentinel_key(test::kGoldenFull), R"("ChkpNum")", R"("FilesMetadataDisabled":true,"ChkpNum")");
    fs::remove(path(layout::files_metadata_key(test::kGoldenFull)));
    EXPECT_THAT(
        problems(std::string(test::kGoldenFull)),
        AllOf(SizeIs(1), Contains(Pair(std::string(test::kGoldenFull), HasSubstr("warning: was made without")))));
    EXPECT_THAT(problems(kD1), Contains(Pair(kD1, HasSubstr("error: builds on"))));
}

TEST_F(VerifyGolden, WalOfAnotherPlaceOrClusterIsNoticed) {
    const std::string key = wal("000000010000000000000005");
    const std::string kept = content(key);
    replace(key, content(wal("000000010000000000000006")));
    EXPECT_THAT(problems(kD1), Contains(Pair(key, HasSubstr("holds the WAL from 0/6000000, expected 0/5000000"))));
    replace(key, kept);
    Bytes segment = plain(key, codec::Method::kBrotli);
    Bytes changed = segment;
    changed[24] ^= 1;
    store_object(key, codec::Method::kBrotli, changed);
    EXPECT_THAT(problems(kD1), Contains(Pair(key, HasSubstr("belongs to another cluster"))));
    changed = segment;
    changed[4] = 7;
    store_object(key, codec::Method::kBrotli, changed);
    EXPECT_THAT(problems(kD1), Contains(Pair(key, HasSubstr("a page of timeline 7 at 0/5000000"))));
    changed = segment;
    changed[100] ^= 1;
    store_object(key, codec::Method::kBrotli, changed);
    EXPECT_THAT(problems(kD1), Contains(Pair(key, HasSubstr("is damaged: valid WAL ends at 0/50000"))));
    segment.resize(segment.size() - 8192);
    store_object(key, codec::Method::kBrotli, segment);
    EXPECT_THAT(problems(kD1), Contains(Pair(key, HasSubstr("16769024 bytes instead of 16777216"))));
    fs::remove(path(key));
    EXPECT_THAT(problems(kD1), Contains(Pair("wal_005/000000010000000000000005", HasSubstr("error: is missing"))));
}

// R12: both are decoded and compared.
TEST_F(VerifyGolden, R12_ASegmentInTwoMethodsMustBeTheSame) {
    const std::string second = "wal_005/000000010000000000000005.zst";
    Bytes segment = plain(wal("000000010000000000000005"), codec::Method::kBrotli);
    store_object(second, codec::Method::kZstd, segment);
    EXPECT_THAT(problems(kD1), IsEmpty());
    EXPECT_EQ(objects().count(second), 1U);
    segment.back() ^= 1;
    store_object(second, codec::Method::kZstd, segment);
    EXPECT_THAT(problems(kD1), AllOf(SizeIs(1), Contains(Pair(second, HasSubstr("is not the same as")))));
}

TEST_F(VerifyGolden, AWrongKeyIsAFindingOfEveryEncryptedObject) {
    settings::Settings settings = test::test_settings(codec::Method::kBrotli, false);
    settings.keys = crypto::KeyRing({testing::other_key()});
    repository_ = std::make_shared<repository::Repository>(test::local_store(store_), settings);
    const auto found = problems(std::string(test::kGoldenFull));
    for (const std::string& key : keys(layout::parts_folder(test::kGoldenFull)))
        EXPECT_THAT(found, Contains(Pair(key, HasSubstr("cannot be decrypted")))) << key;
}

TEST_F(VerifyGolden, CancelledItStops) {
    auto backup = repository_->find_backup(kD2, {});
    ASSERT_TRUE(backup.ok());
    cancel_.cancel();
    EXPECT_EQ(verify_these({*backup}).kind(), Kind::kCancelled);
}

TEST_F(VerifyGolden, TheRateIsKept) {
    ASSERT_TRUE(verify(std::string(test::kGoldenFull)).ok());
    VerifyOptions options;
    options.rate_limit = progress_->bytes_total * 2 / 3;  // 1.5 seconds, of which the first may be at once
    const Steady::time_point started = Steady::now();
    ASSERT_TRUE(verify(std::string(test::kGoldenFull), options).ok());
    EXPECT_GE(std::chrono::duration<double>(Steady::now() - started).count(), 0.4);
}

// Backups of the engine, with the WAL that they need.
class VerifyOwn : public VerifyTest {
protected:
    static constexpr const char* kName = "base_000000010000000000000005";

    void make(settings::Settings settings, bool verify_checksums = true) {
        settings.part_size_limit = 60'000;
        store_ = cluster_.root() / "store";
        repository_ = cluster_.repository(settings);
        backup::BackupStart start = cluster_.start();
        start.verify_checksums = verify_checksums;
        backup::Progress progress;
        auto engine = backup::begin_backup(repository_, start, progress, cancel_, logger_);
        ASSERT_TRUE(engine.ok()) << engine.status().to_string();
        ASSERT_TRUE((*engine)->copy_files().ok());
        const auto report = (*engine)->finish(cluster_.stop());
        ASSERT_TRUE(report.ok()) << report.status().to_string();
        testing::WalBuilder wal(5, layout::kDefaultSegmentSize);
        for (int i = 0; i < 20; ++i) wal.add_commit(700, 1'795'000'000'000'000);
        wal.add(0, 0x40, 0, {});  // a switch ends the segment
        method_ = settings.compression;
        wal_key_ = layout::wal_key("000000010000000000000005", method_);
        segment_ = wal.segments().front();
        store_object(wal_key_, method_, segment_);
    }
    std::vector<std::string> parts() const {
        const auto all = keys(layout::parts_folder(kName));
        return {all.begin(), all.end()};
    }

    test::FakeCluster cluster_;
    codec::Method method_ = codec::Method::kZstd;
    std::string wal_key_;
    Bytes segment_;
};

class VerifyMethods : public VerifyOwn, public ::testing::WithParamInterface<std::pair<codec::Method, bool>> {};

TEST_P(VerifyMethods, OwnBackupsAreFine) {
    make(test::test_settings(GetParam().first, GetParam().second));
    EXPECT_THAT(problems(kName), IsEmpty());
    EXPECT_EQ(progress_->bytes_done, progress_->bytes_total);
    EXPECT_EQ(progress_->objects_done, progress_->objects_total);
    const std::multiset<std::string> seen = objects();
    for (const std::string& key : keys()) EXPECT_EQ(seen.count(key), 1U) << key;
}
// S14, S15, S16
TEST_P(VerifyMethods, S14_S15_S16_WhatIsDamagedOrGoneIsNamed) {
    make(test::test_settings(GetParam().first, GetParam().second));
    const std::vector<std::string> all = parts();
    const auto expect_named = [&](const std::string& what, const std::function<std::string(std::string)>& damage) {
        std::map<std::string, std::string> kept;
        std::map<std::string, Bytes> before;
        for (const std::string& key : all) {
            before[key] = plain(key, GetParam().first);
            kept[key] = content(key);
            replace(key, damage(kept[key]));
        }
        const auto found = problems(kName);
        for (const std::string& key : all) {
            // Another offset into a run of zeroes gives the same zeroes with lz4.
            const auto source = repository_->open_object(key, GetParam().first, {});
            const auto now = source.ok() ? read_all(**source, 64 << 20) : Result<Bytes>(source.status());
            if (!now.ok() || *now != before[key]) {
                EXPECT_THAT(found, Contains(Key(key))) << what;
            }
            replace(key, kept[key]);
        }
    };
    for (const std::size_t size : {std::size_t{0}, std::size_t{24}})
        expect_named(std::to_string(size) + " bytes", [&](const std::string& text) { return text.substr(0, size); });
    expect_named("one byte less", [](const std::string& text) { return text.substr(0, text.size() - 1); });
    for (const int share : {0, 1, 2, 3})
        expect_named("one bit", [&](std::string text) {
            char& byte = text[text.size() * static_cast<std::size_t>(share) / 4];
            byte = static_cast<char>(byte ^ 4);
            return text;
        });
    for (const std::string& key : all) fs::rename(path(key), path(key) + ".gone");
    const auto found = problems(kName);
    for (const std::string& key : all) {
        EXPECT_THAT(found, Contains(Pair(key, "error: is missing")));
        fs::rename(path(key) + ".gone", path(key));
    }

    const std::string manifest = backup::manifest_key(kName, GetParam().first);
    const std::string kept = content(manifest);
    replace(manifest, kept.substr(0, kept.size() - 1));
    EXPECT_THAT(problems(kName), Contains(Pair(manifest, HasSubstr("error: "))));
    fs::remove(path(manifest));
    EXPECT_THAT(problems(kName), Contains(Pair(manifest, "error: is missing")));
}
INSTANTIATE_TEST_SUITE_P(
    All, VerifyMethods,
    ::testing::Values(std::pair(codec::Method::kZstd, true), std::pair(codec::Method::kBrotli, true),
                      std::pair(codec::Method::kLz4, false), std::pair(codec::Method::kNone, false)),
    [](const auto& tested) {
        return std::string(codec::method_name(tested.param.first)) + (tested.param.second ? "_encrypted" : "_plain");
    });

// S16, K5: parts of the same backup in each other's place.
TEST_F(VerifyOwn, S16_SwappedPartsAreBothNamed) {
    make(test::test_settings());
    const auto all = parts();
    ASSERT_GE(all.size(), 4U);
    const std::string first = content(all[1]), second = content(all[2]);
    replace(all[1], second);
    replace(all[2], first);
    const auto found = problems(kName);
    EXPECT_THAT(found, Contains(Key(all[1])));
    EXPECT_THAT(found, Contains(Key(all[2])));
}

TEST_F(VerifyOwn, SentinelAndManifestAreBoundTogether) {
    make(test::test_settings());
    const std::string sentinel = layout::sentinel_key(kName);
    edit(sentinel, R"("UserData":{"why":"test"})", R"("UserData":{"why":"tests"})");
    EXPECT_THAT(problems(kName), Contains(Pair(HasSubstr("forge_manifest.json"), HasSubstr("another sentinel"))));
    replace(sentinel, "{");
    const auto entries = repository_->list_backups({});
    ASSERT_TRUE(entries.ok());
    ASSERT_TRUE(verify_these(*entries).ok());
    const std::multiset<std::string> seen = objects();
    for (const std::string& key : keys()) EXPECT_EQ(seen.count(key), 1U) << "read without a sentinel, too: " << key;
}

TEST_F(VerifyOwn, AFileThatIsListedTwiceIsAnError) {
    make(test::test_settings());
    const std::string key = backup::manifest_key(kName, codec::Method::kZstd);
    const Bytes text = plain(key, codec::Method::kZstd);
    auto manifest = test::parse_manifest(as_text(text));
    ASSERT_TRUE(manifest.ok()) << manifest.status().to_string();
    manifest->listed.push_back(manifest->listed.front());
    store_object(key, codec::Method::kZstd, as_bytes(test::text_of(*manifest)));
    EXPECT_THAT(problems(kName), Contains(Pair(key, HasSubstr("twice"))));
}

// D4: the page is named, unless it may be torn.
TEST_F(VerifyOwn, D4_WrongChecksumsAreNamedByFileAndBlock) {
    Bytes pages = test::relation_pages(40);
    pages[3 * backup::kPageSize + 1000] ^= 1;
    const Bytes torn = test::relation_pages(1, 5, test::kStart);
    std::copy(torn.begin(), torn.end(), pages.begin() + 5 * static_cast<std::ptrdiff_t>(backup::kPageSize));
    pages[5 * backup::kPageSize + 1000] ^= 1;
    test::write_bytes(cluster_.data("base/5/16384"), pages);
    make(test::test_settings(), false);
    const auto found = problems(kName);
    EXPECT_THAT(found,
                AllOf(SizeIs(1), Contains(Pair(HasSubstr("tar_partitions/part_"),
                                               "error: has file \"base/5/16384\" with wrong checksums of 1 page, "
                                               "block 3"))));
}

TEST_F(VerifyOwn, PagesFromAfterTheEndOfTheBackupAreNamed) {
    test::write_bytes(cluster_.data("base/5/16385"), test::relation_pages(2, 0, 0x9000000));
    make(test::test_settings());
    EXPECT_THAT(
        problems(kName),
        AllOf(SizeIs(1), Contains(Pair(HasSubstr("part_"), HasSubstr("from after the end of the backup in 2 pages, "
                                                                     "blocks 0, 1")))));
}

TEST_F(VerifyOwn, WhatRecoveryDoesNotNeedIsAWarning) {
    make(test::test_settings());
    testing::WalBuilder wal(5, layout::kDefaultSegmentSize);
    while (wal.position() < test::kStart + 0x200) wal.add_filler(100);
    store_object(wal_key_, method_, wal.segments().front());
    EXPECT_THAT(problems(kName), AllOf(SizeIs(1), Contains(Pair(wal_key_, HasSubstr("warning: valid WAL ends at")))));
}

// N1: what could not be read is no finding.
TEST_F(VerifyOwn, AStoreThatDoesNotAnswerIsAFailure) {
    make(test::test_settings());
    class DeadAfter final : public Source {
    public:
        Result<std::size_t> read(MutableBytes) override { return Status(Kind::kUnavailable, "the store is gone"); }
    };
    class DyingStore final : public store::ForwardingStore {
    public:
        using ForwardingStore::ForwardingStore;
        Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<store::ByteRange> range,
                                            const store::CallContext& context) override {
            if (key.find("part_002") != std::string::npos)
                return std::unique_ptr<Source>(std::make_unique<DeadAfter>());
            return next().get(key, range, context);
        }
        Status put(const std::string&, ByteView, const store::CallContext&) override { return read_only(); }
        Result<store::PutOutcome> put_if_absent(const std::string&, ByteView, const store::CallContext&) override {
            return read_only();
        }
        Result<std::unique_ptr<Sink>> create(const std::string&, const store::CallContext&) override {
            return read_only();
        }
        Status remove(const std::vector<std::string>&, const store::CallContext&) override { return read_only(); }
        Result<int> remove_leftovers(const std::string&, seconds, const store::CallContext&) override {
            return read_only();
        }

    private:
        static Status read_only() { return Status(Kind::kDenied, "verification writes nothing"); }
    };
    repository_ = std::make_shared<repository::Repository>(std::make_shared<DyingStore>(test::local_store(store_)),
                                                           test::test_settings());
    const Status status = verify(kName);
    EXPECT_EQ(status.kind(), Kind::kUnavailable) << status.to_string();
}

TEST(PageJudge, PiecesOfAnySizeMakePages) {
    Bytes pages = test::relation_pages(3, 131072);
    pages[backup::kPageSize + 5000] ^= 1;
    for (const std::size_t step : {std::size_t{1}, std::size_t{1000}, backup::kPageSize, std::size_t{20'000}}) {
        PageJudge judge({0x2000000, 0x3000000}, 131072);
        for (std::size_t at = 0; at < pages.size(); at += step)
            judge.feed(ByteView(pages).subspan(at, std::min(step, pages.size() - at)));
        EXPECT_EQ(judge.wrong_checksums().count, 1U) << step;
        EXPECT_THAT(judge.wrong_checksums().blocks, ::testing::ElementsAre(1U)) << step;
        EXPECT_EQ(judge.too_new().count, 0U) << step;
    }
}

}  // namespace
}  // namespace forge::restore
