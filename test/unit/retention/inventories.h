// Stores with backups and WAL for the tests of retention, as listings and as real directories.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>

#include "core/retention/execute.h"
#include "core/store/local_store.h"

namespace forge::retention {

inline std::string full_name(Timeline timeline, std::uint64_t number) {
    return layout::full_backup_name(layout::segment_name({timeline, number}, layout::kDefaultSegmentSize));
}

inline std::string delta_name(Timeline timeline, std::uint64_t number, std::uint64_t parent) {
    return full_name(timeline, number) + "_D_" + layout::segment_name({timeline, parent}, layout::kDefaultSegmentSize);
}

// A directory store; backups get the parts a real one has, and end in the segment they begin in.
class TestStore {
public:
    TestStore() {
        std::string name = (std::filesystem::temp_directory_path() / "forge_retention_XXXXXX").string();
        directory_ = mkdtemp(name.data());
        auto store = store::open_local_store(directory_);
        EXPECT_TRUE(store.ok());
        store_ = std::move(store).value();
    }
    ~TestStore() { std::filesystem::remove_all(directory_); }

    void put(const std::string& key, std::string_view content = "content") {
        ASSERT_TRUE(store_->put(key, as_bytes(content), context_).ok()) << key;
    }
    void add_parts(const std::string& name) {
        for (const char* part : {"part_001.tar.zst", "part_002.tar.zst", "pg_control.tar.zst", "backup_label.tar.zst"})
            put(layout::parts_folder(name) + part);
    }
    void add_backup(const std::string& name, const std::string& parent = {}, bool permanent = false,
                    Timeline finish_timeline = 0) {
        layout::Sentinel sentinel;
        const auto segment =
            layout::parse_segment(layout::backup_start_segment(name), layout::kDefaultSegmentSize).value();
        sentinel.start_lsn = segment.number * layout::kDefaultSegmentSize + 0x28;
        sentinel.finish_lsn = *sentinel.start_lsn + 0x100;
        sentinel.start_time = Instant::from_seconds(1'700'000'000 + static_cast<std::int64_t>(segment.number) * 3600);
        sentinel.finish_time = Instant::from_seconds(sentinel.start_time.seconds() + 60);
        sentinel.delta_from = parent;
        sentinel.is_permanent = permanent;
        sentinel.finish_timeline = finish_timeline;
        add_parts(name);
        put(layout::metadata_key(name), layout::metadata_json(sentinel));
        put(layout::files_metadata_key(name), "{}");
        put(layout::sentinel_key(name), layout::sentinel_json(sentinel));
    }
    void add_wal(Timeline timeline, std::uint64_t first, std::uint64_t last) {
        for (std::uint64_t number = first; number <= last; ++number)
            put("wal_005/" + layout::segment_name({timeline, number}, layout::kDefaultSegmentSize));
    }
    // What is there now. Each lives as long as this: plans point into them.
    const Inventory& inventory(Instant now = Instant::from_seconds(4'000'000'000)) {
        repository::Repository repository(store_, settings::Settings());
        auto taken = take_inventory(repository, now, context_);
        EXPECT_TRUE(taken.ok()) << taken.status().to_string();
        inventories_.push_back(taken.ok() ? std::move(taken).value() : Inventory());
        return inventories_.back();
    }
    std::vector<std::string> keys() {
        std::vector<std::string> found;
        for (const store::ObjectInfo& object : store::list_all(*store_, "", context_).value())
            found.push_back(object.key);
        return found;
    }

    store::ObjectStore& store() { return *store_; }
    const store::CallContext& context() const { return context_; }
    std::string path(const std::string& key) const { return directory_ + "/" + key; }

private:
    std::string directory_;
    std::shared_ptr<store::ObjectStore> store_;
    store::CallContext context_;
    std::deque<Inventory> inventories_;
};

inline std::vector<std::string> backups_of(const DeletePlan& plan) {
    std::vector<std::string> names;
    for (const BackupRemoval& backup : plan.backups) names.push_back(backup.name);
    return names;
}

inline std::vector<std::string> wal_of(const DeletePlan& plan) {
    std::vector<std::string> names;
    for (const StoredObject* object : plan.wal) names.push_back(object->key);
    return names;
}

}  // namespace forge::retention
