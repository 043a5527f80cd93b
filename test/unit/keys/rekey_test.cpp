// Rekey and the search for old keys, over the golden bucket of WAL-G and over stores that change under them.
#include "core/keys/rekey.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/crypto/key_use.h"
#include "core/crypto/secretstream.h"
#include "core/keys/objects.h"
#include "core/keys/search.h"
#include "core/repository/restore_points.h"
#include "core/store/forwarding_store.h"
#include "core/store/local_store.h"
#include "test/unit/store/support.h"

namespace forge::keys {
namespace {

using store::expect_ok;
using store::must;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

namespace fs = std::filesystem;

constexpr std::string_view kHex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

crypto::Key golden_key() { return must(crypto::Key::parse(kHex, crypto::KeyTransform::kHex, "golden")); }
crypto::Key other_key(char fill) {
    return must(crypto::Key::parse(std::string(32, fill), crypto::KeyTransform::kNone, "other"));
}

std::string text_of_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

// A store that lets a test do something just before an object becomes visible.
class MeddlingStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;
    Result<std::unique_ptr<Sink>> replace(const store::ObjectInfo& expected,
                                          const store::CallContext& context) override {
        FORGE_ASSIGN(auto sink, next().replace(expected, context));
        if (before) before(expected);
        return sink;
    }
    std::function<void(const store::ObjectInfo&)> before;
};

class RekeyTest : public ::testing::Test {
protected:
    void SetUp() override {
        fs::copy(FORGE_TEST_DATA "/walg/main/store", root(), fs::copy_options::recursive);
        fs::permissions(root(), fs::perms::owner_all, fs::perm_options::add);
        store_ = std::make_shared<MeddlingStore>(
            std::shared_ptr<store::ObjectStore>(must(store::open_local_store(root()))));
    }
    std::string root() const { return directory_.path() + "/store"; }

    repository::Repository with(std::vector<crypto::Key> keys) {
        settings::Settings settings;
        settings.keys = crypto::KeyRing(std::move(keys));
        return repository::Repository(store_, settings);
    }
    // Key of an object -> its plain content, decompressed.
    std::map<std::string, std::string> contents(const crypto::Key& key) {
        auto repository = with({key});
        std::map<std::string, std::string> found;
        for (const store::ObjectInfo& object : must(store::list_all(*store_, "", {}))) {
            const auto method = method_of_encrypted(object.key);
            if (!method) continue;
            const auto source = must(repository.open_object(object.key, *method, {}));
            found[object.key] = must(read_all_text(*source, 256 << 20));
        }
        return found;
    }
    RekeyReport run(std::vector<crypto::Key> keys, bool confirm, Status expected = {}) {
        auto repository = with(std::move(keys));
        RekeyReport report;
        RekeyProgress progress;
        RekeyOptions options;
        options.confirm = confirm;
        const Status status = rekey(repository, options, report, progress, {});
        EXPECT_EQ(status.kind(), expected.kind()) << status.to_string();
        if (status.ok()) {
            EXPECT_EQ(progress.bytes_done, progress.bytes_total);
        }
        return report;
    }
    std::map<std::string, std::string> files() const {
        std::map<std::string, std::string> found;
        for (const auto& entry : fs::recursive_directory_iterator(root()))
            if (entry.is_regular_file()) found[fs::relative(entry.path(), root())] = text_of_file(entry.path());
        return found;
    }

    store::TemporaryDirectory directory_;
    std::shared_ptr<MeddlingStore> store_;
    const crypto::Key old_ = golden_key();
    const crypto::Key new_ = other_key('n');
};

TEST_F(RekeyTest, WithoutConfirmationItOnlyTells) {
    const auto before = files();
    const RekeyReport report = run({new_, old_}, false);
    EXPECT_EQ(files(), before);
    EXPECT_EQ(report.by_key.at(old_.fingerprint()).objects, report.left.at(old_.fingerprint()).objects);
    EXPECT_GT(report.by_key.at(old_.fingerprint()).objects, 20U);
    EXPECT_EQ(report.rewritten.objects, 0U);
    EXPECT_EQ(report.failed, 0U);
}

TEST_F(RekeyTest, ReplacesEveryObjectByTheSameContentOfTheSameSize) {  // R10
    const std::string segment = "000000010000000000000008";
    auto writer = with({old_});
    expect_ok(repository::store_restore_points(writer, {segment, {{segment, "f\xC3\xBCr", 0x800F908, {}}}, 0}, {}));
    const auto plain = contents(old_);
    const auto before = files();
    const RekeyReport report = run({new_, old_}, true);
    EXPECT_EQ(report.rewritten.objects, plain.size());
    EXPECT_THAT(report.left, IsEmpty());
    EXPECT_TRUE(plain.contains(layout::restore_points_key(segment)));
    EXPECT_EQ(contents(new_), plain);
    auto after = files();
    EXPECT_EQ(after.erase(std::string(kRekeyRecord)), 1U);
    ASSERT_EQ(after.size(), before.size());
    for (const auto& [key, bytes] : before) {
        EXPECT_EQ(after.at(key).size(), bytes.size()) << key;
        EXPECT_EQ(after.at(key) != bytes, plain.contains(key)) << key;  // JSON stays, all else is another ciphertext
    }
    // Again: nothing to do.
    const RekeyReport again = run({new_, old_}, true);
    EXPECT_EQ(again.rewritten.objects, 0U);
    EXPECT_EQ(again.by_key.at(new_.fingerprint()).objects, plain.size());
}

TEST_F(RekeyTest, LeavesWhatIsNotEncryptedOrOpenedByNoKey) {
    const std::string variants = FORGE_TEST_DATA "/walg/variants";
    const std::string plain_wal = text_of_file(variants + "/plain-zstd/wal_005/00000002.history.zst");
    expect_ok(store_->put("wal_005/00000003.history.zst", as_bytes(plain_wal), {}));
    const std::string plain_brotli = text_of_file(variants + "/plain-brotli/wal_005/00000002.history.br");
    expect_ok(store_->put("wal_005/00000004.history.br", as_bytes(plain_brotli), {}));
    const std::string foreign = text_of_file(root() + "/wal_005/000000010000000000000006.br").substr(0, 100) + "x";
    expect_ok(store_->put("wal_005/000000030000000000000001.br", as_bytes(foreign), {}));
    expect_ok(store_->put("wal_005/something.json", as_bytes("{}"), {}));
    const RekeyReport report = run({new_, old_}, true);
    EXPECT_EQ(report.plain.objects, 2U);
    EXPECT_EQ(report.unopened.objects, 1U);
    EXPECT_EQ(report.failed, 1U);
    ASSERT_THAT(report.problems, SizeIs(1));
    EXPECT_EQ(report.problems[0].object, "wal_005/000000030000000000000001.br");
    EXPECT_EQ(text_of_file(root() + "/wal_005/00000003.history.zst"), plain_wal);
    EXPECT_EQ(text_of_file(root() + "/wal_005/00000004.history.br"), plain_brotli);
    EXPECT_EQ(text_of_file(root() + "/wal_005/000000030000000000000001.br"), foreign);
}

TEST_F(RekeyTest, LeavesBackupsThatMayBeInTheMaking) {
    fs::remove(root() + "/basebackups_005/base_000000010000000000000003_backup_stop_sentinel.json");
    const RekeyReport report = run({new_, old_}, true);
    EXPECT_EQ(report.unfinished.objects, 8U);
    EXPECT_EQ(report.left.at(old_.fingerprint()).objects, 8U);
}

TEST_F(RekeyTest, ADamagedObjectIsNamedAndTheOthersAreDone) {  // S14
    const std::string key = "basebackups_005/base_000000010000000000000003/tar_partitions/part_002.tar.br";
    std::string bytes = text_of_file(root() + "/" + key);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    expect_ok(store_->put(key, as_bytes(bytes), {}));
    const RekeyReport report = run({new_, old_}, true);
    ASSERT_THAT(report.problems, SizeIs(1));
    EXPECT_EQ(report.problems[0].object, key);
    EXPECT_THAT(report.problems[0].status.message(), HasSubstr("damaged"));
    EXPECT_EQ(text_of_file(root() + "/" + key), bytes);
    EXPECT_EQ(report.left.at(old_.fingerprint()).objects, 1U);
}

TEST_F(RekeyTest, AnObjectThatChangesMeanwhileIsNotOverwritten) {  // H1
    const std::string key = "wal_005/00000002.history.br";
    store_->before = [&](const store::ObjectInfo& object) {
        if (object.key == key) expect_ok(store_->put(key, as_bytes("somebody else's"), {}));
    };
    const RekeyReport report = run({new_, old_}, true);
    EXPECT_EQ(text_of_file(root() + "/" + key), "somebody else's");
    ASSERT_THAT(report.problems, SizeIs(1));
    EXPECT_THAT(report.problems[0].status.message(), HasSubstr("was replaced meanwhile"));
}

TEST_F(RekeyTest, AnObjectThatIsDeletedMeanwhileStaysAway) {
    const std::string key = "wal_005/00000002.history.br";
    store_->before = [&](const store::ObjectInfo& object) {
        if (object.key == key) expect_ok(store_->remove({key}, {}));
    };
    const RekeyReport report = run({new_, old_}, true);
    EXPECT_FALSE(fs::exists(root() + "/" + key));
    EXPECT_EQ(report.failed, 0U);
    EXPECT_THAT(report.left, IsEmpty());
}

TEST_F(RekeyTest, WithoutAKeyThereIsNothingToEncryptWith) { run({}, false, Status(Kind::kInvalid, "")); }

TEST_F(RekeyTest, AnObjectOfSeveralMegabytesGoesThrough) {
    const std::string text = store::random_text(5 << 20);
    auto repository = with({old_});
    const std::string key = "wal_005/000000020000000000000010";
    const auto sink = must(repository.create(key, codec::Method::kNone, {}));
    expect_ok(sink->write(as_bytes(text)));
    expect_ok(sink->finish());
    run({new_, old_}, true);
    auto renewed = with({new_});
    EXPECT_EQ(must(read_all_text(*must(renewed.open_object(key, codec::Method::kNone, {})), 16 << 20)), text);
}

TEST_F(RekeyTest, SearchFindsWhatAnOldKeyIsNeededFor) {
    auto repository = with({new_, old_});
    const auto first = must(find_old_keys(repository, {}, {}, {}));
    ASSERT_THAT(first.keys, SizeIs(1));
    EXPECT_EQ(first.keys[0].need, OldKey::Need::kYes);
    EXPECT_LE(first.objects, 2U);
    const auto second = must(find_old_keys(repository, first.keys, {}, {}));
    EXPECT_EQ(second.keys[0].object, first.keys[0].object);
    EXPECT_EQ(second.objects, 1U);
    // What needed it is gone: another one is found.
    expect_ok(store_->remove({first.keys[0].object}, {}));
    const auto third = must(find_old_keys(repository, second.keys, {}, {}));
    EXPECT_EQ(third.keys[0].need, OldKey::Need::kYes);
    EXPECT_NE(third.keys[0].object, first.keys[0].object);
    run({new_, old_}, true);
    SearchOptions few;
    few.most_objects = 3;
    EXPECT_EQ(must(find_old_keys(repository, third.keys, few, {})).keys[0].need, OldKey::Need::kUnknown);
    const auto last = must(find_old_keys(repository, third.keys, {}, {}));
    EXPECT_EQ(last.keys[0].need, OldKey::Need::kNo);
    EXPECT_GT(last.objects, 20U);
    auto alone = with({new_});
    EXPECT_THAT(must(find_old_keys(alone, {}, {}, {})).keys, IsEmpty());
}

TEST_F(RekeyTest, WhichKeyOpensWhatIsCounted) {
    const auto uses = [](const crypto::Key& key) { return crypto::key_use()[key.fingerprint()].objects; };
    const std::uint64_t before = uses(old_);
    const std::uint64_t others = uses(new_);
    auto repository = with({new_, old_});
    const auto source = must(repository.open_wal("00000002.history", {}));
    must(read_all_text(*source, 1 << 20));
    EXPECT_EQ(uses(old_), before + 1);
    EXPECT_EQ(uses(new_), others);
}

TEST(EncryptedObjects, AreToldByTheirNames) {
    const auto method = [](std::string_view key) { return method_of_encrypted(key); };
    const std::string backup = "basebackups_005/base_000000010000000000000003";
    EXPECT_EQ(method("wal_005/000000010000000000000002.br"), codec::Method::kBrotli);
    EXPECT_EQ(method("wal_005/000000010000000000000010_delta.lz4"), codec::Method::kLz4);
    EXPECT_EQ(method("wal_005/000000010000000000000002"), codec::Method::kNone);
    EXPECT_EQ(method("wal_005/000000010000000000000002.json"), std::nullopt);
    EXPECT_EQ(method(backup + "/tar_partitions/part_001.tar.zst"), codec::Method::kZstd);
    EXPECT_EQ(method(backup + "/forge_manifest.json.zst"), codec::Method::kZstd);
    EXPECT_EQ(method(backup + "/forge_manifest.json"), codec::Method::kNone);
    EXPECT_EQ(method(backup + "/metadata.json"), std::nullopt);
    EXPECT_EQ(method(backup + "/files_metadata.json"), std::nullopt);
    EXPECT_EQ(method(backup + "_backup_stop_sentinel.json"), std::nullopt);
    EXPECT_EQ(method("forge_owner.json"), std::nullopt);
}

}  // namespace
}  // namespace forge::keys
