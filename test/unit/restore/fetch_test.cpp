#include "core/restore/fetch.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include "core/backup/control_file.h"
#include "core/backup/exclude.h"
#include "core/backup/manifest.h"
#include "core/backup/page_check.h"
#include "core/backup/tar_writer.h"
#include "test/unit/backup/fake_cluster.h"
#include "test/unit/backup/manifest_text.h"

namespace forge::restore {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

// Names below the data directory that a restored one lacks, because the backup leaves them out.
std::map<std::string, std::string> expected_tree(const test::FakeCluster& cluster, const std::string& target,
                                                 const std::string& tablespace) {
    auto tree = test::tree_of(cluster.data());
    std::erase_if(tree, [](const auto& entry) {
        const std::string& name = entry.first;
        for (const char* gone :
             {"base/5/16400", "base/5/16400_fsm", "base/5/t3_16500", "base/pgsql_tmp", "base/pgsql_tmp/pgsql_tmp123.0",
              "global/pg_internal.init", "pg_replslot/standby", "pg_replslot/standby/state", "pg_stat_tmp/global.stat",
              "postgresql.auto.conf.tmp", "postmaster.pid"})
            if (name == gone) return true;
        return false;
    });
    const std::string directory = "directory " + std::to_string(0700);
    for (const char* name : {"pg_wal", "pg_wal/archive_status", "pg_stat", "pg_logical/snapshots"})
        tree[name] = directory;
    const auto file = [](const std::string& content) {
        return "file " + std::to_string(0600) + " " + to_hex(backup::sha256(as_bytes(content)));
    };
    tree["backup_label"] = file(cluster.stop().backup_label);
    tree["tablespace_map"] = file("16386 " + tablespace + "\n");
    tree["pg_tblspc/16386"] = "link to " + tablespace;
    tree["backup_manifest"] = file(test::read_text(target + "/backup_manifest"));
    return tree;
}

settings::Settings small_parts(codec::Method method = codec::Method::kZstd) {
    settings::Settings settings = test::test_settings(method);
    settings.part_size_limit = 60'000;
    return settings;
}

class FetchTest : public ::testing::Test {
protected:
    Status fetch(const std::shared_ptr<repository::Repository>& repository, const std::string& name) {
        auto backup = repository->find_backup(name, {});
        if (!backup.ok()) return backup.status();
        FetchProgress progress;
        Status status = fetch_backup(*repository, *backup, options_, progress, cancel_, logger_);
        EXPECT_TRUE(!status.ok() || progress.parts_done == progress.parts_total);
        return status;
    }
    void make_backup(const settings::Settings& settings = small_parts()) {
        repository_ = cluster_.repository(settings);
        ASSERT_EQ(cluster_.make_backup(repository_), kName);
        options_.target_directory = target_;
        options_.tablespace_mapping = {{"16386", new_tablespace_}};
        options_.sync = false;
    }
    // The object of a part, below the store's directory.
    std::string part_path(const std::string& part) const {
        return cluster_.root() / ("store/basebackups_005/" + std::string(kName) + "/tar_partitions/" + part);
    }
    std::vector<std::string> parts() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(part_path("")))
            names.push_back(entry.path().filename().string());
        return names;
    }
    // What another program would have written: no manifest, and nothing that says there should be one.
    void make_foreign(codec::Method method) {
        fs::remove(cluster_.root() / ("store/" + backup::manifest_key(kName, method)));
        const std::string path = cluster_.root() / ("store/" + layout::sentinel_key(kName));
        std::string text = test::read_text(path);
        const std::size_t at = text.find(",\"ForgeManifest\"");
        ASSERT_NE(at, std::string::npos) << text;
        test::write_text(path, text.replace(at, text.find('}', at) - at, ""));
    }
    // As it was made by a version of this program that took digests of tar streams and files; of the part or file
    // `wrong`, another one.
    void make_version_one(const std::string& wrong = "") {
        const std::string key = backup::manifest_key(kName, codec::Method::kZstd);
        auto source = repository_->open_object(key, codec::Method::kZstd, {});
        auto manifest = test::parse_manifest(read_all_text(**source, 1 << 20).value());
        for (backup::ManifestPart& part : manifest->parts) {
            source = repository_->open_object(layout::parts_folder(kName) + part.name, codec::Method::kZstd, {});
            const std::string tar = read_all_text(**source, 64 << 20).value();
            part.sha256 = backup::sha256(as_bytes(part.name == wrong ? tar + "x" : tar));
        }
        for (backup::ManifestFile& file : manifest->listed)
            if (file.path == "base/5/16384") {
                const std::string content = test::read_text(cluster_.data(file.path));
                file.checksum = backup::sha256(as_bytes(file.path == wrong ? content + "x" : content));
            }
        auto sink = repository_->create(key, codec::Method::kZstd, {});
        ASSERT_TRUE((*sink)->write(as_bytes(test::version_one(*manifest))).ok());
        ASSERT_TRUE((*sink)->finish().ok());
    }
    void change_manifest(const std::function<void(test::WholeManifest&)>& change) {
        const std::string key = backup::manifest_key(kName, codec::Method::kZstd);
        auto source = repository_->open_object(key, codec::Method::kZstd, {});
        auto manifest = test::parse_manifest(read_all_text(**source, 1 << 20).value());
        ASSERT_TRUE(manifest.ok()) << manifest.status().to_string();
        change(*manifest);
        auto sink = repository_->create(key, codec::Method::kZstd, {});
        ASSERT_TRUE((*sink)->write(as_bytes(test::text_of(*manifest))).ok());
        ASSERT_TRUE((*sink)->finish().ok());
    }
    // The restore fails, names `object`, and what it leaves cannot be started.
    void expect_refused(const std::string& object) {
        const Status status = fetch(repository_, kName);
        EXPECT_EQ(status.kind(), Kind::kCorrupt) << object << ": " << status.to_string();
        EXPECT_THAT(status.message(), HasSubstr(object));
        EXPECT_FALSE(fs::exists(target_ + "/global/pg_control")) << object;
        fs::remove_all(target_);
        fs::remove_all(new_tablespace_);
    }

    static constexpr const char* kName = "base_000000010000000000000005";
    test::FakeCluster cluster_;
    std::string target_ = cluster_.root() / "restored";
    std::string new_tablespace_ = cluster_.root() / "new ts";
    std::shared_ptr<repository::Repository> repository_;
    FetchOptions options_;
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

TEST_F(FetchTest, AFileThatIsListedTwiceIsRefused) {
    make_backup();
    change_manifest([](test::WholeManifest& manifest) { manifest.listed.push_back(manifest.listed.front()); });
    expect_refused("forge_manifest.json.zst\" lists file \"");
}

TEST_F(FetchTest, AListedNameThatLeadsElsewhereIsRefused) {
    make_backup();
    change_manifest([](test::WholeManifest& manifest) { manifest.listed.front().path = "../outside"; });
    expect_refused("leads out of the data directory");
}

class FetchMethods : public FetchTest, public ::testing::WithParamInterface<codec::Method> {};

// P13, P14, W11: byte for byte, modes and links included; the tablespace is in its new place.
TEST_P(FetchMethods, BringsBackWhatWasBackedUp) {
    make_backup(small_parts(GetParam()));
    const Status status = fetch(repository_, kName);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(test::differences(test::tree_of(target_), expected_tree(cluster_, target_, new_tablespace_)), "");
    auto tablespace = test::tree_of(cluster_.tablespace());
    std::erase_if(tablespace, [](const auto& entry) { return entry.first.starts_with("PG_14"); });
    EXPECT_EQ(test::differences(test::tree_of(new_tablespace_), tablespace), "");
    EXPECT_EQ(fs::status(target_).permissions(), fs::perms::owner_all);
}
INSTANTIATE_TEST_SUITE_P(All, FetchMethods,
                         ::testing::Values(codec::Method::kZstd, codec::Method::kBrotli, codec::Method::kLz4,
                                           codec::Method::kNone),
                         [](const auto& param) { return std::string(codec::method_name(param.param)); });

TEST_F(FetchTest, ManifestOfVersionOneIsReadAsWell) {
    make_backup();
    make_version_one();
    const Status status = fetch(repository_, kName);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(test::differences(test::tree_of(target_), expected_tree(cluster_, target_, new_tablespace_)), "");
    fs::remove_all(target_);
    fs::remove_all(new_tablespace_);
    for (const char* wrong : {"part_003.tar.zst", "base/5/16384"}) {
        make_version_one(wrong);
        expect_refused(wrong);
    }
}

// S16: before the target is touched.
TEST_F(FetchTest, DeletedPartIsNamedBeforeAnythingIsWritten) {
    make_backup();
    for (const std::string& part : parts()) {
        fs::rename(part_path(part), cluster_.root() / "aside");
        const Status status = fetch(repository_, kName);
        EXPECT_EQ(status.kind(), Kind::kCorrupt);
        EXPECT_THAT(status.message(), AllOf(HasSubstr(part), HasSubstr("is missing")));
        EXPECT_FALSE(fs::exists(target_));
        fs::rename(cluster_.root() / "aside", part_path(part));
    }
}

// S15, S16
TEST_F(FetchTest, TruncatedOrForeignPartIsNamedBeforeAnythingIsWritten) {
    make_backup();
    const auto size = fs::file_size(part_path("part_001.tar.zst"));
    for (const std::uintmax_t cut : {std::uintmax_t{0}, std::uintmax_t{24}, size / 2, size - 1}) {
        const std::string content = test::read_text(part_path("part_001.tar.zst"));
        fs::resize_file(part_path("part_001.tar.zst"), cut);
        EXPECT_EQ(fetch(repository_, kName).kind(), Kind::kCorrupt);
        EXPECT_FALSE(fs::exists(target_));
        test::write_text(part_path("part_001.tar.zst"), content);
    }
    test::write_text(part_path("part_777.tar.zst"), "stray");
    const Status status = fetch(repository_, kName);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("part_777.tar.zst"), HasSubstr("is not part of the backup")));
    EXPECT_FALSE(fs::exists(target_));
}

// S14: authenticated encryption, or without it the digest.
TEST_F(FetchTest, FlippedBitIsFoundInEveryPart) {
    for (const bool encrypted : {true, false}) {
        settings::Settings settings = small_parts(encrypted ? codec::Method::kZstd : codec::Method::kNone);
        if (!encrypted) settings.keys = {};
        fs::remove_all(cluster_.root() / "store");
        fs::create_directory(cluster_.root() / "store");
        make_backup(settings);
        for (const std::string& part : parts()) {
            const std::string content = test::read_text(part_path(part));
            std::string changed = content;
            changed[changed.size() / 3] = static_cast<char>(changed[changed.size() / 3] ^ 0x10);
            test::write_text(part_path(part), changed);
            expect_refused(part);
            test::write_text(part_path(part), content);
        }
    }
}

// S16, K5: the same key, the same name, another content of the same size.
TEST_F(FetchTest, PartOfAnotherBackupUnderTheSameKeyIsRefused) {
    settings::Settings settings = small_parts(codec::Method::kNone);
    settings.upload_concurrency = 1;
    make_backup(settings);
    std::map<std::string, std::string> first;
    for (const std::string& part : parts()) first[part] = test::read_text(part_path(part));
    fs::remove_all(cluster_.root() / "store/basebackups_005");
    Bytes other = test::relation_pages(40);
    other[20 * backup::kPageSize + 8191] ^= 1;
    test::write_bytes(cluster_.data("base/5/16384"), other);
    make_backup(settings);
    int replaced = 0;
    for (const std::string& part : parts()) {
        const std::string content = test::read_text(part_path(part));
        if (!first.contains(part) || first[part].size() != content.size()) continue;
        ++replaced;
        if (part.starts_with("pg_control")) continue;
        test::write_text(part_path(part), first[part]);
        const Status status = fetch(repository_, kName);
        // A part whose plain content is the same may be exchanged: encryption alone makes it differ.
        if (!status.ok()) {
            EXPECT_THAT(status.message(), HasSubstr(part));
            EXPECT_FALSE(fs::exists(target_ + "/global/pg_control"));
        } else {
            EXPECT_EQ(test::read_text(target_ + "/base/5/16384"), as_text(other));
        }
        fs::remove_all(target_);
        fs::remove_all(new_tablespace_);
        test::write_text(part_path(part), content);
    }
    EXPECT_GT(replaced, 2);
}

TEST_F(FetchTest, SwappedPartsOfOneBackupAreRefused) {
    settings::Settings settings = small_parts(codec::Method::kNone);
    make_backup(settings);
    const auto names = parts();
    fs::rename(part_path("pg_control.tar"), cluster_.root() / "aside");
    fs::rename(part_path("backup_label.tar"), part_path("pg_control.tar"));
    fs::rename(cluster_.root() / "aside", part_path("backup_label.tar"));
    const Status status = fetch(repository_, kName);
    EXPECT_EQ(status.kind(), Kind::kCorrupt);
    EXPECT_FALSE(fs::exists(target_ + "/global/pg_control"));
}

// S15, W1: without manifest nothing knows the sizes; the streams themselves must show it.
TEST_F(FetchTest, TruncationIsFoundWithoutManifest) {
    for (const codec::Method method :
         {codec::Method::kZstd, codec::Method::kBrotli, codec::Method::kLz4, codec::Method::kNone}) {
        fs::remove_all(cluster_.root() / "store");
        fs::create_directory(cluster_.root() / "store");
        make_backup(small_parts(method));
        make_foreign(method);
        const std::string part = layout::part_file_name(1, method);
        const std::string content = test::read_text(part_path(part));
        for (const std::size_t cut : {std::size_t{0}, std::size_t{24}, content.size() / 2, content.size() - 1}) {
            test::write_text(part_path(part), content.substr(0, cut));
            expect_refused(part);
        }
    }
}

// W5: without manifest the lists of the other program's kind do.
TEST_F(FetchTest, MissingPartIsFoundWithoutManifest) {
    make_backup();
    make_foreign(codec::Method::kZstd);
    ASSERT_TRUE(fetch(repository_, kName).ok());
    fs::remove_all(target_);
    fs::remove_all(new_tablespace_);
    for (const std::string& part : parts()) {
        fs::rename(part_path(part), cluster_.root() / "aside");
        const Status status = fetch(repository_, kName);
        EXPECT_EQ(status.kind(), Kind::kCorrupt) << part;
        EXPECT_FALSE(fs::exists(target_)) << part;
        fs::rename(cluster_.root() / "aside", part_path(part));
    }
}

// R6
TEST_F(FetchTest, TargetThatIsNotEmptyIsRefusedAndLeftAlone) {
    make_backup();
    test::write_text(target_ + "/precious", "x");
    const auto before = test::tree_of(target_);
    const Status status = fetch(repository_, kName);
    EXPECT_EQ(status.kind(), Kind::kInvalid);
    EXPECT_THAT(status.message(), HasSubstr("directory \"" + target_ + "\" is not empty"));
    EXPECT_FALSE(status.hint().empty());
    EXPECT_EQ(test::differences(test::tree_of(target_), before), "");
}

// R7: the old place is in use by the server that was backed up.
TEST_F(FetchTest, TablespaceNeedsAPlaceOfItsOwn) {
    make_backup();
    options_.tablespace_mapping.clear();
    Status status = fetch(repository_, kName);
    EXPECT_EQ(status.kind(), Kind::kInvalid);
    EXPECT_THAT(status.message(), AllOf(HasSubstr("tablespace 16386"), HasSubstr("is not empty")));
    EXPECT_THAT(status.hint(), HasSubstr("--tablespace-mapping 16386=NEWDIR"));
    EXPECT_FALSE(fs::exists(target_));

    options_.tablespace_mapping = {{"99999", new_tablespace_}};
    EXPECT_THAT(fetch(repository_, kName).message(), HasSubstr("the backup has no tablespace \"99999\""));
    options_.tablespace_mapping = {{"16386", "relative"}};
    EXPECT_THAT(fetch(repository_, kName).message(), HasSubstr("is not absolute"));
    options_.tablespace_mapping = {{"16386", target_}};
    EXPECT_THAT(fetch(repository_, kName).message(), HasSubstr("is to be used twice"));
    EXPECT_FALSE(fs::exists(target_));

    options_.tablespace_mapping = {{cluster_.tablespace(), new_tablespace_}};
    status = fetch(repository_, kName);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_TRUE(fs::exists(new_tablespace_ + "/PG_15_202209061/5/16390"));
}

// The original place serves when it is free, as on a new machine.
TEST_F(FetchTest, TablespaceGoesToItsOldPlaceWhenThatIsFree) {
    make_backup();
    options_.tablespace_mapping.clear();
    fs::rename(cluster_.tablespace(), cluster_.root() / "old ts");
    const Status status = fetch(repository_, kName);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(fs::read_symlink(target_ + "/pg_tblspc/16386").string(), cluster_.tablespace());
    EXPECT_TRUE(fs::exists(cluster_.tablespace() + "/PG_15_202209061/5/16390"));
}

// C15: what a killed restore leaves is not taken for a cluster, by the server or by the next attempt.
TEST_F(FetchTest, CancelledRestoreCannotBeStarted) {
    make_backup();
    cancel_.cancel();
    EXPECT_EQ(fetch(repository_, kName).kind(), Kind::kCancelled);
    EXPECT_FALSE(fs::exists(target_ + "/global/pg_control"));
}

TEST_F(FetchTest, FailureSaysThatTheDirectoryIsIncomplete) {
    make_backup();
    std::string content = test::read_text(part_path("pg_control.tar.zst"));
    content[100] = static_cast<char>(content[100] ^ 1);
    test::write_text(part_path("pg_control.tar.zst"), content);
    const Status status = fetch(repository_, kName);
    EXPECT_THAT(status.hint(), HasSubstr("Directory \"" + target_ + "\" is incomplete and cannot be started"));
    EXPECT_TRUE(fs::exists(target_ + "/PG_VERSION"));
}

// C15: killed once more, in the moment in which it began its journal anew.
TEST_F(FetchTest, AnUnfinishedRestoreWithAnEmptyJournalIsTakenUp) {
    make_backup();
    const std::string part = part_path("pg_control.tar.zst");
    const std::string whole = test::read_text(part);
    std::string content = whole;
    content[100] = static_cast<char>(content[100] ^ 1);
    test::write_text(part, content);
    ASSERT_FALSE(fetch(repository_, kName).ok());
    ASSERT_TRUE(fs::exists(target_ + "/PG_VERSION"));
    test::write_text(target_ + "/forge_restore.journal", "");
    test::write_text(part, whole);
    const Status status = fetch(repository_, kName);
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_FALSE(fs::exists(target_ + "/forge_restore.journal"));
}

// R10
TEST_F(FetchTest, WrongKeyWritesNothing) {
    make_backup();
    settings::Settings other = test::test_settings();
    other.keys = crypto::KeyRing({*crypto::Key::parse(std::string(64, '7'), crypto::KeyTransform::kHex, "test")});
    const Status status = fetch(cluster_.repository(other), kName);
    EXPECT_EQ(status.kind(), Kind::kCorrupt);
    EXPECT_FALSE(fs::exists(target_));
}

// A backup put together by hand, in the form of another program.
class ForeignFetch : public ::testing::Test {
protected:
    ForeignFetch() {
        fs::create_directory(directory_ / "store");
        settings_ = test::test_settings(codec::Method::kNone, false);
        repository_ = std::make_shared<repository::Repository>(test::local_store(directory_ / "store"), settings_);
        layout::Sentinel sentinel;
        sentinel.start_lsn = test::kStart;
        sentinel.finish_lsn = test::kStart + 0x100;
        sentinel.system_identifier = test::kGoldenSystem;
        sentinel.files_metadata_disabled = true;
        put(layout::sentinel_key(kName), layout::sentinel_json(sentinel));
        put(layout::metadata_key(kName), layout::metadata_json(sentinel));
        const Bytes control = test::golden_control_file();
        control_ = as_text(control);
        // As backups over the replication protocol have it: without the blocks at the end.
        std::string tar = tar_of({{"/global/pg_control", control_, ""}});
        put_part("pg_control.tar", tar.substr(0, tar.size() - 1024));
    }
    struct Member {
        std::string name, content;
        std::string link;  // target of a symbolic link
    };
    static std::string tar_of(const std::vector<Member>& members) {
        MemorySink memory;
        auto writer = backup::TarWriter::create(std::make_unique<ForwardSink>(memory));
        EXPECT_TRUE(writer.ok());
        for (const Member& member : members) {
            backup::TarMember header;
            header.name = member.name;
            header.type =
                member.name.ends_with('/') ? backup::TarMember::Type::kDirectory : backup::TarMember::Type::kFile;
            if (!member.link.empty()) header.type = backup::TarMember::Type::kSymlink;
            header.target = member.link;
            header.size = member.content.size();
            header.mode = header.type == backup::TarMember::Type::kDirectory ? 0700 : 0600;
            EXPECT_TRUE((*writer)->begin(header).ok());
            EXPECT_TRUE((*writer)->write(as_bytes(member.content)).ok());
        }
        EXPECT_TRUE((*writer)->finish().ok());
        return std::string(as_text(memory.bytes()));
    }
    void put(const std::string& key, std::string_view content) {
        EXPECT_TRUE(repository_->store().put(key, as_bytes(content), {}).ok());
    }
    void put_part(const std::string& name, const std::string& tar) { put(layout::parts_folder(kName) + name, tar); }
    std::vector<Member> usual(std::vector<Member> more = {}) const {
        std::vector<Member> members{
            {"./", "", ""},           {"PG_VERSION", "15\n", ""},        {"base/5/", "", ""},
            {"base/5/1259", "x", ""}, {"global/pg_control", "torn", ""}, {"backup_label", label(), ""}};
        members.insert(members.end(), more.begin(), more.end());
        return members;
    }
    static std::string label(const std::string& at = "0/5000028") {
        return "START WAL LOCATION: " + at + " (file 000000010000000000000005)\n";
    }
    Status fetch() {
        auto backup = repository_->find_backup(kName, {});
        if (!backup.ok()) return backup.status();
        FetchOptions options;
        options.target_directory = directory_ / "restored";
        options.sync = false;
        FetchProgress progress;
        return fetch_backup(*repository_, *backup, options, progress, cancel_, logger_);
    }
    void expect_corrupt(const std::string& text) {
        const Status status = fetch();
        EXPECT_EQ(status.kind(), Kind::kCorrupt) << status.to_string();
        EXPECT_THAT(status.message(), HasSubstr(text));
        EXPECT_FALSE(fs::exists(directory_ / "restored/global/pg_control"));
    }

    static constexpr const char* kName = "base_000000010000000000000005";
    test::TestDirectory directory_;
    settings::Settings settings_;
    std::shared_ptr<repository::Repository> repository_;
    std::string control_;
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

// R8: names without slash, the label among the data, pg_control twice, no list of files.
TEST_F(ForeignFetch, BackupOverTheReplicationProtocol) {
    put_part("part_001.tar", tar_of(usual()));
    const Status status = fetch();
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(test::read_text(directory_ / "restored/base/5/1259"), "x");
    EXPECT_EQ(test::read_text(directory_ / "restored/backup_label"), label());
    EXPECT_EQ(test::read_text(directory_ / "restored/global/pg_control"), control_);
    EXPECT_TRUE(fs::is_directory(directory_ / "restored/pg_wal/archive_status"));
}

TEST_F(ForeignFetch, NamesThatLeadOutAreRefused) {
    for (const char* name : {"../evil", "/base/../../evil", "base/.."}) {
        put_part("part_001.tar", tar_of(usual({{name, "x", ""}})));
        expect_corrupt("leads out of the data directory");
        EXPECT_FALSE(fs::exists(directory_ / "evil"));
        fs::remove_all(directory_ / "restored");
    }
}

TEST_F(ForeignFetch, NothingIsWrittenThroughASymbolicLink) {
    fs::create_directory(directory_ / "outside");
    put_part("part_001.tar", tar_of(usual({{"way", "", directory_ / "outside"}, {"way/evil", "x", ""}})));
    expect_corrupt("symbolic link \"way\"");
    EXPECT_TRUE(fs::is_empty(directory_ / "outside"));
}

TEST_F(ForeignFetch, NameThatComesTwiceIsRefused) {
    put_part("part_001.tar", tar_of(usual()));
    put_part("part_002.tar", tar_of({{"base/5/1259", "another", ""}}));
    expect_corrupt("base/5/1259");
}

// W20: the label of another backup under this one's name.
TEST_F(ForeignFetch, LabelOfAnotherStartPointIsRefused) {
    auto members = usual();
    members.back().content = label("0/9000028");
    put_part("part_001.tar", tar_of(members));
    expect_corrupt("the backup starts at 0/9000028, its sentinel says 0/5000028");
}

TEST_F(ForeignFetch, DataBehindTheEndOfATarIsRefused) {
    put_part("part_001.tar", tar_of(usual()) + std::string(3000, '\0'));
    EXPECT_TRUE(fetch().ok());
    fs::remove_all(directory_ / "restored");
    for (const std::size_t zeros : {0UL, 5000UL, 400'000UL}) {
        put_part("part_001.tar", tar_of(usual()) + std::string(zeros, '\0') + "x");
        expect_corrupt("there is data behind the end of the tar archive");
        fs::remove_all(directory_ / "restored");
    }
}

TEST_F(ForeignFetch, ControlFileOfAnotherClusterIsRefused) {
    put_part("part_001.tar", tar_of(usual()));
    layout::Sentinel sentinel;
    sentinel.start_lsn = test::kStart;
    sentinel.system_identifier = test::kGoldenSystem + 1;
    sentinel.files_metadata_disabled = true;
    put(layout::sentinel_key(kName), layout::sentinel_json(sentinel));
    put(layout::metadata_key(kName), layout::metadata_json(sentinel));
    expect_corrupt("is of the cluster with system identifier 7710922509866642591");
}

TEST_F(ForeignFetch, DamagedControlFileIsRefused) {
    put_part("part_001.tar", tar_of(usual()));
    std::string damaged = control_;
    damaged[100] = static_cast<char>(damaged[100] ^ 1);
    put_part("pg_control.tar", tar_of({{"/global/pg_control", damaged, ""}}));
    expect_corrupt("pg_control does not match its checksum");
}

// Other programs store the link's own name as its target.
TEST_F(ForeignFetch, SymbolicLinkWithoutTargetIsLeftOutAndSaid) {
    put_part("part_001.tar", tar_of(usual({{"custom.conf", "", "custom.conf"}})));
    ASSERT_TRUE(fetch().ok());
    EXPECT_FALSE(fs::is_symlink(directory_ / "restored/custom.conf"));
    EXPECT_THAT(logger_.warnings(), HasSubstr("symbolic link \"custom.conf\" is not restored"));
}

class GoldenFetch : public ::testing::Test {
protected:
    Status fetch(const std::string& name) {
        auto repository = test::golden_repository();
        auto backup = repository->find_backup(name, {});
        if (!backup.ok()) return backup.status();
        options_.target_directory = directory_ / "pgdata";
        options_.tablespace_mapping = {{"/srv/fixture/ts1", directory_ / "ts1"}};
        options_.sync = false;
        return fetch_backup(*repository, *backup, options_, progress_, cancel_, logger_);
    }
    test::TestDirectory directory_;
    FetchOptions options_;
    FetchProgress progress_;
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

// R8: a backup another program wrote. Its pages carry checksums, which tell that every relation came back as it was.
TEST_F(GoldenFetch, FullBackupComesBackComplete) {
    const Status status = fetch(std::string(test::kGoldenFull));
    ASSERT_TRUE(status.ok()) << status.to_string();
    auto control = backup::read_control_file(directory_ / "pgdata");
    ASSERT_TRUE(control.ok()) << control.status().to_string();
    EXPECT_EQ(control->system_identifier, test::kGoldenSystem);
    auto metadata = test::golden_repository()->files_metadata(std::string(test::kGoldenFull), {});
    ASSERT_TRUE(metadata.ok());
    for (const auto& [name, entry] : metadata->files) EXPECT_TRUE(fs::exists(directory_ / ("pgdata" + name))) << name;
    EXPECT_THAT(test::read_text(directory_ / "pgdata/backup_label"), HasSubstr("START WAL LOCATION: 0/3000028"));
    EXPECT_EQ(test::read_text(directory_ / "pgdata/tablespace_map"), "16384 " + (directory_ / "ts1") + "\n");
    EXPECT_EQ(fs::read_symlink(directory_ / "pgdata/pg_tblspc/16384").string(), directory_ / "ts1");
    EXPECT_TRUE(fs::is_directory(directory_ / "pgdata/pg_wal/archive_status"));
    EXPECT_FALSE(fs::exists(directory_ / "pgdata/backup_manifest"));
    EXPECT_EQ(fs::status(directory_ / "pgdata").permissions(), fs::perms::owner_all);

    std::size_t relations = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / "pgdata/base")) {
        const auto file = backup::parse_relation_file(entry.path().filename().string());
        if (!entry.is_regular_file() || !file) continue;
        std::string content = test::read_text(entry.path().string());
        auto fd = open_file(entry.path().string(), O_RDONLY);
        backup::PageChecker checker(fd->get(), 0, control->redo + (1ULL << 40));
        checker.check({reinterpret_cast<std::uint8_t*>(content.data()), content.size()}, 0, cancel_);
        EXPECT_EQ(checker.bad_count(), 0U) << entry.path();
        ++relations;
    }
    EXPECT_GT(relations, 800U);
}

// C11: the sentinel says that there is one.
TEST_F(FetchTest, BackupOfOursWithoutItsManifestIsRefused) {
    make_backup();
    const std::string key = backup::manifest_key(kName, codec::Method::kZstd);
    fs::remove(cluster_.root() / ("store/" + key));
    const Status status = fetch(repository_, kName);
    EXPECT_EQ(status.kind(), Kind::kCorrupt);
    EXPECT_THAT(status.message(), AllOf(HasSubstr(key), HasSubstr("is missing")));
    EXPECT_FALSE(fs::exists(target_));
}

// R8: what WAL-G itself makes of the chain has these digests; see test/data/walg.
TEST_F(GoldenFetch, ChainOfDeltasComesBackAsTheNewestState) {
    const std::string name = "base_000000010000000000000007_D_000000010000000000000005";
    const Status status = fetch(name);
    ASSERT_TRUE(status.ok()) << status.to_string();
    const auto metadata = test::golden_repository()->files_metadata(name, {});
    ASSERT_TRUE(metadata.ok());
    std::set<std::string> expected;
    for (const auto& [file, entry] : metadata->files)
        if (!file.starts_with("/pg_tblspc/")) expected.insert(file == "/" ? "" : file);
    std::size_t relations = 0;
    const auto control = backup::read_control_file(directory_ / "pgdata");
    ASSERT_TRUE(control.ok()) << control.status().to_string();
    for (const auto& entry : fs::recursive_directory_iterator(directory_ / "pgdata/base")) {
        const std::string path = entry.path().string();
        EXPECT_TRUE(expected.contains(path.substr((directory_ / "pgdata").size()))) << path << " was dropped";
        const auto file = backup::parse_relation_file(entry.path().filename().string());
        if (!entry.is_regular_file() || !file) continue;
        std::string content = test::read_text(path);
        auto fd = open_file(path, O_RDONLY);
        backup::PageChecker checker(fd->get(), 0, control->redo + (1ULL << 40));
        checker.check({reinterpret_cast<std::uint8_t*>(content.data()), content.size()}, 0, cancel_);
        EXPECT_EQ(checker.bad_count(), 0U) << path;
        ++relations;
    }
    EXPECT_GT(relations, 800U);
    EXPECT_THAT(test::read_text(directory_ / "pgdata/backup_label"), HasSubstr("START WAL LOCATION: 0/7000028"));
}

}  // namespace
}  // namespace forge::restore
