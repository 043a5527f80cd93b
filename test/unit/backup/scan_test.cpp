#include "core/backup/scan.h"

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "test/unit/backup/fake_cluster.h"

namespace forge::backup {
namespace fs = std::filesystem;

namespace {

using ::testing::HasSubstr;

class Scan : public ::testing::Test {
protected:
    ScanResult scan() {
        options_.data_directory = cluster_.data();
        options_.tablespaces = cluster_.start().tablespaces;
        options_.version_directory = "PG_15_202209061";
        options_.major_version = 15;
        auto result = scan_data_directory(options_, leave_out_, cancel_, logger_);
        EXPECT_TRUE(result.ok()) << result.status().to_string();
        return result.ok() ? std::move(result).value() : ScanResult();
    }
    static std::map<std::string, ScanEntry> by_name(const ScanResult& result) {
        std::map<std::string, ScanEntry> map;
        for (const ScanEntry& entry : result.entries) EXPECT_TRUE(map.emplace(entry.name, entry).second) << entry.name;
        return map;
    }
    test::FakeCluster cluster_;
    ScanOptions options_;
    const LeaveOut leave_out_ = [](const ScanEntry&) { return false; };
    CancelToken cancel_;
    test::CollectingLogger logger_;
};

// P14: what the server leaves out, and nothing else.
TEST_F(Scan, FindsWhatTheServerBacksUp) {
    const auto entries = by_name(scan());
    for (const char* name : {"/",
                             "/PG_VERSION",
                             "/base",
                             "/base/5",
                             "/base/5/16384",
                             "/base/5/16384.1",
                             "/base/5/16384_vm",
                             "/base/5/16385",
                             "/base/5/16400_init",
                             "/global/1262",
                             "/global/pg_filenode.map",
                             "/postgresql.conf",
                             "/backup_label.old",
                             "/log/server.log",
                             "/notes \xC3\xBC.txt",
                             "/pg_notify",
                             "/pg_replslot",
                             "/pg_stat_tmp",
                             "/pg_wal",
                             "/pg_wal/archive_status",
                             "/pg_tblspc",
                             "/pg_tblspc/16386/PG_15_202209061/5/16390",
                             "/custom.conf"})
        EXPECT_TRUE(entries.contains(name)) << name;
    for (const char* name :
         {"/global/pg_control", "/global/pg_internal.init", "/base/5/16400", "/base/5/16400_fsm", "/base/5/t3_16500",
          "/base/pgsql_tmp", "/pg_replslot/standby", "/pg_stat_tmp/global.stat", "/postgresql.auto.conf.tmp",
          "/postmaster.pid", "/backup_label", "/pg_wal/000000010000000000000005", "/pg_wal/summaries",
          "/pg_tblspc/16386", "/pg_tblspc/16386/PG_14_202107181"})
        EXPECT_FALSE(entries.contains(name)) << name;
}

TEST_F(Scan, ParentsComeBeforeChildren) {
    std::set<std::string> seen;
    for (const ScanEntry& entry : scan().entries) {
        const std::string parent = entry.name == "/" ? "" : fs::path(entry.name).parent_path().string();
        const bool is_tablespace_root = entry.root > 0 && entry.name.ends_with("PG_15_202209061");
        EXPECT_TRUE(parent.empty() || is_tablespace_root || seen.contains(parent)) << entry.name;
        seen.insert(entry.name);
    }
}

// P13: a symbolic link in the place of pg_wal becomes a directory; others keep their targets.
TEST_F(Scan, SymbolicLinks) {
    const auto entries = by_name(scan());
    EXPECT_EQ(entries.at("/pg_wal").type, ScanEntry::Type::kDirectory);
    EXPECT_EQ(entries.at("/pg_wal").mode, 0700U);
    EXPECT_EQ(entries.at("/custom.conf").type, ScanEntry::Type::kSymlink);
    EXPECT_EQ(entries.at("/custom.conf").target, cluster_.root() / "outside.conf");
}

TEST_F(Scan, TellsRelationsFromOtherFiles) {
    const auto entries = by_name(scan());
    for (const char* name :
         {"/base/5/16384", "/base/5/16384.1", "/global/1262", "/pg_tblspc/16386/PG_15_202209061/5/16390"})
        EXPECT_TRUE(entries.at(name).is_relation) << name;
    for (const char* name : {"/base/5/PG_VERSION", "/global/pg_filenode.map", "/PG_VERSION"})
        EXPECT_FALSE(entries.at(name).is_relation) << name;
}

TEST_F(Scan, SourcePathLeadsToTheFile) {
    const auto entries = by_name(scan());
    EXPECT_EQ(source_path(options_, entries.at("/")), cluster_.data());
    EXPECT_EQ(source_path(options_, entries.at("/base/5/16384")), cluster_.data("base/5/16384"));
    EXPECT_EQ(source_path(options_, entries.at("/pg_tblspc/16386/PG_15_202209061/5/16390")),
              cluster_.tablespace() + "/PG_15_202209061/5/16390");
}

TEST_F(Scan, SpecialFilesAndNamesThatAreNotUtf8AreLeftOutWithAWarning) {
    ASSERT_EQ(::mkfifo(cluster_.data("pipe").c_str(), 0600), 0);
    test::write_text(cluster_.data("bad\xFFname"), "x");
    const auto entries = by_name(scan());
    EXPECT_FALSE(entries.contains("/pipe"));
    EXPECT_FALSE(entries.contains("/bad\xFFname"));
    EXPECT_THAT(logger_.warnings(),
                HasSubstr("special file \"" + cluster_.data("pipe") + "\" is left out of the backup"));
    EXPECT_THAT(logger_.warnings(), HasSubstr("its name is not valid UTF-8"));
}

// P13
TEST_F(Scan, TablespaceInsideTheDataDirectoryIsReadOnce) {
    test::write_bytes(cluster_.data("inside/PG_15_202209061/5/16391"), test::relation_pages(1));
    options_.tablespaces = {{"16387", cluster_.data("inside")}};
    options_.data_directory = cluster_.data();
    options_.version_directory = "PG_15_202209061";
    auto result = scan_data_directory(options_, leave_out_, cancel_, logger_);
    ASSERT_TRUE(result.ok());
    const auto entries = by_name(*result);
    EXPECT_TRUE(entries.contains("/inside"));
    EXPECT_FALSE(entries.contains("/inside/PG_15_202209061"));
    EXPECT_TRUE(entries.contains("/pg_tblspc/16387/PG_15_202209061/5/16391"));
}

// P12: its WAL says that it is gone.
TEST_F(Scan, DroppedTablespaceIsNoError) {
    fs::remove_all(cluster_.tablespace());
    EXPECT_FALSE(by_name(scan()).contains("/pg_tblspc/16386/PG_15_202209061"));
}

TEST(Utf8, Validity) {
    for (const char* text : {"", "abc", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x90\x98"})
        EXPECT_TRUE(is_utf8(text)) << text;
    for (const char* text : {"\xFF", "\xC3", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80", "a\x80"})
        EXPECT_FALSE(is_utf8(text));
}

}  // namespace
}  // namespace forge::backup
