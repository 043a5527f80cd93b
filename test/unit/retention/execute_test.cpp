#include "core/retention/execute.h"

#include "core/store/forwarding_store.h"
#include "test/unit/retention/inventories.h"

namespace forge::retention {
namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::Not;

// Removes through the real store; after `allowed` removals, or for keys `denied` accepts, it fails.
class FailingStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    std::size_t allowed = SIZE_MAX;
    std::function<bool(const std::string&)> denied = [](const std::string&) { return false; };
    int calls = 0;

    Status remove(const std::vector<std::string>& keys, const store::CallContext& context) override {
        ++calls;
        for (const std::string& key : keys) {
            if (denied(key)) return Status(Kind::kDenied, "could not remove \"" + key + "\": it is locked");
            if (allowed == 0) return Status(Kind::kUnavailable, "the store is gone");
            --allowed;
            FORGE_TRY(next().remove({key}, context));
        }
        return {};
    }
};

const std::string kF3 = full_name(1, 3), kF9 = full_name(1, 9);
const std::string kD5 = delta_name(1, 5, 3), kD7 = delta_name(1, 7, 5);

void fill(TestStore& store) {
    store.add_backup(kF3);
    store.add_backup(kD5, kF3);
    store.add_backup(kD7, kD5);
    store.add_backup(kF9);
    store.add_wal(1, 3, 12);
}

// What a reader of the store relies on.
void expect_whole(TestStore& store, const std::string& when) {
    const auto keys = store.keys();
    const Inventory inventory = store.inventory();
    for (const repository::BackupEntry& backup : inventory.backups) {
        EXPECT_TRUE(is_restorable(inventory, backup)) << when << ": " << backup.name;
        ASSERT_TRUE(inventory.folders.contains(backup.name)) << when << ": " << backup.name;
        EXPECT_EQ(inventory.folders.at(backup.name).objects.size(), 6U) << when << ": " << backup.name;
        EXPECT_THAT(keys, Contains("wal_005/" + backup.start_segment)) << when;
    }
    EXPECT_NE(inventory.find(kF9), nullptr) << when;
}

TEST(Execute, C12InterruptedAnywhereEverythingListedIsWholeAndRunningAgainFinishes) {
    std::vector<std::string> expected;
    for (std::size_t allowed = 0;; ++allowed) {
        TestStore store;
        fill(store);
        FailingStore failing(store.store());
        failing.allowed = allowed;
        const Inventory inventory = store.inventory();
        const DeletePlan plan = plan_before(inventory, {kF9, Modifier::kNone, false}).value();
        DeleteResult result;
        const Status first = execute(failing, inventory, plan, result, store.context());
        const std::string when = "after " + std::to_string(allowed) + " removals";
        expect_whole(store, when);
        if (first.ok()) {
            EXPECT_EQ(allowed, plan.object_count());
            break;
        }
        EXPECT_TRUE(first.is(Kind::kUnavailable)) << when;
        // A day later, as the folders of an interruption between sentinel and parts wait for it.
        const Inventory again = store.inventory();
        const DeletePlan rest = plan_before(again, {kF9, Modifier::kNone, false}).value();
        DeleteResult second;
        ASSERT_TRUE(execute(store.store(), again, rest, second, store.context()).ok());
        if (expected.empty()) expected = store.keys();
        EXPECT_EQ(store.keys(), expected) << when;
    }
    EXPECT_EQ(expected.size(), 7 + 4U) << "the target and its WAL";
}

TEST(Execute, S21WhatIsLockedIsSkippedAndTheRestGoes) {
    TestStore store;
    fill(store);
    FailingStore failing(store.store());
    failing.denied = [](const std::string& key) { return key.ends_with(kD7 + "/tar_partitions/part_002.tar.zst"); };
    const Inventory inventory = store.inventory();
    const DeletePlan plan = plan_before(inventory, {kF9, Modifier::kNone, false}).value();
    DeleteResult result;
    ASSERT_TRUE(execute(failing, inventory, plan, result, store.context()).ok());
    EXPECT_EQ(result.refused, 1U);
    ASSERT_EQ(result.refusals.size(), 1U);
    EXPECT_THAT(result.refusals[0].key, testing::HasSubstr("part_002"));
    EXPECT_EQ(result.objects, plan.object_count() - 1);
    EXPECT_EQ(store.keys().size(), 7 + 4 + 1U);
}

TEST(Execute, S21ALockedSentinelKeepsItsBackupItsChainAndItsWal) {
    TestStore store;
    fill(store);
    FailingStore failing(store.store());
    failing.denied = [](const std::string& key) { return key == layout::sentinel_key(kD5); };
    const Inventory inventory = store.inventory();
    const DeletePlan plan = plan_before(inventory, {kF9, Modifier::kNone, false}).value();
    DeleteResult result;
    ASSERT_TRUE(execute(failing, inventory, plan, result, store.context()).ok());
    EXPECT_EQ(result.backups.size(), 1U);
    EXPECT_EQ(result.refused, 1U);
    EXPECT_GT(result.skipped, 0U);
    expect_whole(store, "with a locked sentinel");
    const Inventory after = store.inventory();
    EXPECT_NE(after.find(kD5), nullptr);
    EXPECT_NE(after.find(kF3), nullptr);
    EXPECT_EQ(after.find(kD7), nullptr);
    EXPECT_THAT(store.keys(), Not(Contains("wal_005/000000010000000000000004")));
}

TEST(Execute, S21WhereEverythingIsRefusedItDoesNotGoOnForever) {
    TestStore store;
    fill(store);
    store.add_wal(1, 20, 600);
    FailingStore failing(store.store());
    failing.denied = [](const std::string&) { return true; };
    const Inventory inventory = store.inventory();
    const DeletePlan plan = plan_everything(inventory, false).value();
    const auto before = store.keys();
    DeleteResult result;
    ASSERT_TRUE(execute(failing, inventory, plan, result, store.context()).ok());
    EXPECT_LE(failing.calls, static_cast<int>(kHopeless) + 10);
    EXPECT_EQ(result.refused + result.skipped, plan.object_count());
    EXPECT_LE(result.refusals.size(), kMostRefusals);
    EXPECT_EQ(store.keys(), before);
}

TEST(Execute, RemovesAllOfEverything) {
    TestStore store;
    fill(store);
    store.put("elsewhere/object");
    const Inventory inventory = store.inventory();
    const DeletePlan plan = plan_everything(inventory, false).value();
    DeleteResult result;
    ASSERT_TRUE(execute(store.store(), inventory, plan, result, store.context()).ok());
    EXPECT_THAT(store.keys(), testing::ElementsAre("elsewhere/object"));
    EXPECT_EQ(result.objects, plan.object_count());
    const Inventory after = store.inventory();
    EXPECT_TRUE(plan_everything(after, false)->empty());
}

}  // namespace
}  // namespace forge::retention
