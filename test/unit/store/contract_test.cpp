// What every store promises (core/store/object_store.h), over a directory and, when FORGE_TEST_S3_ENDPOINT,
// FORGE_TEST_S3_ACCESS_KEY, FORGE_TEST_S3_SECRET_KEY and FORGE_TEST_S3_BUCKET are set, over a real S3 server
// (test/stores/run-conformance starts one).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "core/store/local_store.h"
#include "core/store/s3/s3_store.h"
#include "test/unit/store/support.h"

namespace forge::store {

namespace {

using testing::ElementsAre;

enum class Backend { kDirectory, kS3 };

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

S3Options s3_options(const std::string& prefix) {
    S3Options options;
    options.bucket = variable("FORGE_TEST_S3_BUCKET");
    options.prefix = prefix;
    options.endpoint = variable("FORGE_TEST_S3_ENDPOINT");
    options.path_style = true;
    options.part_size = 5 << 20;  // the least that S3 servers accept
    options.credentials = [](const CredentialQuestion&) {
        return S3Credentials{variable("FORGE_TEST_S3_ACCESS_KEY"), variable("FORGE_TEST_S3_SECRET_KEY"), ""};
    };
    return options;
}

class Contract : public testing::TestWithParam<Backend> {
protected:
    void SetUp() override {
        if (GetParam() == Backend::kDirectory) {
            store_ = must(open_local_store(directory_.path()));
            return;
        }
        if (variable("FORGE_TEST_S3_ENDPOINT").empty()) GTEST_SKIP() << "FORGE_TEST_S3_ENDPOINT is not set";
        store_ = must(open_s3_store(s3_options("contract" + directory_.path()), logger_));
    }
    void TearDown() override {
        if (!store_ || GetParam() == Backend::kDirectory) return;
        std::vector<std::string> keys;
        for (const ObjectInfo& object : must(list_all(*store_, "", context()))) keys.push_back(object.key);
        expect_ok(store_->remove(keys, context()));
    }

    static CallContext context() { return {.deadline = Deadline::after(milliseconds(60000))}; }
    void put(const std::string& key, const std::string& text) {
        expect_ok(store_->put(key, as_bytes(text), context()));
    }
    std::string get(const std::string& key, std::optional<ByteRange> range = std::nullopt) {
        const auto source = must(store_->get(key, range, context()));
        return must(read_all_text(*source, 256 << 20));
    }
    std::vector<std::string> keys(const std::string& prefix) {
        std::vector<std::string> result;
        for (const ObjectInfo& object : must(list_all(*store_, prefix, context()))) result.push_back(object.key);
        return result;
    }

    TemporaryDirectory directory_;
    NullLogger logger_;
    std::unique_ptr<ObjectStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Stores, Contract, testing::Values(Backend::kDirectory, Backend::kS3),
                         [](const auto& parameter) -> std::string {
                             return parameter.param == Backend::kDirectory ? "Directory" : "S3";
                         });

TEST_P(Contract, ReplacesOnlyTheObjectThatIsExpected) {
    const std::string key = "wal_005/000000010000000000000001.zst";
    const auto replace = [&](const ObjectInfo& expected, const std::string& text) -> Status {
        FORGE_ASSIGN(const auto sink, store_->replace(expected, context()));
        FORGE_TRY(sink->write(as_bytes(text)));
        return sink->finish();
    };
    put(key, "first");
    const ObjectInfo first = must(store_->head(key, context()));
    expect_ok(replace(first, "another"));
    EXPECT_EQ(get(key), "another");
    EXPECT_TRUE(replace(first, "too late").is(Kind::kConflict));
    EXPECT_EQ(get(key), "another");
    // Of several parts.
    const ObjectInfo second = must(store_->head(key, context()));
    const std::string large = random_text(11 << 20);
    expect_ok(replace(second, large));
    EXPECT_EQ(get(key), large);
    EXPECT_TRUE(replace(second, large + "x").is(Kind::kConflict));
    EXPECT_EQ(get(key), large);
    const ObjectInfo third = must(store_->head(key, context()));
    { const auto unfinished = must(store_->replace(third, context())); }
    EXPECT_EQ(get(key), large);
    expect_ok(store_->remove({key}, context()));
    EXPECT_TRUE(replace(third, "gone").is(Kind::kNotFound));
    EXPECT_EQ(keys(""), std::vector<std::string>());
}

TEST_P(Contract, KeepsWhatWasPut) {
    put("wal_005/000000010000000000000001.zst", "content");
    EXPECT_EQ(get("wal_005/000000010000000000000001.zst"), "content");
    put("wal_005/000000010000000000000001.zst", "other");
    EXPECT_EQ(get("wal_005/000000010000000000000001.zst"), "other");
    const ObjectInfo info = must(store_->head("wal_005/000000010000000000000001.zst", context()));
    EXPECT_EQ(info.key, "wal_005/000000010000000000000001.zst");
    EXPECT_EQ(info.size, 5U);
    EXPECT_GT(info.modified.seconds(), 1700000000);
}

TEST_P(Contract, KeepsEmptyObjects) {
    put("empty", "");
    EXPECT_EQ(get("empty"), "");
    EXPECT_EQ(must(store_->head("empty", context())).size, 0U);
    EXPECT_EQ(must(store_->put_if_absent("empty", as_bytes("x"), context())), PutOutcome::kAlreadyThere);
}

TEST_P(Contract, ReadsRanges) {
    put("object", "0123456789");
    EXPECT_EQ(get("object", ByteRange{0, 1}), "0");
    EXPECT_EQ(get("object", ByteRange{3, 4}), "3456");
    EXPECT_EQ(get("object", ByteRange{8, 100}), "89");
    EXPECT_TRUE(store_->get("object", ByteRange{10, 1}, context()).status().is(Kind::kInvalid));
}

TEST_P(Contract, SaysThatAKeyIsMissing) {
    put("a/b", "x");
    for (const char* key : {"a/c", "a", "b", "a/b/c"}) {
        const Status head = store_->head(key, context()).status();
        EXPECT_TRUE(head.is(Kind::kNotFound)) << key << ": " << head.to_string();
        const Status get = store_->get(key, std::nullopt, context()).status();
        EXPECT_TRUE(get.is(Kind::kNotFound)) << key << ": " << get.to_string();
        EXPECT_THAT(get.message(), testing::HasSubstr('"' + std::string(key) + '"'));
        const Status range = store_->get(key, ByteRange{0, 1}, context()).status();
        EXPECT_TRUE(range.is(Kind::kNotFound)) << key << ": " << range.to_string();
    }
}

TEST_P(Contract, RefusesBadKeys) {
    for (const char* key : {"", "/a", "a/", "a//b", "../a", "a/../../b", "a/.", "."}) {
        EXPECT_TRUE(store_->put(key, as_bytes("x"), context()).is(Kind::kInvalid)) << key;
        EXPECT_TRUE(store_->get(key, std::nullopt, context()).status().is(Kind::kInvalid)) << key;
        EXPECT_TRUE(store_->remove({key}, context()).is(Kind::kInvalid)) << key;
    }
}

TEST_P(Contract, PutIfAbsentNeverReplaces) {
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("first"), context())), PutOutcome::kStored);
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("first"), context())), PutOutcome::kAlreadyThere);
    EXPECT_EQ(must(store_->put_if_absent("key", as_bytes("second"), context())), PutOutcome::kAlreadyThere);
    EXPECT_EQ(get("key"), "first");
    EXPECT_THAT(keys(""), ElementsAre("key"));  // nothing is left of finding out how
}

TEST_P(Contract, OnlyOneOfManyWritersIsFirst) {
    if (!store_->features().conditional_put) GTEST_SKIP() << "the store has no conditional writes";
    std::atomic<int> stored{0};
    std::vector<std::thread> writers;
    for (int i = 0; i < 8; ++i) {
        writers.emplace_back([&, i] {
            const std::string text = "writer " + std::to_string(i);
            const auto outcome = store_->put_if_absent("race", as_bytes(text), context());
            if (outcome.ok() && *outcome == PutOutcome::kStored) ++stored;
        });
    }
    for (std::thread& writer : writers) writer.join();
    EXPECT_EQ(stored, 1);
}

TEST_P(Contract, ListsManyKeysInOrder) {  // S18
    std::vector<std::string> expected;
    for (int i = 0; i < 1100; ++i) expected.push_back("many/" + std::to_string(100000 + i));
    for (const char* odd : {"many/with space", "many/a+b", "many/a%2Bb", "many/ü–漢", "many/a&b<c>'\"", "many/x/y",
                            "many/x-y", "many/x.y", "many/~", "many/=?#;:@"}) {
        expected.emplace_back(odd);
    }
    std::sort(expected.begin(), expected.end());
    std::atomic<std::size_t> next{0};
    std::vector<std::thread> writers;
    for (int i = 0; i < 4; ++i) {
        writers.emplace_back([&] {
            for (std::size_t at = next++; at < expected.size(); at = next++) put(expected[at], "x");
        });
    }
    for (std::thread& writer : writers) writer.join();
    put("other", "x");

    EXPECT_EQ(keys("many/"), expected);
    EXPECT_EQ(get("many/a&b<c>'\""), "x");
    std::vector<std::string> tail;
    const auto visit = [&tail](const ObjectInfo& object) {
        tail.push_back(object.key);
        return tail.size() < 3;
    };
    expect_ok(store_->list_after("many/", expected[1097], visit, context()));
    EXPECT_THAT(tail, ElementsAre(expected[1098], expected[1099], expected[1100]));
    expect_ok(store_->remove(expected, context()));
    EXPECT_THAT(keys(""), ElementsAre("other"));
}

TEST_P(Contract, ListsByPrefixNotByFolder) {
    for (const char* key : {"wal_005/0001", "wal_005/0002", "wal_0051", "wal_005/00010/x"}) put(key, "x");
    EXPECT_THAT(keys("wal_005/0001"), ElementsAre("wal_005/0001", "wal_005/00010/x"));
    EXPECT_THAT(keys("wal_005/"), ElementsAre("wal_005/0001", "wal_005/00010/x", "wal_005/0002"));
    EXPECT_THAT(keys("nothing/"), ElementsAre());
}

TEST_P(Contract, ListsOneFolder) {
    for (const char* key : {"b/one", "b/two/x", "b/two/y", "b/three/z", "c"}) put(key, "x");
    const ObjectStore::Folder folder = must(store_->list_folder("b/", context()));
    ASSERT_EQ(folder.objects.size(), 1U);
    EXPECT_EQ(folder.objects[0].key, "b/one");
    EXPECT_THAT(folder.folders, ElementsAre("b/three/", "b/two/"));
    EXPECT_THAT(must(store_->list_folder("", context())).folders, ElementsAre("b/"));
    EXPECT_TRUE(must(store_->list_folder("nothing/", context())).folders.empty());
}

TEST_P(Contract, StreamsLargeObjects) {
    const std::string content = random_text(30'000'000);
    auto sink = must(store_->create("large", context()));
    for (std::size_t at = 0; at < content.size(); at += 1'234'567) {
        expect_ok(sink->write(as_bytes(std::string_view(content).substr(at, 1'234'567))));
    }
    EXPECT_THAT(keys(""), ElementsAre());  // not visible before finish()
    expect_ok(sink->finish());
    EXPECT_EQ(must(store_->head("large", context())).size, content.size());
    EXPECT_TRUE(get("large") == content);
    EXPECT_TRUE(get("large", ByteRange{9'999'999, 12'000'001}) == content.substr(9'999'999, 12'000'001));
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(0), context())), 0);
}

TEST_P(Contract, StreamsSmallObjects) {
    auto empty = must(store_->create("small/empty", context()));
    expect_ok(empty->finish());
    auto one = must(store_->create("small/one", context()));
    expect_ok(one->write(as_bytes("1")));
    expect_ok(one->finish());
    EXPECT_EQ(get("small/empty"), "");
    EXPECT_EQ(get("small/one"), "1");
}

TEST_P(Contract, AbandonedWritersLeaveNothing) {
    for (const std::size_t size : {std::size_t{10}, std::size_t{12} << 20}) {
        auto sink = must(store_->create("abandoned", context()));
        expect_ok(sink->write(as_bytes(random_text(size))));
    }
    EXPECT_THAT(keys(""), ElementsAre());
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(0), context())), 0);
}

TEST_P(Contract, LeftoversOfWritersAreRemovedByAge) {  // S19
    auto sink = must(store_->create("folder/leftover", context()));
    expect_ok(sink->write(as_bytes(random_text(6 << 20))));
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(3600), context())), 0);
    EXPECT_EQ(must(store_->remove_leftovers("elsewhere/", seconds(0), context())), 0);
    ASSERT_TRUE(eventually([this] { return must(store_->remove_leftovers("folder/", seconds(0), context())) == 1; }));
    EXPECT_EQ(must(store_->remove_leftovers("", seconds(0), context())), 0);
}

TEST_P(Contract, RemovingMissingObjectsIsSuccess) {
    put("one", "x");
    expect_ok(store_->remove({"none"}, context()));
    expect_ok(store_->remove({"one", "none", "nothing/else"}, context()));
    expect_ok(store_->remove({}, context()));
    EXPECT_THAT(keys(""), ElementsAre());
}

TEST_P(Contract, CancelledCallsEnd) {
    CancelToken cancel;
    cancel.cancel();
    const CallContext cancelled{.deadline = Deadline::never(), .cancel = &cancel};
    EXPECT_TRUE(store_->put("key", as_bytes("x"), cancelled).is(Kind::kCancelled));
    EXPECT_TRUE(store_->get("key", std::nullopt, cancelled).status().is(Kind::kCancelled));
    EXPECT_TRUE(store_
                    ->list(
                        "", [](const ObjectInfo&) { return true; }, cancelled)
                    .is(Kind::kCancelled));
    const CallContext late{.deadline = Deadline::after(milliseconds(0))};
    EXPECT_TRUE(store_->put("key", as_bytes("x"), late).is(Kind::kTimeout));
    EXPECT_THAT(keys(""), ElementsAre());
}

TEST_P(Contract, ManyThreadsShareOneStore) {
    std::vector<std::thread> workers;
    std::atomic<int> good{0};
    for (int i = 0; i < 6; ++i) {
        workers.emplace_back([&, i] {
            const std::string content = random_text(400'000 + static_cast<std::size_t>(i));
            const std::string key = "thread/" + std::to_string(i);
            put(key, content);
            if (get(key) == content) ++good;
        });
    }
    for (std::thread& worker : workers) worker.join();
    EXPECT_EQ(good, 6);
}

class RealS3 : public testing::Test {
protected:
    void SetUp() override {
        if (variable("FORGE_TEST_S3_ENDPOINT").empty()) GTEST_SKIP() << "FORGE_TEST_S3_ENDPOINT is not set";
    }
    CallContext context_{.deadline = Deadline::after(milliseconds(60000))};
    NullLogger logger_;
};

TEST_F(RealS3, MissingBucketIsNotAMissingKey) {  // S5
    S3Options options = s3_options("prefix");
    options.bucket = "forge-no-such-bucket";
    const auto store = must(open_s3_store(options, logger_));
    for (const Status& status :
         {store->get("key", std::nullopt, context_).status(), store->head("key", context_).status(),
          store->put("key", as_bytes("x"), context_), list_all(*store, "", context_).status()}) {
        EXPECT_TRUE(status.is(Kind::kInvalid)) << status.to_string();
        EXPECT_THAT(status.message(), testing::HasSubstr("bucket \"forge-no-such-bucket\" does not exist"));
        EXPECT_EQ(status.store_code(), "NoSuchBucket");
    }
}

TEST_F(RealS3, WrongKeysAreDenied) {  // S2
    S3Options options = s3_options("prefix");
    const S3Credentials good = must(options.credentials({}));
    for (const S3Credentials& wrong : {S3Credentials{good.access_key_id, "not the secret", ""},
                                       S3Credentials{"nobody:nobody", good.secret_access_key, ""}}) {
        options.credentials = [wrong](const CredentialQuestion&) { return wrong; };
        const auto store = must(open_s3_store(options, logger_));
        for (const Status& status :
             {store->get("key", std::nullopt, context_).status(), store->head("key", context_).status(),
              store->put("key", as_bytes("x"), context_), list_all(*store, "", context_).status()}) {
            EXPECT_TRUE(status.is(Kind::kDenied)) << status.to_string();
            EXPECT_THAT(status.hint(), testing::HasSubstr("AWS_SECRET_ACCESS_KEY"));
            EXPECT_THAT(status.to_string(), testing::Not(testing::HasSubstr(good.secret_access_key + "\"")));
        }
    }
}

}  // namespace

}  // namespace forge::store
