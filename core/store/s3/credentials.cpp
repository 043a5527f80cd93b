#include "core/store/s3/credentials.h"

#include <algorithm>

#include "core/base/text.h"
#include "core/store/s3/signer.h"

namespace forge::store::s3 {

namespace {

constexpr milliseconds kPoll{50};
constexpr milliseconds kAhead{5 * 60 * 1000};     // before the expiry, at least: AWS has new ones by then
constexpr milliseconds kShortestUse{1000};        // of credentials that come expired
constexpr milliseconds kAfterFailure{30 * 1000};  // until a renewal that failed is tried again
constexpr milliseconds kAfterRefusal{60 * 1000};  // a refusal for other reasons than expiry seldom means new keys
constexpr milliseconds kSilence{5 * 1000};        // many threads ask the same
constexpr milliseconds kReadAgain{60 * 1000};     // keys without expiry, which are in a file that may change

bool same_keys(const S3Credentials& a, const S3Credentials& b) {
    return a.access_key_id == b.access_key_id && a.secret_access_key == b.secret_access_key &&
           a.session_token == b.session_token;
}

}  // namespace

milliseconds CredentialProvider::jittered(milliseconds span) const {
    return span + milliseconds(static_cast<std::int64_t>(static_cast<double>(span.count()) * random_()));
}

bool CredentialProvider::is_usable(const CredentialQuestion& question) const {
    const Steady::time_point now = Steady::now();
    if (!current_ || now >= expires_at_) return false;
    if (question.refused == nullptr || !same_keys(*question.refused, current_->keys)) return true;
    return !question.expired && now - issued_at_ < kAfterRefusal;
}

void CredentialProvider::keep(IssuedCredentials issued) {
    const Steady::time_point now = Steady::now();
    issued_at_ = now;
    expires_at_ = Steady::time_point::max();
    issued.keys.ask_again = now + kReadAgain;
    if (issued.lifetime) {
        const milliseconds left = std::max(*issued.lifetime, kShortestUse);
        expires_at_ = now + left;
        issued.keys.ask_again = now + left - std::min(jittered(kAhead), left / 2);
    }
    issued.keys.source = issued.source;
    current_ = std::move(issued);
    failure_ = {};
}

Result<S3Credentials> CredentialProvider::outcome() const {
    if (!failure_.ok()) return failure_;
    return current_->keys;
}

Result<S3Credentials> CredentialProvider::settle(Result<IssuedCredentials> issued, const CredentialQuestion& question) {
    if (issued.ok()) {
        ++rounds_;
        keep(std::move(issued).value());
        return current_->keys;
    }
    const bool first = failure_.ok();
    // Who was told to stop, or had little time, says nothing about the source.
    const bool own = issued.status().is(Kind::kCancelled) || question.context.deadline.passed();
    if (own) {
        if (is_usable(question)) return current_->keys;
        return issued.status();
    }
    ++rounds_;
    if (is_usable(question)) {
        const milliseconds left = std::chrono::duration_cast<milliseconds>(
            std::min(expires_at_ - Steady::now(), Steady::duration(std::chrono::hours(1))));
        current_->keys.ask_again = Steady::now() + std::min(jittered(kAfterFailure), left / 2 + milliseconds(1));
        if (first && question.logger != nullptr) {
            question.logger->warning(
                "could not renew the credentials of the store, the old ones are used while they are "
                "valid: " +
                issued.status().to_string());
        }
        failure_ = issued.status();
        return current_->keys;
    }
    failure_ = issued.status();
    silent_until_ = Steady::now() + (failure_.retryable() ? milliseconds(0) : jittered(kSilence));
    return failure_;
}

Result<S3Credentials> CredentialProvider::get(const CredentialPlaces& places, const CredentialQuestion& question) {
    std::unique_lock lock(mutex_);
    if (!(places == places_)) {
        places_ = places;
        current_.reset();
        failure_ = {};
        silent_until_ = {};
    }
    const std::uint64_t seen = rounds_;
    while (true) {
        if (is_usable(question) && (asking_ || Steady::now() < current_->keys.ask_again)) return current_->keys;
        if (rounds_ != seen && places == places_ && (current_ || !failure_.ok())) return outcome();
        if (!failure_.ok() && Steady::now() < silent_until_) return failure_;
        if (!asking_) break;
        FORGE_TRY(check_context(question.context));
        done_.wait_for(lock, kPoll);
    }
    asking_ = true;
    const bool answered_before = current_.has_value();
    lock.unlock();
    Result<IssuedCredentials> issued = fetch_credentials(places, question, answered_before);
    lock.lock();
    asking_ = false;
    done_.notify_all();
    if (places == places_) return settle(std::move(issued), question);
    FORGE_TRY(issued.status());
    return issued->keys;
}

std::string CredentialProvider::describe() const {
    const std::lock_guard lock(mutex_);
    std::string text;
    if (current_) {
        text = current_->source + ", access key fingerprint " +
               sha256_hex(as_bytes(current_->keys.access_key_id)).substr(0, 8);
        if (current_->expires) text += ", expires " + format_human(*current_->expires);
    }
    if (!failure_.ok()) text += (text.empty() ? "" : ", not renewed: ") + failure_.message();
    return text;
}

}  // namespace forge::store::s3
