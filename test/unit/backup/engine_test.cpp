#include "core/backup/engine.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "core/backup/manifest.h"
#include "test/unit/backup/fake_cluster.h"
#include "test/unit/backup/manifest_text.h"

namespace forge::backup {
namespace fs = std::filesystem;

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr std::string_view kName = "base_000000010000000000000005";

class Engine : public ::testing::Test {
protected:
    Engine() : hooks_(std::make_shared<test::HookStore>(test::local_store(cluster_.root() / "store"))) {
        settings_.upload_concurrency = 2;
    }
    std::shared_ptr<repository::Repository> repository() {
        return std::make_shared<repository::Repository>(hooks_, settings_);
    }
    Result<std::unique_ptr<BackupEngine>> begin() { return begin(cluster_.start()); }
    Result<std::unique_ptr<BackupEngine>> begin(BackupStart start) {
        return begin_backup(repository(), std::move(start), progress_, cancel_, logger_);
    }
    // The whole backup; the report or the first failure.
    Result<BackupReport> make() {
        FORGE_ASSIGN(auto engine, begin());
        FORGE_TRY(engine->copy_files());
        return engine->finish(cluster_.stop());
    }
    std::string path(const std::string& key) const { return cluster_.root() / ("store/" + key); }
    nlohmann::json document(const std::string& key) const { return nlohmann::json::parse(test::read_text(path(key))); }
    std::string folder() const { return "basebackups_005/" + std::string(kName) + "/"; }
    test::WholeManifest manifest() {
        auto source = repository()->open_object(manifest_key(kName, settings_.backup_compression),
                                                settings_.backup_compression, {});
        EXPECT_TRUE(source.ok()) << source.status().to_string();
        auto text = read_all_text(**source, 1 << 26);
        auto result = test::parse_manifest(text.ok() ? *text : "");
        EXPECT_TRUE(result.ok()) << result.status().to_string();
        return result.ok() ? *result : test::WholeManifest();
    }
    const ManifestFile* find_file(const test::WholeManifest& manifest, const std::string& path) {
        for (const ManifestFile& file : manifest.listed)
            if (file.path == path) return &file;
        return nullptr;
    }

    test::FakeCluster cluster_;
    settings::Settings settings_ = test::test_settings();
    std::shared_ptr<test::HookStore> hooks_;
    Progress progress_;
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

TEST_F(Engine, WritesTheObjectsOfTheLayout) {
    auto report = make();
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_EQ(report->name, kName);
    const auto objects = cluster_.objects();
    for (const char* name :
         {"metadata.json", "files_metadata.json", "forge_manifest.json.zst", "tar_partitions/part_001.tar.zst",
          "tar_partitions/pg_control.tar.zst", "tar_partitions/backup_label.tar.zst"})
        EXPECT_TRUE(objects.contains(folder() + name)) << name;
    EXPECT_TRUE(objects.contains("basebackups_005/" + std::string(kName) + "_backup_stop_sentinel.json"));
    for (const std::string& key : objects)
        EXPECT_TRUE(!key.starts_with(folder() + "tar_partitions/") || layout::part_method(key)) << key;
    EXPECT_EQ(report->parts, static_cast<int>(objects.size()) - 4);
    EXPECT_EQ(report->corrupt_pages, 0U);
    EXPECT_THAT(logger_.warnings(), IsEmpty());
}

TEST_F(Engine, SentinelAndMetadataHaveEveryField) {
    BackupStart start = cluster_.start();
    start.permanent = true;
    auto engine = begin(start);
    ASSERT_TRUE(engine.ok()) << engine.status().to_string();
    ASSERT_TRUE((*engine)->copy_files().ok());
    auto report = (*engine)->finish(cluster_.stop());
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    const auto sentinel = document("basebackups_005/" + std::string(kName) + "_backup_stop_sentinel.json");
    EXPECT_EQ(sentinel["LSN"], test::kStart);
    EXPECT_EQ(sentinel["FinishLSN"], test::kStart + 0x100);
    EXPECT_EQ(sentinel["PgVersion"], 150020);
    EXPECT_EQ(sentinel["SystemIdentifier"], test::kGoldenSystem);
    EXPECT_EQ(sentinel["DataDir"], cluster_.data());
    EXPECT_EQ(sentinel["Spec"]["base_prefix"], cluster_.data());
    EXPECT_EQ(sentinel["Spec"]["16386"]["loc"], cluster_.tablespace());
    EXPECT_EQ(sentinel["UserData"]["why"], "test");
    EXPECT_EQ(sentinel["IsPermanent"], true);
    EXPECT_EQ(sentinel["Version"], 2);
    EXPECT_EQ(sentinel["UncompressedSize"], report->uncompressed);
    EXPECT_EQ(sentinel["CompressedSize"], report->compressed);
    EXPECT_GT(sentinel["DataCatalogSize"], report->uncompressed);
    EXPECT_FALSE(sentinel["Hostname"].get<std::string>().empty());
    std::uint64_t stored = 0;
    for (const auto& entry : fs::directory_iterator(path(folder() + "tar_partitions"))) stored += entry.file_size();
    EXPECT_EQ(report->compressed, stored);
    EXPECT_EQ(progress_.bytes_stored, stored);
    EXPECT_EQ(document(folder() + "metadata.json")["start_lsn"], test::kStart);
}

// The names in the tars, in Files and in TarFileSets must agree, or the other program does not restore the files.
TEST_F(Engine, FilesMetadataListsEveryMember) {
    settings_.part_size_limit = 100'000;
    ASSERT_TRUE(make().ok());
    const auto metadata = document(folder() + "files_metadata.json");
    std::set<std::string> listed;
    for (const auto& [part, members] : metadata["TarFileSets"].items()) {
        EXPECT_TRUE(cluster_.objects().contains(folder() + "tar_partitions/" + part)) << part;
        if (part == "backup_label.tar.zst") continue;
        for (const auto& member : members) EXPECT_TRUE(listed.insert(member.get<std::string>()).second) << member;
    }
    std::set<std::string> files;
    for (const auto& [name, entry] : metadata["Files"].items()) files.insert(name);
    EXPECT_EQ(files, listed);
    EXPECT_THAT(metadata["TarFileSets"]["backup_label.tar.zst"], ElementsAre("tablespace_map", "backup_label"));
    EXPECT_FALSE(metadata["TarFileSets"].contains("pg_control.tar.zst"));
    EXPECT_GT(metadata["TarFileSets"].size(), 2U);
    EXPECT_TRUE(files.contains("/"));
    EXPECT_EQ(metadata["TarFileSets"]["part_001.tar.zst"][0], "/");
    EXPECT_FALSE(files.contains("/global/pg_control"));
    struct stat info {};
    ASSERT_EQ(::stat(cluster_.data("base/5/16384").c_str(), &info), 0);
    auto mtime = parse_time(metadata["Files"]["/base/5/16384"]["MTime"].get<std::string>());
    ASSERT_TRUE(mtime.ok());
    EXPECT_EQ(mtime->nanos, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);
}

TEST_F(Engine, ManifestHoldsEveryPartAndFile) {
    ASSERT_TRUE(make().ok());
    const test::WholeManifest found = manifest();
    EXPECT_EQ(found.backup, kName);
    for (const ManifestPart& part : found.parts)
        EXPECT_EQ(fs::file_size(path(folder() + "tar_partitions/" + part.name)), part.stored_size);
    const std::string content = test::read_text(cluster_.data("base/5/16384"));
    const ManifestFile* file = find_file(found, "base/5/16384");
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->size, content.size());
    EXPECT_EQ(file->checksum, file_checksum(as_bytes(content)));
    for (const char* name :
         {"global/pg_control", "backup_label", "tablespace_map", "pg_tblspc/16386/PG_15_202209061/5/16390"})
        EXPECT_NE(find_file(found, name), nullptr) << name;
}

// The sentinel names the manifest, and the manifest knows the sentinel byte for byte.
TEST_F(Engine, SentinelAndManifestAreBoundTogether) {
    ASSERT_TRUE(make().ok());
    const std::string key = "basebackups_005/" + std::string(kName) + "_backup_stop_sentinel.json";
    EXPECT_EQ(document(key)["ForgeManifest"], "forge_manifest.json.zst");
    const test::WholeManifest found = manifest();
    EXPECT_EQ(found.sentinel_sha256, sha256(as_bytes(test::read_text(path(key)))));
    EXPECT_THAT(found.parent, IsEmpty());
    EXPECT_THAT(found.skipped, IsEmpty());
    EXPECT_THAT(found.incremented, IsEmpty());
}

TEST_F(Engine, ProgressEndsComplete) {
    ASSERT_TRUE(make().ok());
    EXPECT_EQ(progress_.files_done, progress_.files_total);
    EXPECT_EQ(progress_.bytes_done, progress_.bytes_total);
    EXPECT_EQ(progress_.tablespaces_done, 2U);
}

TEST_F(Engine, StandbyIsNamedAfterTheSegmentBeforeItsStartPoint) {
    BackupStart start = cluster_.start();
    start.from_standby = true;
    start.start_lsn = 0x6000000;
    auto engine = begin(start);
    ASSERT_TRUE(engine.ok());
    EXPECT_EQ((*engine)->name(), kName);
}

// P4: a standby goes on with its backup when its primary changes, even twice.
TEST_F(Engine, ABackupOfAStandbyMayEndOnALaterTimeline) {
    BackupStart start = cluster_.start();
    start.from_standby = true;
    auto engine = begin(start);
    ASSERT_TRUE(engine.ok());
    ASSERT_TRUE((*engine)->copy_files().ok());
    test::write_text(cluster_.data("pg_wal/00000003.history"), "1\t0/5000080\tno reason\n2\t0/50000A0\tno reason\n");
    BackupStop stop = cluster_.stop();
    stop.timeline = 3;
    const auto report = (*engine)->finish(stop);
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_EQ(report->name, kName);
    EXPECT_EQ(document("basebackups_005/" + std::string(kName) + "_backup_stop_sentinel.json")["ForgeFinishTimeline"],
              3);
    const auto backups = cluster_.repository()->list_backups({});
    ASSERT_TRUE(backups.ok());
    ASSERT_THAT(*backups, SizeIs(1));
    EXPECT_EQ(backups->front().timeline(), 1U);
    EXPECT_EQ(backups->front().finish_timeline(), 3U);
    const auto source =
        cluster_.repository()->open_object(folder() + "forge_manifest.json.zst", codec::Method::kZstd, {});
    ASSERT_TRUE(source.ok());
    const auto manifest = test::parse_manifest(read_all_text(**source, 1 << 20).value());
    ASSERT_TRUE(manifest.ok()) << manifest.status().to_string();
    ASSERT_THAT(manifest->files.wal, SizeIs(3));
    EXPECT_EQ(manifest->files.wal[0].end, 0x5000080U);
    EXPECT_EQ(manifest->files.wal[1].timeline, 2U);
    EXPECT_EQ(manifest->files.wal[2].start, 0x50000A0U);
    EXPECT_EQ(manifest->files.wal[2].end, stop.finish_lsn);
}

TEST_F(Engine, ATimelineThatTheBackupDoesNotLeadToIsRefused) {
    BackupStart start = cluster_.start();
    start.from_standby = true;
    for (const char* history : {"1\t0/4000080\tbefore the backup began\n", "1\t0/7000080\tafter it ended\n", ""}) {
        auto engine = begin(start);
        ASSERT_TRUE(engine.ok());
        ASSERT_TRUE((*engine)->copy_files().ok());
        if (*history != 0) test::write_text(cluster_.data("pg_wal/00000002.history"), history);
        BackupStop stop = cluster_.stop();
        stop.timeline = 2;
        EXPECT_FALSE((*engine)->finish(stop).ok()) << history;
        engine->reset();
        EXPECT_THAT(cluster_.repository()->list_backups({}).value(), IsEmpty());
        fs::remove(cluster_.data("pg_wal/00000002.history"));
    }
}

TEST_F(Engine, ExistingBackupIsRefusedAndStaysAsItIs) {
    ASSERT_TRUE(make().ok());
    const auto before = test::tree_of(cluster_.root() / "store");
    const Status status = begin().status();
    EXPECT_EQ(status.kind(), Kind::kAlreadyExists);
    EXPECT_THAT(status.hint(), HasSubstr("after the next checkpoint"));
    EXPECT_EQ(test::differences(test::tree_of(cluster_.root() / "store"), before), "");
}

// C7: parts that a killed attempt left behind would be restored with the new ones.
TEST_F(Engine, LeftoversOfAFailedAttemptAreRemovedFirst) {
    const std::string stray = path(folder() + "tar_partitions/part_900.tar.zst");
    const std::string other =
        path("basebackups_005/base_000000010000000000000005_D_000000010000000000000003/metadata.json");
    test::write_text(stray, "old");
    test::write_text(other, "{}");
    ASSERT_TRUE(make().ok());
    EXPECT_FALSE(fs::exists(stray));
    EXPECT_TRUE(fs::exists(other));
}

// C7: no sentinel, no object.
TEST_F(Engine, CancelledBackupLeavesNothing) {
    settings_.part_size_limit = 50'000;
    std::atomic<int> writes{0};
    hooks_->on_write = [&](const std::string&) {
        if (++writes == 4) cancel_.cancel();
        return Status();
    };
    EXPECT_EQ(make().status().kind(), Kind::kCancelled);
    EXPECT_THAT(cluster_.objects(), IsEmpty());
}

TEST_F(Engine, FirstFailureStopsAllWorkersAndLeavesNothing) {
    settings_.part_size_limit = 50'000;
    hooks_->on_write = [&](const std::string& key) {
        return key.ends_with("part_002.tar.zst") ? Status(Kind::kDenied, "access denied to " + key) : Status();
    };
    const Status status = make().status();
    EXPECT_EQ(status.kind(), Kind::kDenied);
    EXPECT_THAT(status.message(), HasSubstr("part_002"));
    EXPECT_THAT(cluster_.objects(), IsEmpty());
}

// C8, C9, C10: a failure at any object after the copy leaves nothing either.
TEST_F(Engine, FailureAfterTheCopyLeavesNothing) {
    for (const char* at :
         {"backup_label.tar.zst", "forge_manifest.json.zst", "/metadata.json", "files_metadata.json"}) {
        const auto fail = [&](const std::string& key) {
            return key.ends_with(at) ? Status(Kind::kUnavailable, "store is gone") : Status();
        };
        hooks_->on_create = hooks_->on_put = fail;
        EXPECT_EQ(make().status().kind(), Kind::kUnavailable) << at;
        EXPECT_THAT(cluster_.objects(), IsEmpty()) << at;
    }
}

// N5: the answer to the last write got lost, but the sentinel is there.
// S24, C10: a rule of the bucket, or the helper of a killed server that tidies up after its own backup of the same
// name.
TEST_F(Engine, PartThatVanishedOrChangedMeanwhileFailsTheBackup) {
    for (const bool vanished : {true, false}) {
        auto engine = begin(cluster_.start());
        ASSERT_TRUE(engine.ok()) << engine.status().to_string();
        ASSERT_TRUE((*engine)->copy_files().ok());
        const std::string part = cluster_.root() / ("store/" + folder() + "tar_partitions/part_001.tar.zst");
        if (vanished)
            fs::remove(part);
        else
            fs::resize_file(part, 100);
        const Status status = (*engine)->finish(cluster_.stop()).status();
        EXPECT_EQ(status.kind(), Kind::kUnavailable);
        EXPECT_THAT(status.message(), HasSubstr("part_001.tar.zst"));
        (*engine)->abandon();
        EXPECT_THAT(cluster_.objects(), IsEmpty());
    }
}

TEST_F(Engine, SentinelIsTheLastObjectAndALostAnswerIsNoFailure) {
    std::vector<std::string> order;
    hooks_->on_put = [&](const std::string& key) {
        order.push_back(fs::path(key).filename().string());
        if (!key.ends_with("sentinel.json")) return Status();
        EXPECT_TRUE(cluster_.objects().contains(folder() + "forge_manifest.json.zst"));
        return Status();
    };
    hooks_->on_create = [&](const std::string& key) {
        if (key.ends_with("/files_metadata.json")) order.push_back("files_metadata.json");
        return Status();
    };
    ASSERT_TRUE(make().ok());
    EXPECT_THAT(order, ElementsAre("metadata.json", "files_metadata.json", StartsWith(kName)));
}

TEST_F(Engine, SentinelOfSomebodyElseIsNotReplaced) {
    const std::string key = "basebackups_005/" + std::string(kName) + "_backup_stop_sentinel.json";
    hooks_->on_put = [&](const std::string& at) {
        if (at == key) test::write_text(path(key), "{\"LSN\":1}");
        return Status();
    };
    EXPECT_EQ(make().status().kind(), Kind::kAlreadyExists);
    EXPECT_EQ(test::read_text(path(key)), "{\"LSN\":1}");
    EXPECT_TRUE(fs::exists(path(folder() + "metadata.json")))
        << "the parts of a backup that has a sentinel are not touched";
}

// P11
TEST_F(Engine, VanishedFileIsLeftOut) {
    hooks_->on_create = [&](const std::string&) {
        fs::remove(cluster_.data("base/5/16385"));
        return Status();
    };
    ASSERT_TRUE(make().ok());
    EXPECT_FALSE(document(folder() + "files_metadata.json")["Files"].contains("/base/5/16385"));
    EXPECT_EQ(find_file(manifest(), "base/5/16385"), nullptr);
}

// P11: the size seen when the file was opened holds. The first write happens after the first block was read.
class MovingFile : public Engine {
protected:
    void run(const std::function<void(const std::string&)>& change) {
        const std::string large = cluster_.data("base/5/16999");
        Bytes content(1 << 20, 0x55);  // no page: new pages have pd_upper 0
        test::write_bytes(large, content);
        fs::remove_all(cluster_.data("base/5/16384"));
        BackupStart start = cluster_.start();
        start.verify_checksums = false;
        settings_ = test::test_settings(codec::Method::kNone, false);
        settings_.upload_concurrency = 1;
        bool changed = false;
        std::uint64_t before = 0;
        hooks_->on_write = [&](const std::string&) {
            // Nothing but the large file makes the progress jump by a whole block.
            const std::uint64_t done = progress_.bytes_done;
            if (!changed && done - before >= 256 * 1024) {
                changed = true;
                change(large);
            }
            before = done;
            return Status();
        };
        auto engine = begin(start);
        ASSERT_TRUE(engine.ok()) << engine.status().to_string();
        ASSERT_TRUE((*engine)->copy_files().ok());
        ASSERT_TRUE((*engine)->finish(cluster_.stop()).ok());
        ASSERT_TRUE(changed);
        const test::WholeManifest found = manifest();
        const ManifestFile* file = find_file(found, "base/5/16999");
        ASSERT_NE(file, nullptr);
        EXPECT_EQ(file->size, content.size());
        ASSERT_TRUE(file->checksum);
        checksum_ = *file->checksum;
    }
    FileChecksum checksum_;
};

TEST_F(MovingFile, GrownIsCutOffAtTheSizeItHad) {
    run([](const std::string& file) { fs::resize_file(file, 3 << 20); });
    EXPECT_EQ(checksum_, file_checksum(Bytes(1 << 20, 0x55)));
}

TEST_F(MovingFile, ShrunkIsFilledWithZeros) {
    run([](const std::string& file) { fs::resize_file(file, 600'000); });
    Bytes expected(1 << 20, 0);
    std::fill_n(expected.begin(), 600'000, std::uint8_t{0x55});
    EXPECT_EQ(checksum_, file_checksum(expected));
}

// D4: the backup is made, and everybody is told.
TEST_F(Engine, CorruptPagesAreRecorded) {
    Bytes pages = test::relation_pages(40);
    pages[7 * kPageSize + 300] ^= 1;
    pages[21 * kPageSize + 300] ^= 1;
    test::write_bytes(cluster_.data("base/5/16384"), pages);
    auto report = make();
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_EQ(report->corrupt_pages, 2U);
    EXPECT_THAT(report->corrupt_files, ElementsAre("base/5/16384: block 7", "base/5/16384: block 21"));
    EXPECT_THAT(logger_.warnings(),
                HasSubstr("checksum verification failed for 2 pages of file \"base/5/16384\", first block 7"));
    const auto bad = document(folder() + "files_metadata.json")["Files"]["/base/5/16384"]["CorruptBlocks"];
    EXPECT_EQ(bad["CorruptBlocksCount"], 2);
    EXPECT_THAT(bad["SomeCorruptBlocks"], ElementsAre(7, 21));
}

TEST_F(Engine, FileThatEndsInTheMiddleOfAPageIsNoCorruption) {
    Bytes pages = test::relation_pages(3);
    pages.resize(pages.size() - 100);
    test::write_bytes(cluster_.data("base/5/16384"), pages);
    auto report = make();
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->corrupt_pages, 0U);
    EXPECT_THAT(logger_.warnings(), HasSubstr("is not a multiple of 8192"));
}

// A part ends after the file that brings it over the limit, and numbers follow each other.
TEST_F(Engine, PartsEndAtTheLimit) {
    settings_.part_size_limit = 20'000;
    settings_.upload_concurrency = 1;
    auto report = make();
    ASSERT_TRUE(report.ok());
    ASSERT_GT(report->parts, 5);
    for (int i = 1; i <= report->parts - 2; ++i)
        EXPECT_TRUE(
            cluster_.objects().contains(folder() + "tar_partitions/" + layout::part_file_name(i, codec::Method::kZstd)))
            << i;
}

TEST_F(Engine, WrongInputIsRefusedWithItsName) {
    BackupStart start = cluster_.start();
    start.data_directory = cluster_.root() / "ts1";
    EXPECT_THAT(begin(start).status().message(), HasSubstr("is not a data directory: it has no file \"PG_VERSION\""));
    start = cluster_.start();
    start.data_directory = cluster_.root() / "nowhere";
    EXPECT_THAT(begin(start).status().message(), HasSubstr("nowhere"));
    start = cluster_.start();
    start.segment_size = 1 << 20;
    EXPECT_THAT(begin(start).status().message(), HasSubstr("WAL segments of 16777216 bytes, not of 1048576"));
}

TEST_F(Engine, FinishBeforeTheCopyIsRefused) {
    auto engine = begin();
    ASSERT_TRUE(engine.ok());
    EXPECT_EQ((*engine)->finish(cluster_.stop()).status().kind(), Kind::kInternal);
}

TEST_F(Engine, UnreadableFileFailsTheBackupAndIsNamed) {
    if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
    ASSERT_EQ(::chmod(cluster_.data("base/5/16384").c_str(), 0), 0);
    const Status status = make().status();
    EXPECT_EQ(status.kind(), Kind::kDenied);
    EXPECT_THAT(status.message(), HasSubstr(cluster_.data("base/5/16384")));
}

}  // namespace
}  // namespace forge::backup
