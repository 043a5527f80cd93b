#include "core/wal/fetcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include "core/wal/uploader.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FetcherTest : public ::testing::Test {
protected:
    FetcherTest() : repository_(repository_in(bucket_.path())) {
        options_.destination = target_.path("RECOVERYXLOG");
        options_.spool_directory = spool_.path();
        options_.prefetch = 3;
    }
    static std::string name_of(std::uint64_t number) { return layout::segment_name({1, number}, kMegabyte); }
    static std::string content_of(std::uint64_t number) {
        return std::string(as_text(make_segment(name_of(number), kMegabyte, static_cast<std::uint32_t>(number))));
    }
    // Any content under any name, packed as an object.
    void store(const std::string& name, std::string_view content) {
        auto sink = repository_->create(layout::wal_key(name, codec::Method::kLz4), codec::Method::kLz4, {});
        ASSERT_TRUE(sink.ok());
        ASSERT_TRUE((*sink)->write(as_bytes(content)).ok());
        ASSERT_TRUE((*sink)->finish().ok());
    }
    void store_segment(std::uint64_t number) { store(name_of(number), content_of(number)); }
    Status fetch(const std::string& name) { return fetch_wal(*repository_, name, options_, {}); }
    Status prefetch(const std::string& name) { return prefetch_wal(*repository_, name, options_, {}); }
    std::vector<std::string> files_in(const TemporaryDirectory& directory) const {
        return list_directory(directory.path()).value();
    }
    std::vector<std::string> spooled() const {
        std::vector<std::string> names = files_in(spool_);
        std::erase(names, "lock");
        return names;
    }

    TemporaryDirectory bucket_, target_, spool_;
    std::shared_ptr<repository::Repository> repository_;
    FetchOptions options_;
};

TEST_F(FetcherTest, BringsBackWhatWasArchived) {
    store_segment(5);
    const Status status = fetch(name_of(5));
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(read_text(options_.destination), content_of(5));
    EXPECT_THAT(files_in(target_), ElementsAre("RECOVERYXLOG"));
}

TEST_F(FetcherTest, R8_BringsBackWhatThePeerArchived) {
    const auto golden = repository_in(FORGE_TEST_DATA "/walg/main/store", golden_settings());
    ASSERT_TRUE(fetch_wal(*golden, "000000020000000000000009", options_, {}).ok());
    EXPECT_EQ(std::filesystem::file_size(options_.destination), layout::kDefaultSegmentSize);
    ASSERT_TRUE(fetch_wal(*golden, "00000002.history", options_, {}).ok()) << "replaces the file that is there";
    EXPECT_EQ(read_text(options_.destination), "1\t0/9000E98\tno recovery target specified\n");
    const auto small = repository_in(FORGE_TEST_DATA "/walg/variants/plain-lzma", [] {
        settings::Settings settings;
        settings.compression = codec::Method::kZstd;
        return settings;
    }());
    ASSERT_TRUE(fetch_wal(*small, "00000001000000000000000B", options_, {}).ok());
    EXPECT_EQ(std::filesystem::file_size(options_.destination), kMegabyte);
}

TEST_F(FetcherTest, MissingIsSaidOnlyWhenTheStoreSaysSo) {
    EXPECT_TRUE(fetch(name_of(5)).is(Kind::kNotFound));
    EXPECT_TRUE(fetch("00000002.history").is(Kind::kNotFound));
    EXPECT_THAT(files_in(target_), IsEmpty());
    EXPECT_TRUE(fetch("RECOVERYXLOG").is(Kind::kInvalid));
}

TEST_F(FetcherTest, R4_S14_S15_RefusesDamagedObjectsAndLeavesNothingBehind) {
    store_segment(5);
    const std::string object = bucket_.path(layout::wal_key(name_of(5), codec::Method::kLz4));
    const std::string good = read_text(object);
    std::string flipped = good;
    flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 1);
    write_text(options_.destination, "what was there");
    for (const std::string& bad : {flipped, good.substr(0, 24 + 8209), good.substr(0, 24), std::string(), good + "x"}) {
        write_text(object, bad);
        const Status status = fetch(name_of(5));
        EXPECT_TRUE(status.is(Kind::kCorrupt)) << bad.size() << " bytes: " << status.to_string();
        EXPECT_THAT(status.message(), HasSubstr(name_of(5)));
        EXPECT_EQ(read_text(options_.destination), "what was there");
    }
    EXPECT_THAT(files_in(target_), ElementsAre("RECOVERYXLOG"));
}

TEST_F(FetcherTest, S16_RefusesObjectsUnderTheWrongName) {
    store(name_of(5), content_of(6));                            // swapped
    store(name_of(7), content_of(7).substr(0, kMegabyte / 2));   // short, though a whole object
    store(name_of(8), content_of(8) + std::string(8192, '\0'));  // long
    store(name_of(9), std::string(kMegabyte, '\0'));
    store(name_of(10), "");
    for (const std::uint64_t number : {5, 7, 8, 9, 10}) {
        const Status status = fetch(name_of(number));
        EXPECT_TRUE(status.is(Kind::kCorrupt)) << number << ": " << status.to_string();
        EXPECT_THAT(status.message(), HasSubstr(name_of(number)));
    }
    EXPECT_THAT(files_in(target_), IsEmpty());
}

TEST_F(FetcherTest, P8_RefusesAnotherSegmentSizeThanTheServers) {
    store_segment(5);
    options_.segment_size = layout::kDefaultSegmentSize;
    EXPECT_TRUE(fetch(name_of(5)).is(Kind::kCorrupt));
    options_.segment_size = kMegabyte;
    EXPECT_TRUE(fetch(name_of(5)).ok());
}

TEST_F(FetcherTest, FetchesAheadUntilOneIsMissing) {
    for (const std::uint64_t number : {1, 2, 3, 5}) store_segment(number);
    const Status status = prefetch(name_of(1));
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_TRUE(path_exists(spool_.path(name_of(2))));
    EXPECT_TRUE(path_exists(spool_.path(name_of(3))));
    EXPECT_EQ(read_text(spool_.path(name_of(2))), content_of(2));
    // What waits in the spool is used, whatever became of the store.
    std::filesystem::remove_all(bucket_.path("wal_005"));
    ASSERT_TRUE(fetch(name_of(2)).ok());
    EXPECT_EQ(read_text(options_.destination), content_of(2));
    EXPECT_FALSE(path_exists(spool_.path(name_of(2))));
}

TEST_F(FetcherTest, TheSpoolIsBoundedAndFollowsRecovery) {
    for (std::uint64_t number = 1; number < 20; ++number) store_segment(number);
    ASSERT_TRUE(prefetch(name_of(1)).ok());
    EXPECT_THAT(spooled(), ElementsAre(name_of(2), name_of(3), name_of(4)));
    write_text(spool_.path(name_of(19)), "left by somebody");
    write_text(spool_.path(name_of(6) + ".part"), "left by a process that was killed");
    write_text(spool_.path("note"), "not ours");
    ASSERT_TRUE(prefetch(name_of(3)).ok());
    EXPECT_THAT(spooled(), ElementsAre(name_of(4), name_of(5), name_of(6), "note"));
}

TEST_F(FetcherTest, WhatIsWrongInTheSpoolIsFetchedAgain) {
    store_segment(5);
    for (const std::string& wrong :
         {std::string("short"), std::string(kMegabyte, '\0'), content_of(6), content_of(5).substr(0, kMegabyte - 1)}) {
        write_text(spool_.path(name_of(5)), wrong);
        ASSERT_TRUE(fetch(name_of(5)).ok());
        EXPECT_EQ(read_text(options_.destination), content_of(5));
        EXPECT_FALSE(path_exists(spool_.path(name_of(5))));
    }
}

TEST_F(FetcherTest, PrefetchFailuresLeaveNothingBehind) {
    store_segment(1);
    store(name_of(2), content_of(3));
    EXPECT_TRUE(prefetch(name_of(1)).is(Kind::kCorrupt));
    EXPECT_THAT(spooled(), IsEmpty());
}

TEST_F(FetcherTest, OneProcessAtATimeFetchesAhead) {
    for (const std::uint64_t number : {1, 2}) store_segment(number);
    {
        const Fd lock = open_file(spool_.path("lock"), O_RDWR | O_CREAT).value();
        ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
        EXPECT_TRUE(prefetch(name_of(1)).is(Kind::kAlreadyExists));
    }
    EXPECT_TRUE(prefetch(name_of(1)).ok());
}

TEST_F(FetcherTest, NothingIsFetchedAheadOfOtherFiles) {
    store_segment(1);
    EXPECT_TRUE(prefetch("00000002.history").ok());
    options_.prefetch = 0;
    EXPECT_TRUE(prefetch(name_of(0)).ok());
    EXPECT_THAT(spooled(), IsEmpty());
}

TEST_F(FetcherTest, D7_RefusesADestinationThatCannotBeWritten) {
    store_segment(5);
    options_.destination = target_.path("missing/RECOVERYXLOG");
    const Status status = fetch(name_of(5));
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(status.is(Kind::kNotFound)) << "or recovery would end here";
}

}  // namespace
}  // namespace forge::wal
