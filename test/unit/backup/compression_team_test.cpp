#include "core/backup/compression_team.h"

#include <gtest/gtest.h>

#include <thread>

#include "test/unit/backup/fake_cluster.h"
#include "test/unit/base/streams.h"

namespace forge::backup {
namespace {

using codec::Method;

class CompressionTeamTest : public ::testing::Test {
protected:
    std::thread helper(CompressionTeam& team) {
        std::thread thread([&team] { team.help(); });
        while (team.helpers() == 0) std::this_thread::yield();
        return thread;
    }
    Bytes decompress(Bytes object) const {
        auto source = codec::decompressor(Method::kBrotli, test::source_of(std::move(object)));
        return read_all(**source, SIZE_MAX).value();
    }
    // One stream, as nobody's help makes it.
    Bytes compress_alone(ByteView data, Method method = Method::kBrotli) const {
        MemorySink out;
        auto sink = repository_->compress(method, std::make_unique<ForwardSink>(out)).value();
        EXPECT_TRUE(test::write_in_steps(*sink, data, 1 << 18).ok());
        return std::move(out.bytes());
    }

    test::FakeCluster cluster_;
    std::shared_ptr<repository::Repository> repository_ = cluster_.repository(test::test_settings(Method::kBrotli));
    CancelToken stop_;
    CompressionTeam team_{*repository_, Method::kBrotli, stop_};
    Bytes data_ = test::page_like_bytes((10 << 20) + 1);
};

TEST_F(CompressionTeamTest, WritesOneStreamWhereNobodyHelps) {
    const CompressionTeam::Reader reader(team_);
    MemorySink out;
    auto sink = team_.compressor(std::make_unique<ForwardSink>(out)).value();
    ASSERT_TRUE(test::write_in_steps(*sink, data_, 1 << 18).ok());
    EXPECT_EQ(out.bytes(), compress_alone(data_));
}

TEST_F(CompressionTeamTest, GoesOnInPiecesWithHelp) {
    MemorySink out;
    std::thread help;
    {
        const CompressionTeam::Reader reader(team_);
        auto sink = team_.compressor(std::make_unique<ForwardSink>(out)).value();
        const ByteView data(data_);
        ASSERT_TRUE(sink->write(data.first(300'000)).ok());
        help = helper(team_);
        ASSERT_TRUE(test::write_in_steps(*sink, data.subspan(300'000), 1 << 18).ok());
    }
    help.join();
    EXPECT_EQ(decompress(out.bytes()), data_);
    EXPECT_NE(out.bytes(), compress_alone(data_));
}

TEST_F(CompressionTeamTest, CutsFromTheBeginningWhereHelpWaits) {
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, 3 * CompressionTeam::kPiece}) {
        MemorySink out;
        std::thread help;
        {
            const CompressionTeam::Reader reader(team_);
            help = helper(team_);
            auto sink = team_.compressor(std::make_unique<ForwardSink>(out)).value();
            const ByteView data = ByteView(data_).first(size);
            ASSERT_TRUE(test::write_in_steps(*sink, data, 1 << 18).ok());
        }
        help.join();
        EXPECT_EQ(decompress(out.bytes()), Bytes(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(size)));
    }
}

TEST_F(CompressionTeamTest, SeveralStreamsShareTheHelpers) {
    constexpr int kStreams = 3;
    std::array<MemorySink, kStreams> out;
    std::vector<std::thread> threads;
    {
        const CompressionTeam::Reader reader(team_);
        for (int i = 0; i < 2; ++i) threads.push_back(helper(team_));
        for (MemorySink& stream : out)
            threads.emplace_back([this, &stream] {
                const CompressionTeam::Reader own(team_);
                auto sink = team_.compressor(std::make_unique<ForwardSink>(stream)).value();
                EXPECT_TRUE(test::write_in_steps(*sink, data_, 1 << 18).ok());
            });
        for (std::size_t i = 2; i < threads.size(); ++i) threads[i].join();
    }
    for (int i = 0; i < 2; ++i) threads[static_cast<std::size_t>(i)].join();
    for (MemorySink& stream : out) EXPECT_EQ(decompress(stream.bytes()), data_);
}

TEST_F(CompressionTeamTest, ReportsTheFailureOfTheStore) {
    bool finished = false;
    std::thread help;
    {
        const CompressionTeam::Reader reader(team_);
        help = helper(team_);
        auto sink = team_.compressor(std::make_unique<test::FailingSink>(1 << 20, finished)).value();
        EXPECT_EQ(test::write_in_steps(*sink, test::random_bytes(10 << 20), 1 << 18).kind(), Kind::kUnavailable);
    }
    help.join();
    EXPECT_FALSE(finished);
}

TEST_F(CompressionTeamTest, WritesOneStreamWhereTheMethodHasNoPieces) {
    CompressionTeam team(*repository_, Method::kZstd, stop_);
    MemorySink out;
    std::thread help;
    {
        const CompressionTeam::Reader reader(team);
        help = helper(team);
        auto sink = team.compressor(std::make_unique<ForwardSink>(out)).value();
        ASSERT_TRUE(test::write_in_steps(*sink, data_, 1 << 18).ok());
    }
    help.join();
    EXPECT_EQ(out.bytes(), compress_alone(data_, Method::kZstd));
}

// Nobody else is there who could have done it.
TEST_F(CompressionTeamTest, HelperCompressesWhatIsOffered) {
    std::thread help;
    {
        const CompressionTeam::Reader reader(team_);
        help = std::thread([this] { team_.help(); });
        auto piece = std::make_shared<CompressionPiece>();
        piece->plain = test::page_like_bytes(100'000);
        piece->last = true;
        team_.offer(piece);
        while (!team_.is_done(*piece)) std::this_thread::yield();
        EXPECT_TRUE(piece->status.ok()) << piece->status.to_string();
        auto source = codec::decompressor(Method::kBrotli, test::source_of(piece->compressed.bytes()));
        EXPECT_EQ(read_all(**source, SIZE_MAX).value(), test::page_like_bytes(100'000));
    }
    help.join();
}

TEST_F(CompressionTeamTest, HelperLeavesWhenTheBackupStops) {
    const CompressionTeam::Reader reader(team_);
    std::thread help([this] { team_.help(); });
    stop_.cancel();
    help.join();
    EXPECT_EQ(team_.helpers(), 0U);
}

}  // namespace
}  // namespace forge::backup
