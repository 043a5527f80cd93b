#include "core/crypto/secretstream.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/crypto/key_use.h"

namespace forge::crypto {

namespace {

constexpr std::size_t kHeaderSize = crypto_secretstream_xchacha20poly1305_HEADERBYTES;
constexpr std::size_t kOverhead = crypto_secretstream_xchacha20poly1305_ABYTES;
constexpr std::size_t kChunk = 8192;
constexpr std::size_t kStoredChunk = kChunk + kOverhead;
constexpr std::uint8_t kMessage = crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
constexpr std::uint8_t kFinal = crypto_secretstream_xchacha20poly1305_TAG_FINAL;

// The cipher's state holds key material, so it is wiped.
struct State {
    crypto_secretstream_xchacha20poly1305_state raw{};
    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { sodium_memzero(&raw, sizeof raw); }
};

class Encryptor final : public Sink {
public:
    Encryptor(const Key& key, std::unique_ptr<Sink> next) : key_(key), next_(std::move(next)) {}

    Status write(ByteView data) override {
        FORGE_TRY(start());
        if (filled_ > 0) {
            const std::size_t n = std::min(data.size(), kChunk - filled_);
            std::memcpy(plain_.data() + filled_, data.data(), n);
            filled_ += n;
            data = data.subspan(n);
            if (filled_ < kChunk) return {};
            FORGE_TRY(push(plain_, kMessage));
            filled_ = 0;
        }
        for (; data.size() >= kChunk; data = data.subspan(kChunk)) FORGE_TRY(push(data.first(kChunk), kMessage));
        if (!data.empty()) std::memcpy(plain_.data(), data.data(), data.size());
        filled_ = data.size();
        return {};
    }

    // Always shorter than a chunk, even empty: WAL-G takes a full last message for a missing end.
    Status finish() override {
        FORGE_TRY(start());
        FORGE_TRY(push(ByteView(plain_).first(filled_), kFinal));
        return next_->finish();
    }

private:
    // The header goes out with the first byte: an object that fails before has nothing written.
    Status start() {
        if (started_) return {};
        started_ = true;
        std::array<std::uint8_t, kHeaderSize> header{};
        crypto_secretstream_xchacha20poly1305_init_push(&state_.raw, header.data(), key_.data());
        return next_->write(header);
    }

    Status push(ByteView plain, std::uint8_t tag) {
        unsigned long long size = 0;
        crypto_secretstream_xchacha20poly1305_push(&state_.raw, stored_.data(), &size, plain.data(), plain.size(),
                                                   nullptr, 0, tag);
        return next_->write(ByteView(stored_).first(static_cast<std::size_t>(size)));
    }

    Key key_;
    std::unique_ptr<Sink> next_;
    State state_;
    std::array<std::uint8_t, kChunk> plain_{};
    std::array<std::uint8_t, kStoredChunk> stored_{};
    std::size_t filled_ = 0;
    bool started_ = false;
};

Status corrupt(std::string message) { return Status(Kind::kCorrupt, std::move(message)); }

class Decryptor final : public Source {
public:
    Decryptor(const KeyRing& ring, std::unique_ptr<Source> next) : ring_(ring), next_(std::move(next)) {}

    Result<std::size_t> read(MutableBytes buffer) override {
        while (at_ == plain_size_) {
            if (finished_) return std::size_t{0};
            // Straight into the caller's buffer where a whole chunk fits: nothing is written before it is
            // authenticated.
            if (buffer.size() >= kChunk) {
                FORGE_ASSIGN(const std::size_t n, next_message(buffer.data()));
                if (n > 0) return n;
                continue;
            }
            FORGE_ASSIGN(plain_size_, next_message(plain_.data()));
            at_ = 0;
        }
        const std::size_t n = std::min(buffer.size(), plain_size_ - at_);
        std::memcpy(buffer.data(), plain_.data() + at_, n);
        at_ += n;
        return n;
    }

private:
    // Decrypts one message to `out` (room for a chunk); sets finished_ with the final one.
    Result<std::size_t> next_message(std::uint8_t* out) {
        const bool first = position_ == 0;
        if (first) FORGE_TRY(read_header());
        FORGE_ASSIGN(const std::size_t stored, read_full(*next_, stored_));
        if (stored == 0) return corrupt("encrypted object is cut off: it ends without final message after " + place());
        if (stored < kOverhead) return corrupt("encrypted object is cut off: incomplete message after " + place());
        std::uint8_t tag = 0;
        if (first) {
            FORGE_TRY(open_first(out, stored, tag));
        } else if (!pull(out, stored, tag)) {
            return corrupt("encrypted object is damaged or cut off in the message after " + place());
        }
        position_ += stored;
        // read_full() returned less than it could: the object ends here, and only the final message may be last.
        const bool last = stored < kStoredChunk;
        if (last && tag != kFinal) return corrupt("encrypted object is cut off: its last message is not the final one");
        if (!last && tag != kMessage) return corrupt("encrypted object has an unexpected message before " + place());
        finished_ = last;
        return stored - kOverhead;
    }

    Status read_header() {
        if (ring_.empty()) {
            return Status(Kind::kInvalid, "object cannot be decrypted without a key",
                          "Configure the key it was encrypted with.");
        }
        FORGE_ASSIGN(const std::size_t size, read_full(*next_, header_));
        if (size < kHeaderSize) {
            return corrupt("object of " + std::to_string(size) + " bytes is too short to be an encrypted one");
        }
        position_ = size;
        return {};
    }

    Status open_first(std::uint8_t* out, std::size_t stored, std::uint8_t& tag) {
        for (const Key& key : ring_.keys()) {
            if (crypto_secretstream_xchacha20poly1305_init_pull(&state_.raw, header_.data(), key.data()) == 0 &&
                pull(out, stored, tag)) {
                note_opened(key.fingerprint());
                return {};
            }
        }
        return corrupt(describe_failed_keys());
    }

    bool pull(std::uint8_t* out, std::size_t stored, std::uint8_t& tag) {
        return crypto_secretstream_xchacha20poly1305_pull(&state_.raw, out, nullptr, &tag, stored_.data(), stored,
                                                          nullptr, 0) == 0;
    }

    // A wrong key and a damaged first message cannot be told apart.
    std::string describe_failed_keys() const {
        std::string fingerprints;
        for (const Key& key : ring_.keys()) {
            if (!fingerprints.empty()) fingerprints += ", ";
            fingerprints += key.fingerprint();
        }
        const std::size_t count = ring_.keys().size();
        const std::string keys =
            count == 1 ? "the configured key (" + fingerprints + ")"
                       : "any of the " + std::to_string(count) + " configured keys (" + fingerprints + ")";
        return "object cannot be decrypted with " + keys + ": another key, not encrypted, or damaged";
    }

    std::string place() const { return "byte " + std::to_string(position_); }

    KeyRing ring_;
    std::unique_ptr<Source> next_;
    State state_;
    std::array<std::uint8_t, kHeaderSize> header_{};
    std::array<std::uint8_t, kStoredChunk> stored_{};
    std::array<std::uint8_t, kChunk> plain_{};
    std::size_t plain_size_ = 0;
    std::size_t at_ = 0;
    std::uint64_t position_ = 0;  // bytes of the object that were taken, header included
    bool finished_ = false;
};

class DecryptingSink final : public Sink {
public:
    DecryptingSink(const Key& key, std::unique_ptr<Sink> next) : key_(key), next_(std::move(next)) {}

    Status write(ByteView data) override {
        while (!data.empty()) {
            // A full message is opened only when more comes: the last one is always shorter.
            if (filled_ == wanted()) FORGE_TRY(take(kMessage));
            const std::size_t n = std::min(data.size(), wanted() - filled_);
            std::memcpy(stored_.data() + filled_, data.data(), n);
            filled_ += n;
            data = data.subspan(n);
            if (!started_ && filled_ == kHeaderSize) FORGE_TRY(start());
        }
        return {};
    }
    Status finish() override {
        if (!started_ || filled_ < kOverhead || filled_ == kStoredChunk)
            return corrupt("encrypted object is cut off: it ends without final message");
        FORGE_TRY(take(kFinal));
        return next_->finish();
    }

private:
    std::size_t wanted() const { return started_ ? kStoredChunk : kHeaderSize; }
    Status start() {
        if (crypto_secretstream_xchacha20poly1305_init_pull(&state_.raw, stored_.data(), key_.data()) != 0)
            return corrupt("encrypted object has a wrong header");
        started_ = true;
        filled_ = 0;
        return {};
    }
    Status take(std::uint8_t wanted_tag) {
        std::uint8_t tag = 0;
        if (crypto_secretstream_xchacha20poly1305_pull(&state_.raw, plain_.data(), nullptr, &tag, stored_.data(),
                                                       filled_, nullptr, 0) != 0 ||
            tag != wanted_tag)
            return corrupt("encrypted object cannot be decrypted with key " + key_.fingerprint());
        const ByteView plain = ByteView(plain_).first(filled_ - kOverhead);
        filled_ = 0;
        return plain.empty() ? Status() : next_->write(plain);
    }

    Key key_;
    std::unique_ptr<Sink> next_;
    State state_;
    std::array<std::uint8_t, kStoredChunk> stored_{};
    std::array<std::uint8_t, kChunk> plain_{};
    std::size_t filled_ = 0;
    bool started_ = false;
};

}  // namespace

static_assert(kBeginning == kHeaderSize + kStoredChunk && kSmallestObject == kHeaderSize + kOverhead);

std::unique_ptr<Sink> encryptor(const Key& key, std::unique_ptr<Sink> next) {
    return std::make_unique<Encryptor>(key, std::move(next));
}

std::unique_ptr<Source> decryptor(const KeyRing& ring, std::unique_ptr<Source> next) {
    return std::make_unique<Decryptor>(ring, std::move(next));
}

std::unique_ptr<Sink> decrypting_sink(const Key& key, std::unique_ptr<Sink> next) {
    return std::make_unique<DecryptingSink>(key, std::move(next));
}

const Key* key_of_beginning(const KeyRing& ring, ByteView beginning) {
    if (beginning.size() < kSmallestObject) return nullptr;
    const ByteView rest = beginning.subspan(kHeaderSize);
    const ByteView message = rest.first(std::min(rest.size(), kStoredChunk));
    std::array<std::uint8_t, kChunk> plain{};
    for (const Key& key : ring.keys()) {
        State state;
        std::uint8_t tag = 0;
        if (crypto_secretstream_xchacha20poly1305_init_pull(&state.raw, beginning.data(), key.data()) == 0 &&
            crypto_secretstream_xchacha20poly1305_pull(&state.raw, plain.data(), nullptr, &tag, message.data(),
                                                       message.size(), nullptr, 0) == 0)
            return &key;
    }
    return nullptr;
}

}  // namespace forge::crypto
