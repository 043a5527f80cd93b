// Every object of a chain of three backups, damaged in every way: a restore of the newest one is refused by the name of
// what is wrong and leaves nothing that can be started, or it ends in the exact state because the object was not
// needed.
#include <gmock/gmock.h>

#include <utime.h>

#include <chrono>
#include <iostream>

#include "core/restore/fetch.h"
#include "test/unit/backup/fake_cluster.h"

namespace forge::restore {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kFirstBackup = 1'795'000'000;  // seconds since 1970
constexpr std::int64_t kDay = 86'400;
constexpr std::size_t kChunk = 8209;  // of an encrypted object: 8192 bytes and their tag
constexpr std::size_t kHeader = 24;

struct Variant {
    codec::Method method;
    bool encrypted;
};

std::string variant_name(const Variant& variant) {
    return std::string(codec::method_name(variant.method)) + (variant.encrypted ? "Encrypted" : "Plain");
}

void PrintTo(const Variant& variant, std::ostream* stream) { *stream << variant_name(variant); }

void set_times(const std::string& directory, std::int64_t seconds) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        const ::utimbuf times{seconds, seconds};
        if (entry.is_regular_file() && !entry.is_symlink()) {
            ASSERT_EQ(::utime(entry.path().c_str(), &times), 0);
        }
    }
}

// A cluster, its full backup and two deltas.
class Chain {
public:
    // Clusters with different `salt` have different contents everywhere, in files of the same names and sizes.
    Chain(const Variant& variant, std::uint8_t salt) : salt_(salt) {
        settings::Settings settings = test::test_settings(variant.method, variant.encrypted);
        settings.part_size_limit = 50'000;
        settings.upload_concurrency = 1;  // the same files in parts of the same numbers, each time
        settings.delta_max_steps = 5;
        repository_ = cluster_.repository(settings);
        for (int i = 0; i < 4; ++i) write_relation("base/5/1700" + std::to_string(i), 9, 0x1000000);
        test::write_text(cluster_.data("secret.conf"), "salt = " + std::to_string(salt) + "\n");
        set_times(cluster_.root().path(), kFirstBackup - kDay);
        back_up(0);
        change_pages("base/5/16384", {3, 4, 39}, 0x5100000, 1);
        change_pages("base/5/17001", {0}, 0x5100000, 1);
        write_relation("base/5/17002", 4, 0x5100000, 1);   // truncated and rewritten
        write_relation("base/5/17003", 12, 0x5100000, 1);  // grown
        fs::remove(cluster_.data("base/5/17000"));         // dropped
        write_relation("base/5/18000", 3, 0x5100000, 1);   // created
        test::write_text(cluster_.data("postgresql.conf"), "port = 5433\n", 0640);
        change_pages("base/5/17001", {5}, 0x5100000, 1);
        back_up(1);
        change_pages("base/5/16384", {4, 11}, 0x7100000, 2);
        change_pages("base/5/17003", {2}, 0x7100000, 2);
        fs::resize_file(cluster_.data("base/5/17001"), 3 * backup::kPageSize);  // shrunk: page 5 of the parent is gone
        change_pages("base/5/17001", {1}, 0x7100000, 2);
        back_up(2);
    }
    const std::vector<std::string>& names() const { return names_; }
    repository::Repository& repository() { return *repository_; }
    std::string object(const std::string& key) const { return cluster_.root() / ("store/" + key); }
    std::set<std::string> keys() const { return cluster_.objects(); }
    const test::FakeCluster& cluster() const { return cluster_; }

private:
    void write_relation(const std::string& name, std::uint32_t pages, Lsn lsn, int day = -1) {
        test::write_bytes(cluster_.data(name), test::relation_pages(pages, 0, lsn));
        std::vector<std::uint32_t> all(pages);
        for (std::uint32_t i = 0; i < pages; ++i) all[i] = i;
        change_pages(name, all, lsn, day);
    }
    void change_pages(const std::string& name, const std::vector<std::uint32_t>& blocks, Lsn lsn, int day) {
        std::string content = test::read_text(cluster_.data(name));
        for (const std::uint32_t block : blocks) {
            const MutableBytes page(reinterpret_cast<std::uint8_t*>(content.data()) + block * backup::kPageSize,
                                    backup::kPageSize);
            for (std::size_t k = 4000; k < 4100; ++k)
                page[k] = static_cast<std::uint8_t>(salt_ + day * 17 + static_cast<int>(k * block));
            store_le<std::uint32_t>(page.data() + 4, static_cast<std::uint32_t>(lsn));
            store_le<std::uint16_t>(page.data() + 8, backup::page_checksum(page, block));
        }
        test::write_text(cluster_.data(name), content);
        const ::utimbuf times{kFirstBackup + day * kDay - kDay / 2, kFirstBackup + day * kDay - kDay / 2};
        ASSERT_EQ(::utime(cluster_.data(name).c_str(), &times), 0);
    }
    void back_up(int day) {
        backup::BackupStart start = cluster_.start();
        start.start_time = Instant::from_seconds(kFirstBackup + day * kDay);
        start.start_lsn = test::kStart + static_cast<Lsn>(day) * 0x2000000;
        backup::BackupStop stop = cluster_.stop();
        stop.finish_lsn = start.start_lsn + 0x100;
        const std::size_t at = stop.backup_label.find("0/5000028");
        ASSERT_NE(at, std::string::npos) << stop.backup_label;
        stop.backup_label.replace(at, 9, format_lsn(start.start_lsn));
        backup::Progress progress;
        CancelToken cancel;
        test::CollectingLogger logger;
        auto engine = backup::begin_backup(repository_, start, progress, cancel, logger);
        ASSERT_TRUE(engine.ok()) << engine.status().to_string();
        const Status copied = (*engine)->copy_files();
        ASSERT_TRUE(copied.ok()) << copied.to_string();
        auto report = (*engine)->finish(stop);
        ASSERT_TRUE(report.ok()) << report.status().to_string();
        ASSERT_EQ(report->name.find("_D_") != std::string::npos, day > 0) << report->name << logger.warnings();
        names_.push_back(report->name);
    }

    std::uint8_t salt_;
    test::FakeCluster cluster_;
    std::shared_ptr<repository::Repository> repository_;
    std::vector<std::string> names_;
};

class Tamper : public ::testing::TestWithParam<Variant> {
protected:
    Tamper() : chain_(GetParam(), 1), other_(GetParam(), 2) {
        options_.target_directory = root_ / "restored";
        options_.tablespace_mapping = {{"16386", root_ / "ts"}};
        options_.sync = false;
        options_.concurrency = 2;
    }
    void SetUp() override {
        ASSERT_EQ(chain_.names().size(), 3U);
        ASSERT_EQ(chain_.names(), other_.names());
        const Status status = restore();
        ASSERT_TRUE(status.ok()) << status.to_string();
        expected_ = state();
        ASSERT_EQ(expected_["base/5/16384"], test::tree_of(chain_.cluster().data())["base/5/16384"]);
        ASSERT_EQ(expected_["base/5/17001"], test::tree_of(chain_.cluster().data())["base/5/17001"]);
        ASSERT_EQ(expected_["base/5/17003"], test::tree_of(chain_.cluster().data())["base/5/17003"]);
        ASSERT_FALSE(expected_.contains("base/5/17000"));
        clean();
    }

    Status restore() {
        auto backup = chain_.repository().find_backup(chain_.names().back(), {});
        if (!backup.ok()) return backup.status();
        FetchProgress progress;
        CancelToken cancel;
        NullLogger logger;
        return fetch_backup(chain_.repository(), *backup, options_, progress, cancel, logger);
    }
    std::map<std::string, std::string> state() const {
        auto tree = test::tree_of(options_.target_directory);
        for (const auto& [name, what] : test::tree_of(root_ / "ts")) tree["ts/" + name] = what;
        return tree;
    }
    void clean() {
        fs::remove_all(options_.target_directory);
        fs::remove_all(root_ / "ts");
    }

    // The store is damaged; one of `names` must be in the message if the restore is refused.
    void judge(const std::string& what, const std::vector<std::string>& names) {
        ++cases_;
        const Status status = restore();
        if (status.ok()) {
            ++exact_;
            const std::string wrong = test::differences(state(), expected_);
            EXPECT_EQ(wrong, "") << what << ": restored to a wrong state";
            if (!wrong.empty()) ++wrong_;
        } else {
            const bool startable = fs::exists(options_.target_directory + "/global/pg_control");
            const std::string text = status.to_string();
            const bool named = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
                return text.find(name) != std::string::npos;
            });
            EXPECT_FALSE(startable) << what;
            EXPECT_TRUE(named) << what << ": " << text;
            if (startable || !named) ++wrong_;
        }
        clean();
    }
    // What a message may call the object: its key, or for the object that makes a backup exist also the backup.
    std::vector<std::string> names_of(const std::string& key) const {
        std::vector<std::string> names{key};
        if (const auto backup = layout::backup_of_sentinel(key)) names.push_back("\"" + *backup + "\"");
        return names;
    }
    void with_content(const std::string& key, const std::string& content, const std::string& what) {
        const std::string path = chain_.object(key);
        const std::string before = test::read_text(path);
        if (content == before) return;
        test::write_text(path, content);
        judge(key + " " + what, names_of(key));
        test::write_text(path, before);
    }

    void remove(const std::string& key) {
        fs::rename(chain_.object(key), root_ / "aside");
        judge(key + " deleted", names_of(key));
        fs::rename(root_ / "aside", chain_.object(key));
    }
    void cut(const std::string& key) {
        const std::string content = test::read_text(chain_.object(key));
        std::set<std::size_t> sizes{0, kHeader, content.size() - 1};
        const std::size_t chunk = GetParam().encrypted ? kChunk : kChunk - 17;
        for (std::size_t at = GetParam().encrypted ? kHeader : 0; at < content.size(); at += chunk) sizes.insert(at);
        for (const std::size_t size : sizes)
            if (size < content.size())
                with_content(key, content.substr(0, size), "cut to " + std::to_string(size) + " bytes");
    }
    void flip(const std::string& key) {
        const std::string content = test::read_text(chain_.object(key));
        for (const std::size_t at : {std::size_t{0}, content.size() / 3, content.size() / 2, content.size() - 2}) {
            std::string changed = content;
            changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 7)));
            with_content(key, changed, "with a bit flipped at " + std::to_string(at));
        }
    }
    void swap(const std::string& key, const std::string& with) {
        fs::rename(chain_.object(key), root_ / "aside");
        fs::rename(chain_.object(with), chain_.object(key));
        fs::rename(root_ / "aside", chain_.object(with));
        std::vector<std::string> names = names_of(key);
        for (std::string& name : names_of(with)) names.push_back(std::move(name));
        judge(key + " swapped with " + with, names);
        fs::rename(chain_.object(key), root_ / "aside");
        fs::rename(chain_.object(with), chain_.object(key));
        fs::rename(root_ / "aside", chain_.object(with));
    }
    void duplicate(const std::string& key) {
        const std::string copy = key.substr(0, key.rfind('/') + 1) + "part_777" + key.substr(key.find(".tar"));
        fs::copy_file(chain_.object(key), chain_.object(copy));
        judge(key + " duplicated", {copy});
        fs::remove(chain_.object(copy));
    }
    // The next object of the same folder, or of the same kind in the next backup.
    std::string neighbour(const std::string& key) const {
        const std::set<std::string> keys = chain_.keys();
        const auto next = std::next(keys.find(key));
        return next == keys.end() ? *keys.begin() : *next;
    }

    test::TestDirectory root_;
    Chain chain_, other_;
    FetchOptions options_;
    std::map<std::string, std::string> expected_;
    int cases_ = 0, exact_ = 0, wrong_ = 0;
};

// S14, S15, S16, C11, K5, W1, W5
TEST_P(Tamper, NoDamageRestoresToAWrongState) {
    const std::set<std::string> keys = chain_.keys();
    int parts = 0;
    for (const std::string& key : keys)
        if (key.starts_with("basebackups_005/" + chain_.names()[0] + "/tar_partitions/part_")) ++parts;
    ASSERT_GE(parts, 6);
    for (const std::string& key : keys) {
        remove(key);
        cut(key);
        flip(key);
        swap(key, neighbour(key));
        if (fs::exists(other_.object(key)))
            with_content(key, test::read_text(other_.object(key)), "replaced by that of another cluster");
        if (key.find("/tar_partitions/") != std::string::npos) duplicate(key);
    }
    // The same part of another backup of this chain.
    for (std::size_t i = 0; i < 3; ++i) {
        for (const std::string& key : keys) {
            const std::string from = "basebackups_005/" + chain_.names()[i];
            const std::string to = "basebackups_005/" + chain_.names()[(i + 1) % 3];
            if (!key.starts_with(from + "/") && !key.starts_with(from + "_backup_stop")) continue;
            const std::string twin = to + key.substr(from.size());
            if (keys.contains(twin))
                with_content(twin, test::read_text(chain_.object(key)), "replaced by that of " + chain_.names()[i]);
        }
    }
    std::cout << variant_name(GetParam()) << ": " << cases_ << " cases of damage, " << cases_ - exact_
              << " refused by name, " << exact_ << " restored exactly, " << wrong_ << " wrong\n";
    RecordProperty("cases", cases_);
    EXPECT_EQ(wrong_, 0);
    EXPECT_GT(cases_, 100);
    EXPECT_EQ(restore().to_string(), Status().to_string()) << "the store is as it was";
}

INSTANTIATE_TEST_SUITE_P(All, Tamper,
                         ::testing::Values(Variant{codec::Method::kBrotli, true},
                                           Variant{codec::Method::kBrotli, false}, Variant{codec::Method::kLz4, true},
                                           Variant{codec::Method::kLz4, false}, Variant{codec::Method::kZstd, true},
                                           Variant{codec::Method::kZstd, false}, Variant{codec::Method::kNone, true},
                                           Variant{codec::Method::kNone, false}),
                         [](const auto& param) { return variant_name(param.param); });

}  // namespace
}  // namespace forge::restore
