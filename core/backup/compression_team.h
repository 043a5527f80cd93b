// How the threads of a backup share the compression of its last large files: who has no file left to read compresses
// pieces for those who have, where the method has pieces. As long as all have files each compresses its own part.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "core/base/cancel.h"
#include "core/repository/repository.h"

namespace forge::backup {

// A piece of a part: made by who reads the files, compressed by whoever takes it.
struct CompressionPiece {
    enum class State { kWaiting, kTaken, kDone };

    Bytes plain;               // until it is done
    std::uint64_t offset = 0;  // in its stream
    bool last = false;         // of its stream
    State state = State::kWaiting;
    Status status;  // of the compression, when it is done
    MemorySink compressed;
};

// Thread-safe.
class CompressionTeam {
public:
    static constexpr std::size_t kPiece = 1 << 20;  // bytes; smaller ones compress worse

    // All outlive the team. `stop` sends the helpers home.
    CompressionTeam(const repository::Repository& repository, codec::Method method, const CancelToken& stop)
        : repository_(repository), method_(method), stop_(stop) {}

    // As long as it lives, its thread may have pieces for others.
    class Reader {
    public:
        explicit Reader(CompressionTeam& team);
        ~Reader();
        Reader(const Reader&) = delete;
        Reader& operator=(const Reader&) = delete;

    private:
        CompressionTeam& team_;
    };

    // Compresses for others until there are no readers.
    void help();
    std::size_t helpers() const { return helpers_.load(std::memory_order_relaxed); }

    // Compresses what is written to it into `next`, with the help that there is. Of one thread; the team outlives it.
    Result<std::unique_ptr<Sink>> compressor(std::unique_ptr<Sink> next);
    void offer(std::shared_ptr<CompressionPiece> piece);
    bool is_done(const CompressionPiece& piece) const;
    // Returns when that piece is done; works on it, or on others, meanwhile.
    void complete(const CompressionPiece& piece);

private:
    bool work(std::unique_lock<std::mutex>& lock);
    Status compress(CompressionPiece& piece) const;

    const repository::Repository& repository_;
    codec::Method method_;
    const CancelToken& stop_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<CompressionPiece>> waiting_;
    std::size_t readers_ = 0;
    std::atomic<std::size_t> helpers_{0};
};

}  // namespace forge::backup
