#include "core/backup/compression_team.h"

#include <algorithm>

#include "core/backup/worker_group.h"
#include "core/base/measurement.h"

namespace forge::backup {
namespace {

constexpr milliseconds kStopPoll{50};

// One stream as long as nobody helps; from then on it is cut into pieces.
class TeamCompressor final : public Sink {
public:
    TeamCompressor(CompressionTeam& team, std::unique_ptr<Sink> next) : team_(team), next_(std::move(next)) {}

    Status start(const repository::Repository& repository, codec::Method method) {
        FORGE_ASSIGN(first_, repository.compress_piece(method, std::make_unique<ForwardSink>(*next_), 0));
        return {};
    }

    Status write(ByteView data) override {
        if (first_ && offset_ > 0 && team_.helpers() > 0) {
            FORGE_TRY(first_->end_piece());
            first_.reset();
        }
        if (first_) {
            offset_ += data.size();
            return first_->write(data);
        }
        return collect(data);
    }

    Status finish() override {
        if (first_) return first_->finish();
        FORGE_TRY(offer(true));
        while (!pieces_.empty()) FORGE_TRY(pass_on());
        return next_->finish();
    }

private:
    // A full piece waits for more to come: the last one of a stream has something in it.
    Status collect(ByteView data) {
        while (!data.empty()) {
            if (plain_.size() == CompressionTeam::kPiece) FORGE_TRY(offer(false));
            plain_.reserve(CompressionTeam::kPiece);
            const std::size_t count = std::min(data.size(), CompressionTeam::kPiece - plain_.size());
            plain_.insert(plain_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count));
            data = data.subspan(count);
        }
        return {};
    }

    // Enough pieces are open that every helper has one, and no more.
    Status offer(bool last) {
        auto piece = std::make_shared<CompressionPiece>();
        piece->plain = std::exchange(plain_, {});
        piece->offset = offset_;
        piece->last = last;
        offset_ += piece->plain.size();
        pieces_.push_back(piece);
        team_.offer(std::move(piece));
        while (!pieces_.empty() && (pieces_.size() > team_.helpers() + 1 || team_.is_done(*pieces_.front())))
            FORGE_TRY(pass_on());
        return {};
    }

    Status pass_on() {
        const std::shared_ptr<CompressionPiece> piece = std::move(pieces_.front());
        pieces_.pop_front();
        team_.complete(*piece);
        FORGE_TRY(piece->status);
        return next_->write(piece->compressed.bytes());
    }

    CompressionTeam& team_;
    std::unique_ptr<Sink> next_;
    std::unique_ptr<codec::PieceCompressor> first_;  // null once others help
    std::uint64_t offset_ = 0;                  // in the stream, of what comes into `plain_` first
    Bytes plain_;
    std::deque<std::shared_ptr<CompressionPiece>> pieces_;  // that next_ has not got, in their order
};

}  // namespace

CompressionTeam::Reader::Reader(CompressionTeam& team) : team_(team) {
    const std::lock_guard lock(team_.mutex_);
    ++team_.readers_;
}

CompressionTeam::Reader::~Reader() {
    const std::lock_guard lock(team_.mutex_);
    --team_.readers_;
    team_.changed_.notify_all();
}

void CompressionTeam::help() {
    ++helpers_;
    std::unique_lock lock(mutex_);
    while (readers_ > 0 && !stop_.cancelled())
        if (!work(lock)) changed_.wait_for(lock, kStopPoll);
    --helpers_;
}

Result<std::unique_ptr<Sink>> CompressionTeam::compressor(std::unique_ptr<Sink> next) {
    if (!codec::has_pieces(method_)) return repository_.compress(method_, std::move(next));
    auto sink = std::make_unique<TeamCompressor>(*this, std::move(next));
    FORGE_TRY(sink->start(repository_, method_));
    return timed(std::move(sink), Stage::kCompression);
}

void CompressionTeam::offer(std::shared_ptr<CompressionPiece> piece) {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(piece));
    changed_.notify_all();
}

bool CompressionTeam::is_done(const CompressionPiece& piece) const {
    const std::lock_guard lock(mutex_);
    return piece.state == CompressionPiece::State::kDone;
}

void CompressionTeam::complete(const CompressionPiece& piece) {
    std::unique_lock lock(mutex_);
    while (piece.state != CompressionPiece::State::kDone)
        if (!work(lock)) changed_.wait(lock);
}

// Compresses the piece that waits longest; false when none does.
bool CompressionTeam::work(std::unique_lock<std::mutex>& lock) {
    if (waiting_.empty()) return false;
    const std::shared_ptr<CompressionPiece> piece = std::move(waiting_.front());
    waiting_.pop_front();
    piece->state = CompressionPiece::State::kTaken;
    lock.unlock();
    piece->status = guarded([this, &piece] { return compress(*piece); });
    lock.lock();
    piece->state = CompressionPiece::State::kDone;
    changed_.notify_all();
    return true;
}

Status CompressionTeam::compress(CompressionPiece& piece) const {
    auto into = std::make_unique<ForwardSink>(piece.compressed);
    FORGE_ASSIGN(const auto sink, repository_.compress_piece(method_, std::move(into), piece.offset));
    FORGE_TRY(sink->write(piece.plain));
    FORGE_TRY(piece.last ? sink->finish() : sink->end_piece());
    piece.plain = {};
    return {};
}

}  // namespace forge::backup
