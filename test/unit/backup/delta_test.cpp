// Delta backups of a directory that looks like a server's, taken apart again.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "core/backup/manifest.h"
#include "core/layout/increment.h"
#include "test/unit/backup/fake_cluster.h"
#include "test/unit/backup/manifest_text.h"

namespace forge::backup {
namespace {

namespace fs = std::filesystem;

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr std::string_view kFull = "base_000000010000000000000005";
constexpr std::string_view kDelta = "base_000000010000000000000007_D_000000010000000000000005";
constexpr Lsn kDeltaStart = 0x7000028;
constexpr std::int64_t kLongAgo = 1'794'000'000;  // well before the start of the backups

std::string as_string(std::string_view text) { return std::string(text); }

class Delta : public ::testing::Test {
protected:
    Delta() : hooks_(std::make_shared<test::HookStore>(test::local_store(cluster_.root() / "store"))) {
        settings_.upload_concurrency = 2;
        settings_.delta_max_steps = 3;
        for (const auto& entry : fs::recursive_directory_iterator(cluster_.root().path()))
            if (entry.is_regular_file() && !entry.is_symlink()) set_time(entry.path().string(), kLongAgo);
    }
    static void set_time(const std::string& path, std::int64_t seconds, long nanos = 123'456'789) {
        const timespec times[2] = {{seconds, nanos}, {seconds, nanos}};
        ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << path;
    }
    std::shared_ptr<repository::Repository> repository() {
        return std::make_shared<repository::Repository>(hooks_, settings_);
    }
    BackupStart start_at(Lsn lsn) const {
        BackupStart start = cluster_.start();
        start.start_lsn = lsn;
        start.start_time = Instant{start.start_time.nanos + static_cast<std::int64_t>(lsn)};
        return start;
    }
    Result<BackupReport> make(BackupStart start) {
        const Lsn lsn = start.start_lsn;
        progress_ = std::make_unique<Progress>();
        FORGE_ASSIGN(auto engine, begin_backup(repository(), std::move(start), *progress_, cancel_, logger_));
        FORGE_TRY(engine->copy_files());
        BackupStop stop = cluster_.stop();
        stop.finish_lsn = lsn + 0x100;
        return engine->finish(stop);
    }
    Result<BackupReport> make(Lsn lsn) { return make(start_at(lsn)); }
    void make_full() {
        auto report = make(test::kStart);
        ASSERT_TRUE(report.ok()) << report.status().to_string();
        ASSERT_EQ(report->name, kFull);
        // What any server does between two backups, so that a delta has something to store.
        test::write_text(cluster_.data("postgresql.conf"), "port = 5433\n", 0640);
    }
    std::string expect_name(const Result<BackupReport>& report) {
        return report.ok() ? report->name : report.status().to_string();
    }
    // Pages of the relation get another content, and the LSN.
    void change_pages(const std::string& file, const std::vector<std::uint32_t>& blocks, Lsn lsn) {
        const std::string text = test::read_text(cluster_.data(file));
        Bytes content(text.begin(), text.end());
        for (const std::uint32_t block : blocks) {
            const Bytes page = test::relation_pages(1, block, lsn);
            std::copy(page.begin(), page.end(), content.begin() + block * static_cast<std::ptrdiff_t>(kPageSize));
        }
        test::write_bytes(cluster_.data(file), content);
    }

    std::string path(const std::string& key) const { return cluster_.root() / ("store/" + key); }
    std::string sentinel_path(std::string_view name) const { return path(layout::sentinel_key(name)); }
    nlohmann::json document(const std::string& key) const { return nlohmann::json::parse(test::read_text(path(key))); }
    void edit(const std::string& key, const std::function<void(nlohmann::json&)>& change) {
        nlohmann::json json = document(key);
        change(json);
        test::write_text(path(key), json.dump());
    }
    test::WholeManifest manifest_of(std::string_view name) {
        auto source = repository()->open_object(manifest_key(name, settings_.backup_compression),
                                                settings_.backup_compression, {});
        EXPECT_TRUE(source.ok()) << source.status().to_string();
        auto text = read_all_text(**source, 1 << 26);
        auto result = test::parse_manifest(text.ok() ? *text : "");
        EXPECT_TRUE(result.ok()) << result.status().to_string();
        return result.ok() ? *result : test::WholeManifest();
    }
    // Content of all members of all parts.
    std::map<std::string, Bytes> members_of(std::string_view name) {
        std::map<std::string, Bytes> members;
        for (const auto& part : fs::directory_iterator(path(layout::parts_folder(name)))) {
            const std::string file = part.path().filename().string();
            auto source = repository()->open_object(layout::parts_folder(name) + file, *layout::part_method(file), {});
            EXPECT_TRUE(source.ok()) << source.status().to_string();
            auto tar = read_all(**source, 1 << 28);
            EXPECT_TRUE(tar.ok()) << tar.status().to_string();
            add_members(*tar, members);
        }
        return members;
    }
    static void add_members(const Bytes& tar, std::map<std::string, Bytes>& members) {
        archive* const reader = archive_read_new();
        archive_read_support_format_tar(reader);
        ASSERT_EQ(archive_read_open_memory(reader, tar.data(), tar.size()), ARCHIVE_OK);
        archive_entry* entry = nullptr;
        for (int code = ARCHIVE_OK; (code = archive_read_next_header(reader, &entry)) != ARCHIVE_EOF;) {
            ASSERT_TRUE(code == ARCHIVE_OK || code == ARCHIVE_WARN) << archive_error_string(reader);
            Bytes content(static_cast<std::size_t>(archive_entry_size(entry)));
            const auto size = static_cast<la_ssize_t>(content.size());
            EXPECT_EQ(archive_read_data(reader, content.data(), content.size()), size);
            members[archive_entry_pathname(entry)] = std::move(content);
        }
        archive_read_free(reader);
    }
    static const ManifestFile* find_file(const test::WholeManifest& manifest, const std::string& path) {
        for (const ManifestFile& file : manifest.listed)
            if (file.path == path) return &file;
        return nullptr;
    }
    // The new backup is a full one, and the notice says why.
    void expect_full(const std::string& reason) {
        test::CollectingLogger logger;
        auto engine = begin_backup(repository(), start_at(kDeltaStart), *progress_, cancel_, logger);
        ASSERT_TRUE(engine.ok()) << engine.status().to_string();
        EXPECT_EQ((*engine)->name(), "base_000000010000000000000007") << reason;
        EXPECT_THAT(logger.notices(), HasSubstr("the backup is a full one: "));
        EXPECT_THAT(logger.notices(), HasSubstr(reason));
        // Named by the caller, the same is an error.
        BackupStart named = start_at(kDeltaStart);
        named.delta_from_name = kFull;
        const Status status = begin_backup(repository(), named, *progress_, cancel_, logger).status();
        EXPECT_THAT(status.message(), HasSubstr("no delta backup can be made: ")) << reason;
        EXPECT_THAT(status.message(), HasSubstr(reason));
    }

    test::FakeCluster cluster_;
    settings::Settings settings_ = test::test_settings();
    std::shared_ptr<test::HookStore> hooks_;
    std::unique_ptr<Progress> progress_ = std::make_unique<Progress>();
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

TEST_F(Delta, StoresChangedPagesAndFilesOnly) {
    make_full();
    change_pages("base/5/16384", {3, 39}, test::kStart);  // the LSN itself counts
    change_pages("base/5/16384", {7}, test::kStart - 1);  // changed, but the parent has it
    std::ofstream(cluster_.data("base/5/16384"), std::ios::app) << std::string(kPageSize, '\0');
    test::write_bytes(cluster_.data("base/5/16600"), test::relation_pages(3));
    auto report = make(kDeltaStart);
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_EQ(report->name, kDelta);
    EXPECT_EQ(report->parent, kFull);
    EXPECT_EQ(report->incremented_files, 1);
    EXPECT_GT(report->skipped_files, 10);
    EXPECT_EQ(progress_->files_done, progress_->files_total);
    EXPECT_EQ(progress_->bytes_done, progress_->bytes_total);
    EXPECT_THAT(logger_.notices(), HasSubstr("delta of \"" + as_string(kFull) + "\", "));

    const auto members = members_of(kDelta);
    const Bytes& increment = members.at("/base/5/16384");
    MemorySource source(increment);
    auto header = layout::read_increment_header(source, increment.size());
    ASSERT_TRUE(header.ok()) << header.status().to_string();
    EXPECT_EQ(header->file_size, 41 * kPageSize);
    EXPECT_THAT(header->blocks, ElementsAre(3, 39, 40));
    const std::string now = test::read_text(cluster_.data("base/5/16384"));
    std::string expected;
    for (const std::size_t block : {3U, 39U, 40U}) expected += now.substr(block * kPageSize, kPageSize);
    EXPECT_EQ(as_text(increment).substr(layout::kIncrementFixedSize + 12), expected);
    EXPECT_EQ(as_text(members.at("/base/5/16600")), test::read_text(cluster_.data("base/5/16600")));
    EXPECT_EQ(as_text(members.at("/postgresql.conf")), "port = 5433\n");
    EXPECT_FALSE(members.contains("/base/5/16384.1"));
    EXPECT_FALSE(members.contains("/PG_VERSION"));
    EXPECT_TRUE(members.contains("/base/5/") || members.contains("/base/5")) << "directories are always stored";
    EXPECT_TRUE(members.contains("/custom.conf")) << "links as well";
}

TEST_F(Delta, ObjectsHaveWhatReadersNeed) {
    make_full();
    change_pages("base/5/16384", {3}, kDeltaStart - 1);
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    const auto sentinel = document(layout::sentinel_key(kDelta));
    EXPECT_EQ(sentinel["LSN"], kDeltaStart);
    EXPECT_EQ(sentinel["DeltaLSN"], test::kStart);
    EXPECT_EQ(sentinel["DeltaFrom"], kFull);
    EXPECT_EQ(sentinel["DeltaFullName"], kFull);
    EXPECT_EQ(sentinel["DeltaCount"], 1);

    const auto files = document(layout::files_metadata_key(kDelta));
    const auto before = document(layout::files_metadata_key(kFull))["Files"];
    const auto& list = files["Files"];
    EXPECT_EQ(list.size(), before.size());
    EXPECT_EQ(list["/base/5/16384"]["IsIncremented"], true);
    EXPECT_EQ(list["/base/5/16384"]["IsSkipped"], false);
    EXPECT_EQ(list["/base/5/16384.1"]["IsSkipped"], true);
    EXPECT_EQ(list["/base/5/16384.1"]["MTime"], before["/base/5/16384.1"]["MTime"]);
    EXPECT_EQ(list["/postgresql.conf"]["IsIncremented"], false);
    EXPECT_EQ(list["/postgresql.conf"]["IsSkipped"], false);
    std::set<std::string> stored;
    for (const auto& [part, members] : files["TarFileSets"].items())
        for (const auto& member : members) stored.insert(member.get<std::string>());
    for (const auto& [name, entry] : list.items()) EXPECT_NE(stored.contains(name), entry["IsSkipped"]) << name;

    const test::WholeManifest manifest = manifest_of(kDelta);
    EXPECT_EQ(manifest.parent, kFull);
    EXPECT_EQ(manifest.parent_sentinel_sha256, sha256(as_bytes(test::read_text(sentinel_path(kFull)))));
    EXPECT_EQ(manifest.sentinel_sha256, sha256(as_bytes(test::read_text(sentinel_path(kDelta)))));
    EXPECT_THAT(manifest.incremented, ElementsAre("base/5/16384"));
    EXPECT_THAT(manifest.skipped, Contains("base/5/16384.1"));
    EXPECT_THAT(manifest.skipped, Not(Contains("postgresql.conf")));
    EXPECT_EQ(manifest.listed.size(), manifest_of(kFull).listed.size());
    EXPECT_FALSE(find_file(manifest, "base/5/16384")->checksum);
    EXPECT_EQ(find_file(manifest, "base/5/16384")->size, 40 * kPageSize);
    EXPECT_EQ(find_file(manifest, "base/5/16384.1")->checksum,
              file_checksum(as_bytes(test::read_text(cluster_.data("base/5/16384.1")))));
}

// A file written twice in one tick of the clock has the same time before and after.
TEST_F(Delta, FileThatWasYoungWhenTheParentBeganIsReadAgain) {
    const std::int64_t start = cluster_.start().start_time.seconds();
    set_time(cluster_.data("base/5/16384"), start - 30);
    set_time(cluster_.data("base/5/16384.1"), start - 90);
    set_time(cluster_.data("log/server.log"), start - 30);
    make_full();
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    const test::WholeManifest manifest = manifest_of(kDelta);
    EXPECT_THAT(manifest.incremented, ElementsAre("base/5/16384"));
    EXPECT_THAT(manifest.skipped, Contains("base/5/16384.1"));
    EXPECT_THAT(manifest.skipped, Not(Contains("log/server.log")));
}

// Its pages may come from a template, with positions in the WAL from before the parent.
TEST_F(Delta, RelationsOfADatabaseMadeSinceTheParentAreStoredWhole) {
    make_full();
    change_pages("base/5/16384", {3}, test::kStart - 1);
    set_time(cluster_.data("base/5/PG_VERSION"), start_at(test::kStart).start_time.seconds() + 5);
    test::write_bytes(cluster_.root() / "ts1/PG_15_202209061/5/16390", test::relation_pages(5, 0, test::kStart));
    auto report = make(kDeltaStart);
    ASSERT_TRUE(report.ok()) << report.status().to_string();
    EXPECT_EQ(report->name, kDelta);
    EXPECT_EQ(as_text(members_of(kDelta).at("/base/5/16384")), test::read_text(cluster_.data("base/5/16384")));
}

TEST_F(Delta, AnotherTimeOrAnotherSizeIsAChange) {
    make_full();
    set_time(cluster_.data("PG_VERSION"), kLongAgo, 123'456'788);
    test::write_text(cluster_.data("log/server.log"), "line\nand another\n");
    set_time(cluster_.data("log/server.log"), kLongAgo);
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    const auto members = members_of(kDelta);
    EXPECT_TRUE(members.contains("/PG_VERSION"));
    EXPECT_TRUE(members.contains("/log/server.log")) << "W25";
}

// The file list of another program has no sizes and no digests.
TEST_F(Delta, ParentWithoutManifest) {
    make_full();
    edit(layout::sentinel_key(kFull), [](nlohmann::json& json) { json.erase("ForgeManifest"); });
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    const test::WholeManifest manifest = manifest_of(kDelta);
    EXPECT_THAT(manifest.skipped, Contains("base/5/16384.1"));
    const ManifestFile* file = find_file(manifest, "base/5/16384.1");
    ASSERT_NE(file, nullptr);
    EXPECT_FALSE(file->checksum);
    EXPECT_EQ(file->size, 2 * kPageSize);
}

TEST_F(Delta, OnlyMainForksOfDatabasesAreIncrements) {
    make_full();
    for (const char* name : {"global/1262", "base/5/16384_vm", "base/5/16400_init", "base/5/16384"})
        set_time(cluster_.data(name), kLongAgo + 1);
    set_time(cluster_.tablespace() + "/PG_15_202209061/5/16390", kLongAgo + 1);
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    EXPECT_THAT(manifest_of(kDelta).incremented,
                ElementsAre("base/5/16384", "pg_tblspc/16386/PG_15_202209061/5/16390"));
    const auto members = members_of(kDelta);
    EXPECT_EQ(members.at("/base/5/16384_vm").size(), kPageSize);
    EXPECT_EQ(members.at("/base/5/16384").size(), layout::increment_size(0));
}

TEST_F(Delta, FileWithAnInvalidPageOrAPartOfOneIsStoredWhole) {
    make_full();
    Bytes pages = test::relation_pages(40);
    pages[9 * kPageSize + 10] = 0xFF;
    test::write_bytes(cluster_.data("base/5/16384"), pages);
    Bytes odd = test::relation_pages(2, 131072);
    odd.resize(odd.size() - 1);
    test::write_bytes(cluster_.data("base/5/16384.1"), odd);
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    EXPECT_THAT(manifest_of(kDelta).incremented, IsEmpty());
    EXPECT_EQ(members_of(kDelta).at("/base/5/16384"), pages);
    EXPECT_EQ(members_of(kDelta).at("/base/5/16384.1"), odd);
}

// D4
TEST_F(Delta, CorruptPagesOfIncrementsAreRecorded) {
    make_full();
    Bytes pages = test::relation_pages(40);
    pages[7 * kPageSize + 300] ^= 1;
    test::write_bytes(cluster_.data("base/5/16384"), pages);
    auto report = make(kDeltaStart);
    ASSERT_EQ(expect_name(report), kDelta);
    EXPECT_EQ(report->incremented_files, 1);
    EXPECT_EQ(report->corrupt_pages, 1U);
    EXPECT_THAT(report->corrupt_files, ElementsAre("base/5/16384: block 7"));
    EXPECT_THAT(logger_.warnings(), HasSubstr("first block 7"));
    const auto files = document(layout::files_metadata_key(kDelta))["Files"];
    EXPECT_EQ(files["/base/5/16384"]["CorruptBlocks"]["CorruptBlocksCount"], 1);
}

// P11: between the plan and the reading of the pages.
TEST_F(Delta, FileThatShrankSinceThePlanIsFilledWithZeros) {
    make_full();
    change_pages("base/5/16384", {3, 39}, kDeltaStart - 1);
    settings_.upload_concurrency = 1;
    hooks_->on_create = [&](const std::string& key) {
        if (key.find("part_001") != std::string::npos) fs::resize_file(cluster_.data("base/5/16384"), 10 * kPageSize);
        return Status();
    };
    ASSERT_EQ(expect_name(make(kDeltaStart)), kDelta);
    const Bytes increment = members_of(kDelta).at("/base/5/16384");
    ASSERT_EQ(increment.size(), layout::increment_size(2));
    EXPECT_EQ(Bytes(increment.end() - kPageSize, increment.end()), Bytes(kPageSize, 0));
    EXPECT_EQ(find_file(manifest_of(kDelta), "base/5/16384")->size, 40 * kPageSize);
}

TEST_F(Delta, ChainEndsAtTheLimit) {
    settings_.delta_max_steps = 2;
    make_full();
    ASSERT_EQ(expect_name(make(0x7000028)), kDelta);
    const std::string second = "base_000000010000000000000009_D_000000010000000000000007";
    ASSERT_EQ(expect_name(make(0x9000028)), second);
    const auto sentinel = document(layout::sentinel_key(second));
    EXPECT_EQ(sentinel["DeltaCount"], 2);
    EXPECT_EQ(sentinel["DeltaFrom"], kDelta);
    EXPECT_EQ(sentinel["DeltaFullName"], kFull);
    EXPECT_EQ(sentinel["DeltaLSN"], 0x7000028);
    // What two backups skipped is still known by its digest.
    EXPECT_TRUE(find_file(manifest_of(second), "base/5/16384.1")->checksum);
    EXPECT_EQ(expect_name(make(0xB000028)), "base_00000001000000000000000B");
    EXPECT_THAT(logger_.notices(), HasSubstr("ends a chain of 2 deltas"));
}

TEST_F(Delta, OriginLatestFullBuildsOnTheFullBackup) {
    settings_.delta_origin = settings::DeltaOrigin::kLatestFull;
    make_full();
    ASSERT_EQ(expect_name(make(0x7000028)), kDelta);
    const std::string second = "base_000000010000000000000009_D_000000010000000000000005";
    ASSERT_EQ(expect_name(make(0x9000028)), second);
    EXPECT_EQ(document(layout::sentinel_key(second))["DeltaCount"], 2);
    EXPECT_EQ(document(layout::sentinel_key(second))["DeltaFrom"], kFull);
    EXPECT_EQ(document(layout::sentinel_key(second))["DeltaLSN"], test::kStart);
}

TEST_F(Delta, OffOrFullOrWithoutBackupsIsFull) {
    settings_.delta_max_steps = 0;
    make_full();
    EXPECT_EQ(expect_name(make(0x7000028)), "base_000000010000000000000007");
    EXPECT_THAT(logger_.notices(), IsEmpty());
    BackupStart named = start_at(0x9000028);
    named.delta_from_name = kFull;
    EXPECT_THAT(make(named).status().message(), HasSubstr("delta_max_steps is 0"));
    settings_.delta_max_steps = 3;
    BackupStart full = start_at(0x9000028);
    full.full = true;
    EXPECT_EQ(expect_name(make(full)), "base_000000010000000000000009");
    EXPECT_THAT(logger_.notices(), IsEmpty());
}

TEST_F(Delta, FirstBackupSaysWhyItIsFull) {
    ASSERT_EQ(expect_name(make(test::kStart)), kFull);
    EXPECT_THAT(logger_.notices(), HasSubstr("the backup is a full one: backup \"LATEST\" does not exist"));
}

// Everything changed: the name is that of a full backup, and nothing of a delta is left.
TEST_F(Delta, ThatIsNotSmallerBecomesAFullOne) {
    const std::string empty = "base/5/16999";
    test::write_text(cluster_.data(empty), "");
    set_time(cluster_.data(empty), kLongAgo);
    make_full();
    for (const auto& entry : fs::recursive_directory_iterator(cluster_.root().path()))
        if (entry.is_regular_file() && !entry.is_symlink() &&
            entry.path().string().find("/store/") == std::string::npos)
            set_time(entry.path().string(), kLongAgo + 1);
    set_time(cluster_.data(empty), kLongAgo);
    for (const char* name : {"base/5/16384", "base/5/16384.1"})
        test::write_bytes(cluster_.data(name), test::relation_pages(2, 0, kDeltaStart));
    test::write_bytes(cluster_.tablespace() + "/PG_15_202209061/5/16390", test::relation_pages(1, 0, kDeltaStart));
    auto report = make(kDeltaStart);
    ASSERT_EQ(expect_name(report), "base_000000010000000000000007");
    EXPECT_THAT(report->parent, IsEmpty());
    EXPECT_THAT(logger_.notices(), HasSubstr("would not be smaller"));
    EXPECT_FALSE(fs::exists(path("basebackups_005/" + as_string(kDelta))));
    EXPECT_FALSE(document(layout::sentinel_key(report->name)).contains("DeltaFrom"));
    const test::WholeManifest manifest = manifest_of(report->name);
    EXPECT_THAT(manifest.parent, IsEmpty());
    EXPECT_THAT(manifest.skipped, IsEmpty());
    EXPECT_EQ(manifest.listed.size(), manifest_of(kFull).listed.size()) << "each file once, the unchanged one, too";
    EXPECT_TRUE(members_of(report->name).contains("/" + empty)) << "and what was unchanged is stored";
    EXPECT_EQ(progress_->bytes_done, progress_->bytes_total);
    EXPECT_EQ(progress_->files_done, progress_->files_total);
}

TEST_F(Delta, ParentThatCannotServeMeansAFullBackup) {
    make_full();
    const std::string sentinel = layout::sentinel_key(kFull);
    const std::string text = test::read_text(path(sentinel));
    const auto with = [&](const char* member, const nlohmann::json& value, const std::string& reason) {
        edit(sentinel, [&](nlohmann::json& json) { json[member] = value; });
        expect_full(reason);
        test::write_text(path(sentinel), text);
    };
    with("SystemIdentifier", 1, "was made of another cluster");
    with("PgVersion", 140009, "another major version");
    with("FinishLSN", kDeltaStart + 1, "ended at 0/7000029, after this backup begins at 0/7000028");
    with("FilesMetadataDisabled", true, "without a list of its files");
    with("DataDir", "/elsewhere", "does not belong to its sentinel");
    with("ForgeManifest", "forge_manifest.xml", "manifest of an unknown form");
    edit(layout::metadata_key(kFull), [](nlohmann::json& json) { json.erase("start_lsn"); });
    with("LSN", nullptr, "does not say where it began");
    fs::rename(path(layout::files_metadata_key(kFull)), path("basebackups_005/kept"));
    expect_full("files_metadata.json");
    fs::rename(path("basebackups_005/kept"), path(layout::files_metadata_key(kFull)));
    fs::resize_file(path(manifest_key(kFull, codec::Method::kZstd)), 100);
    expect_full("forge_manifest.json.zst");
}

TEST_F(Delta, MetadataThatCannotBeReadMeansAFullBackup) {
    make_full();
    fs::remove(path(layout::metadata_key(kFull)));
    expect_full("metadata.json: not found");
}

TEST_F(Delta, BrokenChainMeansAFullBackup) {
    make_full();
    ASSERT_EQ(expect_name(make(0x7000028)), kDelta);
    fs::remove(sentinel_path(kFull));
    ASSERT_EQ(expect_name(make(0x9000028)), "base_000000010000000000000009");
    EXPECT_THAT(logger_.notices(), HasSubstr("needs its parent \"" + as_string(kFull) + "\", which is missing"));
}

TEST_F(Delta, ParentOnAnotherTimelineMustLieOnTheWay) {
    make_full();
    BackupStart start = start_at(kDeltaStart);
    start.timeline = 2;
    const std::string full = "base_000000020000000000000007";
    EXPECT_EQ(expect_name(make(start)), full);
    EXPECT_THAT(logger_.notices(), HasSubstr("the history of timeline 2 is not known"));
    fs::remove(sentinel_path(full));
    fs::remove_all(path("basebackups_005/" + full));
    // The timeline was left before the parent ended.
    test::write_text(cluster_.data("pg_wal/00000002.history"), "1\t0/5000100\tno recovery target specified\n");
    EXPECT_EQ(expect_name(make(start)), full);
    EXPECT_THAT(logger_.notices(), HasSubstr("is not on the way to timeline 2"));
    fs::remove(sentinel_path(full));
    fs::remove_all(path("basebackups_005/" + full));
    test::write_text(cluster_.data("pg_wal/00000002.history"), "1\t0/5000128\tno recovery target specified\n");
    EXPECT_EQ(expect_name(make(start)), "base_000000020000000000000007_D_000000010000000000000005");
}

TEST_F(Delta, HistoryComesFromTheArchiveAsWell) {
    make_full();
    test::write_text(path("wal_005/00000003.history"), "1\t0/5000200\tx\n2\t0/6000000\ty\n");
    settings_ = test::test_settings(codec::Method::kNone, false);
    settings_.delta_max_steps = 3;
    edit(layout::sentinel_key(kFull), [](nlohmann::json& json) { json.erase("ForgeManifest"); });
    BackupStart start = start_at(kDeltaStart);
    start.timeline = 3;
    EXPECT_EQ(expect_name(make(start)), "base_000000030000000000000007_D_000000010000000000000005");
}

TEST_F(Delta, ParentIsChosenByNameOrUserData) {
    make_full();
    BackupStart other = start_at(0x6000028);
    other.full = true;
    other.user_data = R"({"b": [1, 2], "a": "x"})";
    ASSERT_EQ(expect_name(make(other)), "base_000000010000000000000006");
    BackupStart start = start_at(kDeltaStart);
    start.delta_from_name = kFull;
    EXPECT_EQ(expect_name(make(start)), kDelta);
    start = start_at(0x8000028);
    start.delta_from_user_data = R"({"a":"x","b":[1,2]})";
    EXPECT_EQ(expect_name(make(start)), "base_000000010000000000000008_D_000000010000000000000006");
    start = start_at(0x9000028);
    start.delta_from_user_data = R"({"why":"test"})";
    EXPECT_THAT(make(start).status().message(), HasSubstr("have the user data"));
    // By a variable: the backup is made all the same.
    settings_.delta_from_name = "base_000000010000000000000001";
    EXPECT_EQ(expect_name(make(0x9000028)), "base_000000010000000000000009");
    settings_.delta_from_name = kFull;
    EXPECT_EQ(expect_name(make(0xA000028)), "base_00000001000000000000000A_D_000000010000000000000005");
}

TEST_F(Delta, PermanentParentServesPermanentBackupsOnly) {
    make_full();
    edit(layout::metadata_key(kFull), [](nlohmann::json& json) { json["is_permanent"] = true; });
    expect_full("is permanent, and the new one is not");
    BackupStart start = start_at(kDeltaStart);
    start.permanent = true;
    EXPECT_EQ(expect_name(make(start)), kDelta);
    settings_.delta_origin = settings::DeltaOrigin::kLatestFull;
    EXPECT_EQ(expect_name(make(0x9000028)), "base_000000010000000000000009_D_000000010000000000000005");
}

TEST_F(Delta, PermanentOneMakesItsChainPermanentBeforeItExists) {
    make_full();
    ASSERT_EQ(expect_name(make(0x7000028)), kDelta);
    bool seen = false;
    hooks_->on_put = [&](const std::string& key) {
        if (!key.ends_with("sentinel.json")) return Status();
        seen = true;
        EXPECT_EQ(document(layout::metadata_key(kFull))["is_permanent"], true);
        EXPECT_EQ(document(layout::metadata_key(kDelta))["is_permanent"], true);
        return Status();
    };
    BackupStart start = start_at(0x9000028);
    start.permanent = true;
    ASSERT_EQ(expect_name(make(start)), "base_000000010000000000000009_D_000000010000000000000007");
    EXPECT_TRUE(seen);
    EXPECT_EQ(document(layout::sentinel_key(kFull))["IsPermanent"], false) << "the sentinel is never rewritten";
}

// A retention may run at the same time: no orphan is left.
TEST_F(Delta, ParentThatVanishesOrChangesMeanwhileFailsTheBackup) {
    make_full();
    ASSERT_EQ(expect_name(make(0x7000028)), kDelta);
    const std::string text = test::read_text(sentinel_path(kDelta));
    hooks_->on_create = [&](const std::string&) {
        fs::remove(sentinel_path(kFull));
        return Status();
    };
    const auto before = cluster_.objects();
    const std::string full_text = test::read_text(sentinel_path(kFull));
    const Status status = make(0x9000028).status();
    EXPECT_THAT(status.message(), HasSubstr("\"" + as_string(kFull) + "\", which this one builds on, was removed"));
    EXPECT_THAT(status.hint(), HasSubstr("again"));
    test::write_text(sentinel_path(kFull), full_text);
    EXPECT_EQ(cluster_.objects(), before);
    hooks_->on_create = [&](const std::string&) {
        test::write_text(sentinel_path(kDelta), text + " ");
        return Status();
    };
    EXPECT_THAT(make(0x9000028).status().message(), HasSubstr("was replaced"));
    EXPECT_EQ(cluster_.objects(), before);
}

// R8: a delta on top of a chain that the other program made.
TEST_F(Delta, BuildsOnABackupOfWalG) {
    fs::remove_all(cluster_.root() / "store");
    fs::copy(FORGE_TEST_DATA "/walg/main/store", cluster_.root() / "store", fs::copy_options::recursive);
    for (const auto& entry : fs::recursive_directory_iterator(cluster_.root() / "store"))
        fs::permissions(entry, fs::perms::owner_write, fs::perm_options::add);
    const std::string parent = "base_000000010000000000000007_D_000000010000000000000005";
    const auto sentinel = document(layout::sentinel_key(parent));
    const auto since = sentinel["LSN"].get<Lsn>();
    const auto files = document(layout::files_metadata_key(parent))["Files"];
    ASSERT_TRUE(files.contains("/base/5/16385"));
    test::write_bytes(cluster_.data("base/5/16385"), test::relation_pages(20));
    change_pages("base/5/16385", {4}, since);
    change_pages("base/5/16385", {5}, since - 1);
    BackupStart start = start_at(0x20000028);
    start.delta_from_name = parent;
    auto report = make(start);
    const std::string name = "base_000000010000000000000020_D_000000010000000000000007";
    ASSERT_EQ(expect_name(report), name);
    EXPECT_EQ(document(layout::sentinel_key(name))["DeltaCount"], 3);
    EXPECT_EQ(document(layout::sentinel_key(name))["DeltaFullName"], test::kGoldenFull);
    const Bytes increment = members_of(name).at("/base/5/16385");
    MemorySource source(increment);
    auto header = layout::read_increment_header(source, increment.size());
    ASSERT_TRUE(header.ok()) << header.status().to_string();
    EXPECT_THAT(header->blocks, ElementsAre(4));
}

TEST_F(Delta, UserDataOfTheSettingsAreStored) {
    settings_.user_data = R"({"from":"settings"})";
    BackupStart start = start_at(test::kStart);
    start.user_data.clear();
    ASSERT_EQ(expect_name(make(start)), kFull);
    EXPECT_EQ(document(layout::sentinel_key(kFull))["UserData"]["from"], "settings");
}

}  // namespace
}  // namespace forge::backup
