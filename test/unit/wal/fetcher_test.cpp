#include "core/wal/fetcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>

#include <atomic>
#include <thread>

#include "core/wal/prefetcher.h"
#include "core/wal/spool.h"
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
        prefetch_options_.spool_directory = spool_.path();
        prefetch_options_.ahead = 3;
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
    // As wal-fetch does it.
    Status fetch(const std::string& name) {
        if (take_fetched_ahead(name, options_, {}).ok()) return {};
        return fetch_wal(*repository_, name, options_, {});
    }
    void note(const std::string& name) { ASSERT_TRUE(Spool(spool_.path()).note({name, kMegabyte}).ok()); }
    Status prefetch(const std::string& name) {
        note(name);
        return prefetch_wal(*repository_, prefetch_options_, {});
    }
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
    PrefetchOptions prefetch_options_;
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
    options_.system_identifier = kSystemIdentifier;
    const std::string foreign(as_text(make_segment(name_of(5), kMegabyte, 5, kSystemIdentifier + 1)));
    for (const std::string& wrong : {foreign, std::string("short"), std::string(kMegabyte, '\0'), content_of(6),
                                     content_of(5).substr(0, kMegabyte - 1)}) {
        write_text(spool_.path(name_of(5)), wrong);
        ASSERT_TRUE(fetch(name_of(5)).ok());
        EXPECT_EQ(read_text(options_.destination), content_of(5));
        EXPECT_FALSE(path_exists(spool_.path(name_of(5))));
    }
}

TEST_F(FetcherTest, WaitsForASegmentThatDripsUntilTheDeadline) {
    store_segment(5);
    const Fd lock = open_file(spool_.path("lock"), O_RDWR | O_CREAT).value();
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    const std::string part = Spool(spool_.path()).part_path(name_of(5));
    write_text(part, "x");
    CancelToken enough;
    std::atomic<bool> drips{true};
    std::thread dripper([&] {
        for (int i = 0; i < 5000 && !enough.wait_for(milliseconds(1)); ++i) write_text(part, std::string(i + 2, 'x'));
        drips = false;
    });
    store::CallContext context;
    context.deadline = Deadline::after(milliseconds(100));
    EXPECT_TRUE(take_fetched_ahead(name_of(5), options_, context).is(Kind::kNotFound));
    EXPECT_TRUE(drips);
    enough.cancel();
    dripper.join();
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

TEST_F(FetcherTest, NothingIsFetchedAheadWithoutAPosition) {
    store_segment(1);
    EXPECT_TRUE(prefetch_wal(*repository_, prefetch_options_, {}).ok());
    for (const char* const nonsense :
         {"00000002.history 1048576\n", "000000010000000000000000\n", "000000010000000000000000 5\n"}) {
        write_text(spool_.path("lock"), nonsense);
        EXPECT_TRUE(prefetch_wal(*repository_, prefetch_options_, {}).ok());
    }
    prefetch_options_.ahead = 0;
    EXPECT_TRUE(prefetch(name_of(0)).ok());
    EXPECT_THAT(spooled(), IsEmpty());
}

TEST_F(FetcherTest, OnePrefetcherFollowsRecovery) {
    for (std::uint64_t number = 1; number < 10; ++number) store_segment(number);
    std::atomic<int> fetched{0};
    prefetch_options_.fetched = [&] { ++fetched; };
    prefetch_options_.stay = seconds(60);
    CancelToken stop;
    store::CallContext context;
    context.cancel = &stop;
    note(name_of(1));
    std::thread prefetcher(
        [&] { EXPECT_TRUE(prefetch_wal(*repository_, prefetch_options_, context).is(Kind::kCancelled)); });
    const auto wait_for_file = [&](std::uint64_t number) {
        for (int i = 0; i < 2000 && !path_exists(spool_.path(name_of(number))); ++i) stop.wait_for(milliseconds(5));
        return path_exists(spool_.path(name_of(number)));
    };
    for (std::uint64_t number = 2; number < 10; ++number) {
        EXPECT_TRUE(wait_for_file(number)) << number;
        EXPECT_TRUE(take_fetched_ahead(name_of(number), options_, {}).ok()) << number;
        EXPECT_EQ(read_text(options_.destination), content_of(number));
        note(name_of(number));
    }
    // What was missing is asked for again when recovery has come further: here, when it got that itself.
    for (std::uint64_t number = 10; number < 12; ++number) store_segment(number);
    note(name_of(10));
    EXPECT_TRUE(wait_for_file(11));
    // Recovery goes elsewhere.
    note(name_of(3));
    EXPECT_TRUE(wait_for_file(4) && wait_for_file(5) && wait_for_file(6));
    stop.cancel();
    prefetcher.join();
    EXPECT_GE(fetched, 8 + 1 + 3);
    EXPECT_LE(fetched, 8 + 1 + 3 + 1) << "each segment once, and perhaps the tenth";
    EXPECT_THAT(spooled(), ElementsAre(name_of(4), name_of(5), name_of(6)));
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
