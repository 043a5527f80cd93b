#include "core/backup/hand_over.h"

#include <gmock/gmock.h>

#include <future>

namespace forge::backup {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kBuffer = 1 << 20;

Bytes content(std::size_t size) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    return bytes;
}

// What happened to the sink that was behind another one.
struct Seen {
    Bytes bytes;
    int writes = 0;
    bool finished = false, destroyed = false;
};

class ObservedSink final : public Sink {
public:
    explicit ObservedSink(Seen& seen, std::function<Status(int write)> before = {})
        : seen_(seen), before_(std::move(before)) {}
    ~ObservedSink() override { seen_.destroyed = true; }
    Status write(ByteView data) override {
        ++seen_.writes;
        if (before_) FORGE_TRY(before_(seen_.writes));
        seen_.bytes.insert(seen_.bytes.end(), data.begin(), data.end());
        return {};
    }
    Status finish() override {
        seen_.finished = true;
        return {};
    }

private:
    Seen& seen_;
    std::function<Status(int)> before_;
};

TEST(HandOver, EveryByteArrivesInOrder) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, kBuffer - 1, kBuffer, kBuffer + 1, 5 * kBuffer + 77}) {
        const Bytes expected = content(size);
        Seen seen;
        HandOverSink sink(std::make_unique<ObservedSink>(seen));
        for (std::size_t at = 0; at < size;) {
            const std::size_t piece = std::min<std::size_t>(size - at, 100'000 + at % 77'777);
            ASSERT_TRUE(sink.write(ByteView(expected).subspan(at, piece)).ok());
            at += piece;
        }
        ASSERT_TRUE(sink.finish().ok());
        EXPECT_TRUE(seen.finished);
        EXPECT_TRUE(seen.bytes == expected) << size;
    }
}

// The first write does not return before the second buffer is full: whoever wrote it in the same thread would wait for
// himself.
TEST(HandOver, TheWriterGoesOnWhileTheBytesAreSent) {
    Seen seen;
    std::promise<void> filled;
    HandOverSink sink(std::make_unique<ObservedSink>(seen, [&filled](int write) {
        if (write == 1 && filled.get_future().wait_for(std::chrono::seconds(60)) != std::future_status::ready)
            return Status(Kind::kInternal, "the writer waits");
        return Status();
    }));
    const Bytes bytes = content(2 * kBuffer - 1);
    ASSERT_TRUE(sink.write(bytes).ok());
    filled.set_value();
    ASSERT_TRUE(sink.finish().ok());
    EXPECT_TRUE(seen.bytes == bytes);
}

TEST(HandOver, FailureReachesTheWriter) {
    Seen seen;
    HandOverSink sink(std::make_unique<ObservedSink>(seen, [](int write) {
        return write == 2 ? Status(Kind::kUnavailable, "the store is gone") : Status();
    }));
    Status status;
    for (int i = 0; i < 10 && status.ok(); ++i) status = sink.write(content(kBuffer));
    EXPECT_EQ(status.kind(), Kind::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("the store is gone"));
    EXPECT_EQ(seen.writes, 2);
    EXPECT_FALSE(seen.finished);
}

TEST(HandOver, FailureOfTheLastBufferReachesFinish) {
    Seen seen;
    HandOverSink sink(std::make_unique<ObservedSink>(
        seen, [](int) { return Status(Kind::kUnavailable, "the store is gone"); }));
    ASSERT_TRUE(sink.write(content(kBuffer)).ok());
    EXPECT_EQ(sink.finish().kind(), Kind::kUnavailable);
    EXPECT_FALSE(seen.finished);
}

TEST(HandOver, WithoutFinishNothingIsFinished) {
    Seen seen;
    {
        HandOverSink sink(std::make_unique<ObservedSink>(seen));
        ASSERT_TRUE(sink.write(content(3 * kBuffer + 5)).ok());
    }
    EXPECT_TRUE(seen.destroyed);
    EXPECT_FALSE(seen.finished);
}

}  // namespace
}  // namespace forge::backup
