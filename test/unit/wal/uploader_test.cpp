#include "core/wal/uploader.h"

#include <gmock/gmock.h>

#include <future>
#include <thread>

#include "core/store/forwarding_store.h"
#include "core/wal/push.h"
#include "test/unit/wal/support.h"

namespace forge::wal {
namespace {

using namespace forge::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kLimit = seconds(20);  // of everything that is waited for

// Passes everything on to a real store, and can hold writers back.
class GatedStore final : public store::ForwardingStore {
public:
    using ForwardingStore::ForwardingStore;

    void close_gate() { open_ = false; }
    void open_gate() { open_ = true; }
    // Keys in the order in which their writes began.
    std::vector<std::string> writes() const {
        const std::lock_guard lock(mutex_);
        return writes_;
    }
    int most_at_once() const { return most_; }

    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override {
        {
            const std::lock_guard lock(mutex_);
            writes_.push_back(key);
        }
        const int running = ++running_;
        for (int most = most_; running > most && !most_.compare_exchange_weak(most, running);) {}
        while (!open_ && !context.cancel->wait_for(milliseconds(1))) {}
        --running_;
        if (context.cancel != nullptr && context.cancel->cancelled()) return Status(Kind::kCancelled, "canceled");
        return next().put_if_absent(key, content, context);
    }

private:
    std::atomic<bool> open_{true};
    std::atomic<int> running_{0}, most_{0};
    mutable std::mutex mutex_;
    std::vector<std::string> writes_;
};

// A data directory with WAL, a store, and an uploader between them.
class UploaderTest : public ::testing::Test {
protected:
    static std::string name_of(std::uint64_t number, std::uint64_t size = kMegabyte) {
        return layout::segment_name({1, number}, size);
    }
    std::string path_of(const std::string& name) const { return data_.path("pg_wal/" + name); }

    void write_segment(std::uint64_t number, std::uint32_t seed = 1) {
        write_bytes(path_of(name_of(number)), make_segment(name_of(number), kMegabyte, seed));
    }
    void mark_ready(const std::string& name) { write_text(data_.path("pg_wal/archive_status/" + name + ".ready"), ""); }
    void write_ready_segment(std::uint64_t number) {
        write_segment(number);
        mark_ready(name_of(number));
    }

    void use(settings::Settings settings) {
        std::filesystem::create_directories(data_.path("pg_wal/archive_status"));
        store_ = std::make_shared<GatedStore>(store::open_local_store(bucket_.path()).value());
        repository_ = std::make_shared<repository::Repository>(store_, settings);
    }
    UploaderOptions options() const {
        UploaderOptions options;
        options.data_directory = data_.path();
        options.segment_size = kMegabyte;
        options.system_identifier = kSystemIdentifier;
        return options;
    }
    void start(const UploaderOptions& options) { uploader_ = make_uploader(repository_, options, logger_); }
    void start() { start(options()); }

    // Asks as the server does and waits for the answer.
    Status archive(const std::string& name, Deadline deadline = Deadline::after(kLimit)) {
        auto answer = ask(name, deadline);
        if (answer.wait_for(kLimit) != std::future_status::ready)
            return Status(Kind::kTimeout, "the test waited too long");
        return answer.get();
    }
    std::future<Status> ask(const std::string& name, Deadline deadline = Deadline::never()) {
        auto promise = std::make_shared<std::promise<Status>>();
        uploader_->request(name, "pg_wal/" + name, deadline,
                           [promise](const std::string&, const Uploader::Result& result) { promise->set_value(result.status()); });
        return promise->get_future();
    }
    template <typename Condition>
    static bool eventually(Condition condition) {
        for (const Deadline limit = Deadline::after(kLimit); !limit.passed();
             std::this_thread::sleep_for(milliseconds(1))) {
            if (condition()) return true;
        }
        return false;
    }
    bool is_stored(const std::string& name) { return path_exists(object_of(name)); }
    std::string object_of(const std::string& name) const {
        return bucket_.path(layout::wal_key(name, repository_->settings().compression));
    }
    std::string stored_content(const std::string& name) { return read_all_text_of(**repository_->open_wal(name, {})); }
    std::vector<std::string> objects() {
        std::vector<std::string> keys;
        for (const store::ObjectInfo& object : store::list_all(*store_, "", {}).value()) keys.push_back(object.key);
        return keys;
    }

    UploaderTest() { use(test_settings()); }

    TemporaryDirectory data_, bucket_;
    NullLogger logger_;
    std::shared_ptr<GatedStore> store_;
    std::shared_ptr<repository::Repository> repository_;
    std::unique_ptr<Uploader> uploader_;
};

TEST_F(UploaderTest, C1_StoresWhatTheServerOffers) {
    write_segment(5);
    start();
    const Status status = archive(name_of(5));
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_THAT(objects(), ElementsAre("wal_005/" + name_of(5) + ".lz4"));
    EXPECT_EQ(stored_content(name_of(5)), read_text(path_of(name_of(5))));
    EXPECT_EQ(uploader_->counters().files, 1U);
    EXPECT_EQ(uploader_->counters().bytes_read, kMegabyte);
    EXPECT_EQ(uploader_->counters().bytes_stored, std::filesystem::file_size(object_of(name_of(5))));
}

TEST_F(UploaderTest, C3_C4_C5_H2_AcceptsTheSameContentAgain) {
    write_segment(5);
    start();
    ASSERT_TRUE(archive(name_of(5)).ok());
    const std::string before = read_text(object_of(name_of(5)));
    start();  // the results of the one before are gone
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(read_text(object_of(name_of(5))), before) << "identical content is not stored twice";
}

TEST_F(UploaderTest, H1_P21_S7_RefusesOtherContentUnderTheSameName) {
    write_segment(5, 1);
    start();
    ASSERT_TRUE(archive(name_of(5)).ok());
    const std::string before = read_text(object_of(name_of(5)));
    write_segment(5, 2);
    start();
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.is(Kind::kConflict)) << status.to_string();
    EXPECT_THAT(
        status.message(),
        ::testing::ContainsRegex(
            "already archived with different content \\(stored sha256 [0-9a-f]{64}, local sha256 [0-9a-f]{64}\\)"));
    EXPECT_THAT(status.hint(), HasSubstr("new prefix"));
    EXPECT_EQ(read_text(object_of(name_of(5))), before) << "the first writer's object stays as it is";
}

TEST_F(UploaderTest, R10_SaysWhichKeyIsWrongWhenTheArchivedFileCannotBeCompared) {
    write_segment(5);
    start();
    ASSERT_TRUE(archive(name_of(5)).ok());
    settings::Settings settings = test_settings();
    settings.keys = crypto::KeyRing({other_key()});
    use(settings);
    start();
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.is(Kind::kCorrupt)) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr(other_key().fingerprint()));
}

TEST_F(UploaderTest, H4_RefusesSegmentsOfAnotherCluster) {
    write_bytes(path_of(name_of(5)), make_segment(name_of(5), kMegabyte, 1, 4711));
    start();
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.is(Kind::kConflict));
    EXPECT_THAT(status.message(), HasSubstr("belongs to another cluster"));
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploaderTest, D3_RefusesAShortFileByName) {
    Bytes bytes = make_segment(name_of(5), kMegabyte);
    bytes.resize(bytes.size() - 1);
    write_bytes(path_of(name_of(5)), bytes);
    start();
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.is(Kind::kCorrupt));
    EXPECT_THAT(status.message(), HasSubstr(path_of(name_of(5))));
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploaderTest, D3_RefusesWhatCannotBeReadByName) {
    std::filesystem::create_directory(path_of(name_of(5)));
    start();
    const Status status = archive(name_of(5));
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr(path_of(name_of(5))));
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploaderTest, RefusesSegmentsInTheWrongPlace) {
    write_bytes(path_of(name_of(5)), make_segment(name_of(6), kMegabyte));
    write_bytes(path_of(name_of(7)), Bytes(kMegabyte));
    start();
    EXPECT_TRUE(archive(name_of(5)).is(Kind::kCorrupt));
    EXPECT_TRUE(archive(name_of(7)).is(Kind::kCorrupt));
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploaderTest, AMissingFileIsNeverSuccessAndNeverMissingInTheStore) {
    start();
    const Status status = archive(name_of(5));
    EXPECT_TRUE(status.is(Kind::kInvalid)) << status.to_string();
    EXPECT_THAT(status.message(), HasSubstr(name_of(5)));
}

TEST_F(UploaderTest, P19_StoresHistoryBackupAndPartialFilesUnderTheirNames) {
    const std::string label = name_of(3) + ".00000028.backup";
    const std::string partial = name_of(9) + ".partial";
    write_text(path_of("00000002.history"), "1\t0/9000E98\tno recovery target specified\n");
    write_text(path_of(label), "START WAL LOCATION: 0/3000028\n");
    write_bytes(path_of(partial), make_segment(name_of(9), kMegabyte));
    write_text(path_of("foreign file"), "x");
    start();
    EXPECT_TRUE(archive("00000002.history").ok());
    EXPECT_TRUE(archive(label).ok());
    EXPECT_TRUE(archive(partial).ok());
    EXPECT_TRUE(archive("foreign file").is(Kind::kInvalid));
    EXPECT_THAT(objects(), ElementsAre("wal_005/" + label + ".lz4", "wal_005/" + partial + ".lz4",
                                       "wal_005/00000002.history.lz4"));
    EXPECT_EQ(stored_content(label), read_text(path_of(label)));
}

TEST_F(UploaderTest, UploadsReadySuccessorsAheadUpToTheFirstGap) {
    write_segment(1);
    for (const std::uint64_t number : {2, 3, 5}) write_ready_segment(number);
    write_segment(4);  // not ready
    start();
    ASSERT_TRUE(archive(name_of(1)).ok());
    ASSERT_TRUE(eventually([&] { return uploader_->counters().files == 3; }));
    EXPECT_TRUE(is_stored(name_of(2)));
    EXPECT_TRUE(is_stored(name_of(3)));
    EXPECT_FALSE(is_stored(name_of(4)));
    EXPECT_FALSE(is_stored(name_of(5)));
    // Asked for, they are there at once: the file is not even opened again.
    std::filesystem::remove(path_of(name_of(2)));
    EXPECT_TRUE(archive(name_of(2)).ok());
    EXPECT_EQ(uploader_->counters().ahead_hits, 1U);
}

TEST_F(UploaderTest, UploadsNothingAheadWhenToldNotTo) {
    write_segment(1);
    write_ready_segment(2);
    UploaderOptions quiet = options();
    quiet.upload_ahead = false;
    start(quiet);
    ASSERT_TRUE(archive(name_of(1)).ok());
    uploader_.reset();
    EXPECT_FALSE(is_stored(name_of(2)));
}

TEST_F(UploaderTest, FailuresAheadStayQuietUntilAskedForAndAreTriedAgainThen) {
    write_segment(1);
    write_bytes(path_of(name_of(2)), Bytes(100));
    mark_ready(name_of(2));
    start();
    ASSERT_TRUE(archive(name_of(1)).ok());
    ASSERT_TRUE(eventually([&] { return uploader_->counters().failures >= 1; }));
    EXPECT_TRUE(archive(name_of(2)).is(Kind::kCorrupt));
    write_segment(2);
    EXPECT_TRUE(archive(name_of(2)).ok());
}

TEST_F(UploaderTest, NotReadyFilesAreNotUploadedAheadThoughOpened) {
    write_segment(2);
    PushRequest request;
    request.name = name_of(2);
    request.path = path_of(name_of(2));
    request.ready_file = data_.path("pg_wal/archive_status/" + name_of(2) + ".ready");
    request.segment_size = request.buffer_limit = kMegabyte;
    const auto result = push_file(*repository_, request, {});
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->outcome, PushOutcome::kNotReady);
    EXPECT_TRUE(objects().empty());
}

TEST_F(UploaderTest, PacksAWholeFileBeforeAnythingIsSentAndInMemoryThatIsUsedAgain) {
    write_segment(1);
    write_text(path_of("00000002.history"), "1\t0/9000E98\tx\n");
    const std::string content = read_text(path_of(name_of(1)));
    Bytes buffer;
    PushRequest request;
    request.name = name_of(1);
    request.path = path_of(name_of(1));
    request.segment_size = request.buffer_limit = kMegabyte;
    request.buffer = &buffer;
    int packed = 0;
    request.on_packed = [&] {
        ++packed;
        EXPECT_TRUE(store_->writes().empty());
        std::filesystem::remove(request.path);
    };
    ASSERT_TRUE(push_file(*repository_, request, {}).ok());
    EXPECT_EQ(packed, 1);
    EXPECT_EQ(stored_content(name_of(1)), content);

    const std::uint8_t* const memory = buffer.data();
    request.name = "00000002.history";
    request.path = path_of(request.name);
    request.on_packed = nullptr;
    ASSERT_TRUE(push_file(*repository_, request, {}).ok());
    EXPECT_EQ(stored_content(request.name), read_text(request.path)) << "nothing of the file before";
    EXPECT_EQ(buffer.data(), memory);
}

TEST_F(UploaderTest, P3_HistoryFilesJumpTheQueue) {
    write_segment(1);
    write_ready_segment(2);
    write_text(path_of("00000002.history"), "1\t0/9000E98\tx\n");
    store_->close_gate();
    UploaderOptions narrow = options();
    narrow.concurrency = 1;
    start(narrow);
    auto segment = ask(name_of(1));
    ASSERT_TRUE(eventually([&] { return store_->writes().size() == 1; }));
    auto history = ask("00000002.history");
    ASSERT_TRUE(eventually([&] { return store_->writes().size() == 2; })) << "a history file waits for nothing";
    store_->open_gate();
    EXPECT_TRUE(segment.get().ok());
    EXPECT_TRUE(history.get().ok());
    ASSERT_TRUE(eventually([&] { return is_stored(name_of(2)); }));
    EXPECT_THAT(store_->writes(), ElementsAre("wal_005/" + name_of(1) + ".lz4", "wal_005/00000002.history.lz4",
                                              "wal_005/" + name_of(2) + ".lz4"));
}

TEST_F(UploaderTest, AnswersAtTheDeadlineAndJoinsTheRunningJobLater) {
    write_segment(1);
    store_->close_gate();
    start();
    const Status late = archive(name_of(1), Deadline::after(milliseconds(20)));
    EXPECT_TRUE(late.is(Kind::kTimeout)) << late.to_string();
    auto again = ask(name_of(1));
    store_->open_gate();
    EXPECT_TRUE(again.get().ok());
    EXPECT_EQ(store_->writes().size(), 1U) << "one file has one owner at a time";
}

TEST_F(UploaderTest, RemembersTheResultOfAForgottenRequest) {
    write_segment(1);
    store_->close_gate();
    start();
    auto forgotten = ask(name_of(1));
    uploader_->forget_request(name_of(1));
    store_->open_gate();
    ASSERT_TRUE(eventually([&] { return uploader_->counters().files == 1; }));
    EXPECT_TRUE(archive(name_of(1)).ok());
    EXPECT_EQ(store_->writes().size(), 1U);
    EXPECT_THROW(static_cast<void>(forgotten.get()), std::future_error) << "a forgotten request is not answered";
}

TEST_F(UploaderTest, C2_C6_StoppingLeavesNothingBehindAndAnswersWhoWaits) {
    write_segment(1);
    for (std::uint64_t number = 2; number < 6; ++number) write_ready_segment(number);
    store_->close_gate();
    start();
    auto answer = ask(name_of(1));
    ASSERT_TRUE(eventually([&] { return store_->writes().size() >= 2; }));
    uploader_.reset();
    ASSERT_EQ(answer.wait_for(seconds(0)), std::future_status::ready);
    EXPECT_TRUE(answer.get().is(Kind::kCancelled));
    EXPECT_TRUE(objects().empty());
    // The next one finds nothing in its way.
    store_->open_gate();
    start();
    EXPECT_TRUE(archive(name_of(1)).ok());
}

TEST_F(UploaderTest, P10_ANewEpochStoresAgainUnderItsOwnSettings) {
    write_segment(1);
    start();
    ASSERT_TRUE(archive(name_of(1)).ok());
    uploader_.reset();
    use(test_settings(codec::Method::kZstd));
    start();
    ASSERT_TRUE(archive(name_of(1)).ok());
    EXPECT_THAT(objects(), ElementsAre("wal_005/" + name_of(1) + ".lz4", "wal_005/" + name_of(1) + ".zst"));
}

TEST_F(UploaderTest, D8_DrainsABacklogWithAllWorkersAndStoresEachFileOnce) {
    constexpr std::uint64_t kFiles = 40;
    for (std::uint64_t number = 1; number <= kFiles; ++number) write_ready_segment(number);
    UploaderOptions wide = options();
    wide.concurrency = 4;
    start(wide);
    store_->close_gate();
    auto first = ask(name_of(1));
    ASSERT_TRUE(eventually([&] { return store_->writes().size() >= 4; })) << "all workers are busy";
    store_->open_gate();
    ASSERT_TRUE(first.get().ok());
    for (std::uint64_t number = 2; number <= kFiles; ++number) ASSERT_TRUE(archive(name_of(number)).ok()) << number;
    EXPECT_EQ(store_->writes().size(), kFiles);
    EXPECT_LE(store_->most_at_once(), 5);
    EXPECT_EQ(uploader_->counters().files, kFiles);
    EXPECT_GT(uploader_->counters().ahead_hits, 0U);
}

TEST_F(UploaderTest, AsksTheStoreAgainForWhatIsAskedAgain) {
    write_segment(5);
    start();
    ASSERT_TRUE(archive(name_of(5)).ok());
    std::filesystem::remove(object_of(name_of(5)));
    EXPECT_TRUE(archive(name_of(5)).ok());
    EXPECT_EQ(stored_content(name_of(5)), read_text(path_of(name_of(5))))
        << "what vanished from the store is there again";
}

class UploaderSizes : public UploaderTest,
                      public ::testing::WithParamInterface<std::pair<std::uint64_t, std::uint64_t>> {};

TEST_P(UploaderSizes, P8_StoresSegmentsOfAnySizeWithinItsMemory) {
    const auto [size, memory] = GetParam();
    const std::string name = name_of(1, size);
    write_bytes(path_of(name), make_segment(name, size));
    UploaderOptions sized = options();
    sized.segment_size = size;
    sized.memory_limit = memory;
    start(sized);
    const Status status = archive(name);
    ASSERT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(uploader_->counters().bytes_read, size);
    EXPECT_TRUE(stored_content(name) == read_text(path_of(name)));
    // Streamed or not: what is there is compared, never replaced.
    const std::string before = read_text(object_of(name));
    start(sized);
    EXPECT_TRUE(archive(name).ok());
    write_bytes(path_of(name), make_segment(name, size, 2));
    start(sized);
    EXPECT_TRUE(archive(name).is(Kind::kConflict));
    EXPECT_TRUE(read_text(object_of(name)) == before);
}
INSTANTIATE_TEST_SUITE_P(Sizes, UploaderSizes,
                         ::testing::Values(std::pair(kMegabyte, 256 * kMegabyte),
                                           std::pair(64 * kMegabyte, 256 * kMegabyte),
                                           std::pair(16 * kMegabyte, 16 * kMegabyte)));

TEST_F(UploaderTest, OneFileCanBePushedWithoutThreads) {
    write_segment(5);
    EXPECT_TRUE(push_wal_file(*repository_, name_of(5), path_of(name_of(5)), kMegabyte, {}).ok());
    EXPECT_TRUE(push_wal_file(*repository_, name_of(5), path_of(name_of(5)), kMegabyte, {}).ok());
    EXPECT_EQ(stored_content(name_of(5)), read_text(path_of(name_of(5))));
    write_segment(5, 2);
    EXPECT_TRUE(push_wal_file(*repository_, name_of(5), path_of(name_of(5)), kMegabyte, {}).is(Kind::kConflict));
    EXPECT_TRUE(push_wal_file(*repository_, name_of(6), path_of(name_of(6)), kMegabyte, {}).is(Kind::kInvalid));
}

}  // namespace
}  // namespace forge::wal
