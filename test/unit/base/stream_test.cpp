#include "core/base/stream.h"

#include <gtest/gtest.h>

#include "test/unit/base/streams.h"

namespace forge {
namespace {

TEST(MemorySink, StopsAtItsLimit) {
    MemorySink sink(10);
    EXPECT_TRUE(sink.write(as_bytes("0123456789")).ok());
    EXPECT_EQ(sink.write(as_bytes("x")).kind(), Kind::kExhausted);
    EXPECT_EQ(as_text(sink.bytes()), "0123456789");
}

TEST(CopyStream, MovesEverythingInWhateverPieces) {
    const Bytes data = test::random_bytes(300'000);
    test::SlowSource source(data, 777);
    MemorySink sink;
    EXPECT_EQ(copy_stream(source, sink).value(), data.size());
    EXPECT_EQ(sink.bytes(), data);
}

TEST(CopyStream, PassesErrorsOfBothEndsOn) {
    test::FailingSource broken;
    MemorySink sink;
    EXPECT_EQ(copy_stream(broken, sink).status().kind(), Kind::kUnavailable);
    MemorySource source(Bytes(100));
    MemorySink full(99);
    EXPECT_EQ(copy_stream(source, full).status().kind(), Kind::kExhausted);
}

TEST(ReadAll, RefusesMoreThanTheLimit) {
    MemorySource fits(Bytes(100, 'a'));
    EXPECT_EQ(read_all_text(fits, 100).value(), std::string(100, 'a'));
    MemorySource large(Bytes(101));
    EXPECT_EQ(read_all(large, 100).status().kind(), Kind::kExhausted);
}

TEST(ReadFull, JoinsShortReads) {
    test::SlowSource source(test::counting_bytes(100), 7);
    Bytes buffer(60);
    EXPECT_EQ(read_full(source, buffer).value(), 60U);
    EXPECT_EQ(buffer, test::counting_bytes(60));
    EXPECT_EQ(read_full(source, buffer).value(), 40U);
    EXPECT_EQ(read_full(source, buffer).value(), 0U);
}

TEST(CountingSink, CountsWhatPasses) {
    MemorySink memory;
    std::uint64_t count = 0;
    CountingSink sink(std::make_unique<ForwardSink>(memory), count);
    EXPECT_TRUE(sink.write(as_bytes("abc")).ok());
    EXPECT_TRUE(sink.write(as_bytes("de")).ok());
    EXPECT_TRUE(sink.finish().ok());
    EXPECT_EQ(count, 5U);
    EXPECT_EQ(as_text(memory.bytes()), "abcde");
}

}  // namespace
}  // namespace forge
