#include "core/protocol/frame.h"

#include <gtest/gtest.h>

#include <random>

namespace forge::protocol {
namespace {

Frame example() {
    Frame frame(FrameType::kArchive);
    frame.add(Tag::kName, "000000010000000000000004").add(Tag::kPath, "pg_wal/000000010000000000000004");
    frame.add_number(Tag::kTimeoutMs, 30000).add(Tag::kSetting, "a=1").add(Tag::kSetting, "b=").add(Tag::kNull, "");
    return frame;
}

void expect_example(const Frame& frame) {
    EXPECT_EQ(frame.type, FrameType::kArchive);
    EXPECT_EQ(frame.text(Tag::kName), "000000010000000000000004");
    EXPECT_EQ(frame.number(Tag::kTimeoutMs), 30000U);
    EXPECT_EQ(frame.all(Tag::kSetting), (std::vector<std::string_view>{"a=1", "b="}));
    EXPECT_TRUE(frame.has(Tag::kNull));
    EXPECT_FALSE(frame.has(Tag::kHint));
    EXPECT_EQ(frame.text(Tag::kHint), "");
    EXPECT_EQ(frame.number(Tag::kHint), 0U);
    EXPECT_EQ(frame.number(Tag::kPath), 0U);  // text, not a number
}

TEST(Frame, GoesThroughByteByByte) {
    const std::string bytes = encode(example()).value();
    Decoder decoder;
    Frame frame;
    for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
        decoder.feed(bytes.substr(i, 1));
        ASSERT_EQ(decoder.next(frame), Decoder::Outcome::kNeedMore) << i;
    }
    decoder.feed(bytes.substr(bytes.size() - 1));
    ASSERT_EQ(decoder.next(frame), Decoder::Outcome::kFrame);
    expect_example(frame);
    EXPECT_EQ(decoder.next(frame), Decoder::Outcome::kNeedMore);
}

TEST(Frame, ManyInOneReadKeepTheirOrder) {
    std::string bytes;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        bytes += encode(Frame(FrameType::kProgress).add_number(Tag::kBytesDone, i).add(Tag::kMessage, "x")).value();
    }
    Decoder decoder;
    Frame frame;
    std::uint64_t expected = 0;
    for (std::size_t at = 0; at < bytes.size(); at += 4096) {
        decoder.feed(std::string_view(bytes).substr(at, 4096));
        while (decoder.next(frame) == Decoder::Outcome::kFrame) EXPECT_EQ(frame.number(Tag::kBytesDone), expected++);
    }
    EXPECT_EQ(expected, 5000U);
}

TEST(Frame, LayoutIsTheDocumentedOne) {
    const std::string bytes = encode(Frame(FrameType::kPing).add(Tag::kVersion, "ab")).value();
    EXPECT_EQ(bytes, std::string("\x0a\0\0\0"
                                 "\x01\x0b"
                                 "\x01\0"
                                 "\x02\0\0\0"
                                 "ab",
                                 14));
}

TEST(Frame, UnknownTagsAreCarriedButHarmless) {
    std::string bytes = encode(Frame(FrameType::kPing).add(Tag::kVersion, "1").add(Tag::kName, "n")).value();
    bytes[6] = '\x77';
    bytes[7] = '\x77';
    Decoder decoder;
    decoder.feed(bytes);
    Frame frame;
    ASSERT_EQ(decoder.next(frame), Decoder::Outcome::kFrame);
    EXPECT_FALSE(frame.has(Tag::kVersion));
    EXPECT_EQ(frame.text(Tag::kName), "n");
}

TEST(Frame, SizeIsBounded) {
    Frame frame(FrameType::kLog);
    frame.add(Tag::kMessage, std::string(kMaxFrame - 8, 'x'));
    const auto largest = encode(frame);
    ASSERT_TRUE(largest);
    Decoder decoder;
    decoder.feed(*largest);
    Frame back;
    EXPECT_EQ(decoder.next(back), Decoder::Outcome::kFrame);
    frame.add(Tag::kHint, "");
    EXPECT_FALSE(encode(frame));
}

TEST(Frame, NonsenseIsBrokenAndStaysBroken) {
    const std::string good = encode(example()).value();
    const auto outcome_of = [](std::string bytes) {
        Decoder decoder;
        decoder.feed(bytes);
        Frame frame;
        const auto first = decoder.next(frame);
        EXPECT_EQ(decoder.next(frame), first);
        return first;
    };
    std::string wrong_version = good;
    wrong_version[4] = 2;
    EXPECT_EQ(outcome_of(wrong_version), Decoder::Outcome::kBroken);
    const int after_requests = static_cast<int>(FrameType::kLastToHelper) + 1;
    const int after_answers = static_cast<int>(FrameType::kLastToServer) + 1;
    for (const int type : {0, after_requests, 63, after_answers, 255}) {
        std::string wrong_type = good;
        wrong_type[5] = static_cast<char>(type);
        EXPECT_EQ(outcome_of(wrong_type), Decoder::Outcome::kBroken) << type;
    }
    std::string long_field = good;
    long_field[8] = '\x7f';
    EXPECT_EQ(outcome_of(long_field), Decoder::Outcome::kBroken);
    // A length above the bound is refused before anything is collected, as is text from somebody who is not our helper.
    EXPECT_EQ(outcome_of(std::string("\xff\xff\xff\xff", 4)), Decoder::Outcome::kBroken);
    EXPECT_EQ(outcome_of("Segmentation fault"), Decoder::Outcome::kBroken);
    EXPECT_EQ(outcome_of(std::string(4, '\0')), Decoder::Outcome::kBroken);
    // A field header that does not fit.
    std::string cut = encode(Frame(FrameType::kPing)).value() + "abc";
    cut[0] = 5;
    EXPECT_EQ(outcome_of(cut), Decoder::Outcome::kBroken);
}

TEST(Frame, RandomBytesNeverDoHarm) {
    std::mt19937_64 generator(3);
    for (int round = 0; round < 2000; ++round) {
        std::string bytes = encode(example()).value() + encode(example()).value();
        for (int flips = 0; flips < 3; ++flips) {
            bytes[generator() % bytes.size()] ^= static_cast<char>(1U << (generator() % 8));
        }
        Decoder decoder;
        decoder.feed(bytes);
        Frame frame;
        int frames = 0;
        while (decoder.next(frame) == Decoder::Outcome::kFrame) ++frames;
        EXPECT_LE(frames, 2);
    }
}

}  // namespace
}  // namespace forge::protocol
