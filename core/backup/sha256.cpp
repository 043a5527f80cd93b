#include "core/backup/sha256.h"


#include <new>

#include "core/base/libcrypto.h"

namespace forge::backup {

struct Sha256::Context {
    EVP_MD_CTX* raw = EVP_MD_CTX_new();
    Context() {
        if (raw == nullptr) throw std::bad_alloc();
    }
    ~Context() { EVP_MD_CTX_free(raw); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    void start() {
        if (EVP_DigestInit_ex(raw, EVP_sha256(), nullptr) != 1) throw std::bad_alloc();
    }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) { context_->start(); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(ByteView data) { EVP_DigestUpdate(context_->raw, data.data(), data.size()); }

Digest Sha256::finish() {
    Digest digest{};
    EVP_DigestFinal_ex(context_->raw, digest.data(), nullptr);
    context_->start();
    return digest;
}

Digest sha256(ByteView data) {
    Sha256 hash;
    hash.update(data);
    return hash.finish();
}

}  // namespace forge::backup
