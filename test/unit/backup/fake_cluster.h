// A data directory that looks like a server's, a repository in a directory beside it, and the golden bucket: what the
// tests of backup and restore share.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "core/backup/engine.h"
#include "core/backup/page_check.h"
#include "core/backup/sha256.h"
#include "core/base/file.h"
#include "core/store/forwarding_store.h"
#include "core/store/local_store.h"

namespace forge::test {

namespace fs = std::filesystem;

inline constexpr std::string_view kGoldenKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
inline constexpr std::string_view kGoldenFull = "base_000000010000000000000003";
inline constexpr std::uint64_t kGoldenSystem = 7710922509866642591ULL;
inline constexpr Lsn kStart = 0x5000028;

class TestDirectory {
public:
    TestDirectory() {
        std::string name = (fs::temp_directory_path() / "forge-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = fs::canonical(name).string();
    }
    ~TestDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    TestDirectory(const TestDirectory&) = delete;
    TestDirectory& operator=(const TestDirectory&) = delete;
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

class CollectingLogger final : public Logger {
public:
    void log(LogLevel level, std::string_view message) override {
        const std::lock_guard lock(mutex_);
        if (level == LogLevel::kWarning) warnings_ += std::string(message) + "\n";
        if (level == LogLevel::kNotice) notices_ += std::string(message) + "\n";
    }
    std::string notices() const {
        const std::lock_guard lock(mutex_);
        return notices_;
    }
    std::string warnings() const {
        const std::lock_guard lock(mutex_);
        return warnings_;
    }

private:
    mutable std::mutex mutex_;
    std::string warnings_, notices_;
};

inline crypto::KeyRing golden_ring() {
    auto key = crypto::Key::parse(kGoldenKey, crypto::KeyTransform::kHex, "test");
    EXPECT_TRUE(key.ok()) << key.status().to_string();
    return crypto::KeyRing({*key});
}

inline settings::Settings test_settings(codec::Method method = codec::Method::kZstd, bool encrypted = true) {
    settings::Settings settings;
    settings.kind = settings::StorageKind::kDirectory;
    settings.compression = settings.backup_compression = method;
    settings.upload_concurrency = settings.download_concurrency = 3;
    if (encrypted) settings.keys = golden_ring();
    return settings;
}

inline std::shared_ptr<store::ObjectStore> local_store(const std::string& directory) {
    auto store = store::open_local_store(directory);
    EXPECT_TRUE(store.ok()) << store.status().to_string();
    return std::move(store).value();
}

// The bucket another program wrote.
inline std::shared_ptr<repository::Repository> golden_repository() {
    return std::make_shared<repository::Repository>(local_store(FORGE_TEST_DATA "/walg/main/store"),
                                                    test_settings(codec::Method::kBrotli));
}

// Content of the one file in the golden pg_control part: a tar header of 512 bytes, then 8 kB.
inline Bytes golden_control_file() {
    auto repository = golden_repository();
    auto source =
        repository->open_object(layout::parts_folder(kGoldenFull) + "pg_control.tar.br", codec::Method::kBrotli, {});
    EXPECT_TRUE(source.ok()) << source.status().to_string();
    auto tar = read_all(**source, 1 << 20);
    EXPECT_TRUE(tar.ok()) << tar.status().to_string();
    return Bytes(tar->begin() + 512, tar->begin() + 512 + 8192);
}

inline void write_bytes(const std::string& path, ByteView content, mode_t mode = 0600) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
}
inline void write_text(const std::string& path, std::string_view content, mode_t mode = 0600) {
    write_bytes(path, as_bytes(content), mode);
}
inline std::string read_text(const std::string& path) {
    auto text = read_file(path, 1 << 30);
    EXPECT_TRUE(text.ok()) << text.status().to_string();
    return text.ok() ? *text : std::string();
}

// Pages with some content, an LSN and a right checksum.
inline Bytes relation_pages(std::uint32_t pages, std::uint32_t first_block = 0, Lsn lsn = 0x1000000) {
    Bytes content(pages * backup::kPageSize);
    for (std::uint32_t i = 0; i < pages; ++i) {
        const MutableBytes page(content.data() + i * backup::kPageSize, backup::kPageSize);
        for (std::size_t k = 24; k < page.size(); ++k) page[k] = static_cast<std::uint8_t>((k * 31 + i * 7) >> 3);
        store_le<std::uint32_t>(page.data(), static_cast<std::uint32_t>(lsn >> 32));
        store_le<std::uint32_t>(page.data() + 4, static_cast<std::uint32_t>(lsn));
        store_le<std::uint16_t>(page.data() + 12, 24);
        store_le<std::uint16_t>(page.data() + 14, 8192);
        store_le<std::uint16_t>(page.data() + 16, 8192);
        store_le<std::uint16_t>(page.data() + 18, 8192 | 4);
        store_le<std::uint16_t>(page.data() + 8, backup::page_checksum(page, first_block + i));
    }
    return content;
}

// Everything a scan has to decide about is in it.
class FakeCluster {
public:
    FakeCluster() {
        control_ = golden_control_file();
        write_text(data("PG_VERSION"), "15\n");
        write_bytes(data("global/pg_control"), control_);
        write_bytes(data("global/1262"), relation_pages(3));
        write_bytes(data("global/pg_filenode.map"), Bytes(512, 7));
        write_text(data("global/pg_internal.init"), "cache");
        write_text(data("base/5/PG_VERSION"), "15\n");
        write_bytes(data("base/5/16384"), relation_pages(40));
        write_bytes(data("base/5/16384.1"), relation_pages(2, 131072));
        write_bytes(data("base/5/16384_vm"), relation_pages(1));
        write_bytes(data("base/5/16385"), {});
        write_bytes(data("base/5/16400"), relation_pages(2));  // unlogged
        write_bytes(data("base/5/16400_fsm"), relation_pages(1));
        write_bytes(data("base/5/16400_init"), relation_pages(1));
        write_bytes(data("base/5/t3_16500"), relation_pages(1));
        write_text(data("base/pgsql_tmp/pgsql_tmp123.0"), "sort");
        write_text(data("pg_replslot/standby/state"), "slot");
        write_text(data("pg_stat_tmp/global.stat"), "stat");
        write_text(data("postgresql.conf"), "port = 5432\n", 0640);
        write_text(data("postgresql.auto.conf"), "work_mem = '4MB'\n");
        write_text(data("postgresql.auto.conf.tmp"), "x");
        write_text(data("postmaster.pid"), "1\n");
        write_text(data("backup_label"), "stray");
        write_text(data("backup_label.old"), "kept");
        write_text(data("log/server.log"), "line\n");
        write_text(data("notes \xC3\xBC.txt"), "name of two bytes");
        write_text(data(std::string(130, 'n')), "name too long for a plain header field");
        for (const char* name : {"pg_notify", "pg_serial", "pg_snapshots", "pg_subtrans", "pg_dynshmem", "pg_twophase",
                                 "pg_commit_ts", "pg_logical/mappings", "pg_tblspc"})
            fs::create_directories(data(name));
        write_text(root_ / "outside.conf", "# elsewhere\n");
        fs::create_symlink(root_ / "outside.conf", data("custom.conf"));
        write_bytes(root_ / "wal/000000010000000000000005", Bytes(100, 1));
        fs::create_directory_symlink(root_ / "wal", data("pg_wal"));
        write_bytes(root_ / "ts1/PG_15_202209061/5/16390", relation_pages(5));
        write_text(root_ / "ts1/PG_14_202107181/5/1", "of another server version");
        fs::create_directory_symlink(root_ / "ts1", data("pg_tblspc/16386"));
        for (const auto& entry : fs::recursive_directory_iterator(root_.path()))
            if (entry.is_directory() && !entry.is_symlink()) fs::permissions(entry.path(), fs::perms::owner_all);
        fs::permissions(data("log"), fs::perms(0750));
        fs::create_directory(root_ / "store");
    }
    std::string data(const std::string& name = {}) const {
        return name.empty() ? root_ / "pgdata" : root_ / ("pgdata/" + name);
    }
    const TestDirectory& root() const { return root_; }
    std::string tablespace() const { return root_ / "ts1"; }

    backup::BackupStart start() const {
        backup::BackupStart start;
        start.data_directory = data();
        start.timeline = 1;
        start.start_lsn = kStart;
        start.pg_version = 150020;
        start.tablespaces = {{"16386", tablespace()}};
        start.start_time = Instant::from_micros(1'795'000'000'123'456);
        start.user_data = R"({"why":"test"})";
        return start;
    }
    backup::BackupStop stop() const {
        return {kStart + 0x100, 0,
                "START WAL LOCATION: 0/5000028 (file 000000010000000000000005)\nCHECKPOINT LOCATION: 0/5000060\n",
                "16386 " + tablespace() + "\n"};
    }
    std::shared_ptr<repository::Repository> repository(const settings::Settings& settings = test_settings()) const {
        return std::make_shared<repository::Repository>(local_store(root_ / "store"), settings);
    }
    // Makes a whole backup and returns its name.
    std::string make_backup(const std::shared_ptr<repository::Repository>& repository) const {
        backup::Progress progress;
        CancelToken cancel;
        NullLogger logger;
        auto engine = backup::begin_backup(repository, start(), progress, cancel, logger);
        if (!engine.ok()) return engine.status().to_string();
        if (Status copied = (*engine)->copy_files(); !copied.ok()) return copied.to_string();
        auto report = (*engine)->finish(stop());
        return report.ok() ? report->name : report.status().to_string();
    }
    std::set<std::string> objects() const {
        std::set<std::string> keys;
        for (const auto& entry : fs::recursive_directory_iterator(root_ / "store"))
            if (entry.is_regular_file()) keys.insert(fs::relative(entry.path(), root_ / "store").string());
        return keys;
    }

private:
    TestDirectory root_;
    Bytes control_;
};

// A store that lets a test act in the middle of an upload.
class HookStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    std::function<Status(const std::string& key)> on_create = [](const std::string&) { return Status(); };
    std::function<Status(const std::string& key)> on_write = [](const std::string&) { return Status(); };
    std::function<Status(const std::string& key)> on_put = [](const std::string&) { return Status(); };

    Status put(const std::string& key, ByteView content, const store::CallContext& context) override {
        FORGE_TRY(on_put(key));
        return next().put(key, content, context);
    }
    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override {
        FORGE_TRY(on_put(key));
        return next().put_if_absent(key, content, context);
    }
    Result<std::unique_ptr<Sink>> create(const std::string& key, const store::CallContext& context) override {
        FORGE_TRY(on_create(key));
        FORGE_ASSIGN(auto sink, next().create(key, context));
        return std::unique_ptr<Sink>(std::make_unique<HookSink>(*this, key, std::move(sink)));
    }

private:
    class HookSink final : public Sink {
    public:
        HookSink(HookStore& store, std::string key, std::unique_ptr<Sink> next)
            : store_(store), key_(std::move(key)), next_(std::move(next)) {}
        Status write(ByteView data) override {
            FORGE_TRY(store_.on_write(key_));
            return next_->write(data);
        }
        Status finish() override { return next_->finish(); }

    private:
        HookStore& store_;
        std::string key_;
        std::unique_ptr<Sink> next_;
    };
};

// Name below `root` -> type, mode and content, for comparing trees.
inline std::map<std::string, std::string> tree_of(const std::string& root) {
    std::map<std::string, std::string> tree;
    const auto describe = [](const fs::path& path) -> std::string {
        const fs::file_status status = fs::symlink_status(path);
        const std::string mode = std::to_string(static_cast<int>(status.permissions()));
        if (fs::is_symlink(status)) return "link to " + fs::read_symlink(path).string();
        if (fs::is_directory(status)) return "directory " + mode;
        const std::string content = read_text(path.string());
        return "file " + mode + " " + to_hex(backup::sha256(as_bytes(content)));
    };
    for (const auto& entry : fs::recursive_directory_iterator(root))
        tree[entry.path().lexically_relative(root).string()] = describe(entry.path());
    return tree;
}

// One line for each name that differs; empty when the trees are equal.
inline std::string differences(const std::map<std::string, std::string>& actual,
                               const std::map<std::string, std::string>& expected) {
    std::string text;
    for (const auto& [name, what] : expected) {
        const auto found = actual.find(name);
        if (found == actual.end())
            text += name + ": missing, expected " + what + "\n";
        else if (found->second != what)
            text += name + ": " + found->second + ", expected " + what + "\n";
    }
    for (const auto& [name, what] : actual)
        if (!expected.contains(name)) text += name + ": " + what + ", not expected\n";
    return text;
}

}  // namespace forge::test
