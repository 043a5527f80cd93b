#include "core/base/statistics.h"

#include <gtest/gtest.h>

#include <thread>

#include "core/base/measurement.h"

namespace forge {
namespace {

TEST(Histogram, PutsTimesIntoBucketsOfPowersOfTwo) {
    Histogram times;
    for (const std::uint64_t micros : {0ULL, 1ULL, 2ULL, 3ULL, 4ULL, 7ULL, 8ULL, 1ULL << 30, 1ULL << 40}) times.add(micros);
    EXPECT_EQ(times.count, 9U);
    EXPECT_EQ(times.sum, 25U + (1ULL << 30) + (1ULL << 40));
    EXPECT_EQ(times.min, 0U);
    EXPECT_EQ(times.max, 1ULL << 40);
    EXPECT_EQ(times.buckets[0], 1U);   // 0
    EXPECT_EQ(times.buckets[1], 1U);   // 1
    EXPECT_EQ(times.buckets[2], 2U);   // 2, 3
    EXPECT_EQ(times.buckets[3], 2U);   // 4, 7
    EXPECT_EQ(times.buckets[4], 1U);   // 8
    EXPECT_EQ(times.buckets[31], 2U);  // without end
}

TEST(Histogram, RoundsQuantilesUpToTheEndOfABucket) {
    Histogram times;
    EXPECT_EQ(times.quantile(0.5), 0U);
    for (int i = 0; i < 99; ++i) times.add(100);  // of 64 to 127
    times.add(5000);
    EXPECT_EQ(times.quantile(0.5), 127U);
    EXPECT_EQ(times.quantile(0.99), 127U);
    EXPECT_EQ(times.quantile(1), 5000U);
}

TEST(Histogram, MergesAsIfAllHadBeenAddedToOne) {
    Histogram one;
    Histogram other;
    Histogram both;
    for (const std::uint64_t micros : {7ULL, 900ULL}) one.add(micros), both.add(micros);
    for (const std::uint64_t micros : {3ULL, 40ULL}) other.add(micros), both.add(micros);
    one.merge(other);
    one.merge(Histogram());
    EXPECT_EQ(one.min, both.min);
    EXPECT_EQ(one.max, both.max);
    EXPECT_EQ(one.sum, both.sum);
    EXPECT_EQ(one.buckets, both.buckets);
}

TEST(Statistics, ComeBackFromTheirText) {
    Statistics statistics;
    EXPECT_TRUE(statistics.empty());
    statistics.stages[2].add(12345);
    statistics.objects = 3;
    statistics.bytes_plain = 1ULL << 50;
    statistics.retries[static_cast<std::size_t>(Kind::kThrottled)] = 4;
    EXPECT_FALSE(statistics.empty());
    const std::string text = encode_statistics(statistics);
    const auto read = decode_statistics(text);
    ASSERT_TRUE(read);
    EXPECT_EQ(encode_statistics(*read), text);
    EXPECT_EQ(read->stages[2].max, 12345U);
    EXPECT_FALSE(decode_statistics(""));
    EXPECT_FALSE(decode_statistics(text.substr(0, text.size() / 2)));
    EXPECT_FALSE(decode_statistics(text + " 1"));
    EXPECT_FALSE(decode_statistics("x" + text));
}

// A filter that takes its time before it passes anything on.
class SlowSink final : public Sink {
public:
    SlowSink(std::unique_ptr<Sink> next, milliseconds time) : next_(std::move(next)), time_(time) {}
    Status write(ByteView data) override {
        std::this_thread::sleep_for(time_);
        return next_->write(data);
    }
    Status finish() override { return next_->finish(); }

private:
    std::unique_ptr<Sink> next_;
    milliseconds time_;
};

TEST(Measurement, ChargesEachStageWithItsOwnTimeOnly) {
    (void)take_statistics();
    MemorySink memory;
    Measurement measurement;
    const MeasuredScope measured(measurement);
    auto sink = timed(std::make_unique<ForwardSink>(memory), Stage::kStore);
    sink = timed(std::make_unique<SlowSink>(std::move(sink), milliseconds(20)), Stage::kEncryption);
    sink = timed(std::make_unique<SlowSink>(std::move(sink), milliseconds(60)), Stage::kCompression);
    const Bytes data(100);
    ASSERT_TRUE(sink->write(data).ok());
    ASSERT_TRUE(sink->finish().ok());
    measurement.plain = 100;
    measurement.commit();
    const Statistics taken = take_statistics();
    const auto time = [&](Stage stage) { return taken.stages[static_cast<std::size_t>(stage)]; };
    EXPECT_EQ(time(Stage::kCompression).count, 1U);
    EXPECT_GE(time(Stage::kCompression).sum, 60000U);
    EXPECT_GE(time(Stage::kEncryption).sum, 20000U);
    EXPECT_LT(time(Stage::kEncryption).sum, time(Stage::kCompression).sum);
    EXPECT_LT(time(Stage::kStore).sum, 20000U);
    EXPECT_GE(time(Stage::kTotal).sum, 80000U);
    EXPECT_EQ(time(Stage::kFile).count, 0U) << "a stage that was not entered has no time";
    EXPECT_EQ(taken.objects, 1U);
    EXPECT_EQ(taken.bytes_stored, 100U);
    EXPECT_TRUE(take_statistics().empty()) << "taken once";
}

TEST(Measurement, CountsForNothingWithoutCommit) {
    (void)take_statistics();
    {
        Measurement measurement;
        const MeasuredScope measured(measurement);
        const StageScope scope(Stage::kFile);
    }
    EXPECT_TRUE(take_statistics().empty());
}

}  // namespace
}  // namespace forge
