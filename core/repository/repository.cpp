#include "core/repository/repository.h"

#include <algorithm>

#include "core/base/measurement.h"
#include "core/base/text.h"
#include "core/codec/codec.h"
#include "core/crypto/secretstream.h"
#include "core/store/local_store.h"

namespace forge::repository {

namespace {

constexpr std::size_t kLargestWalText = 1 << 20;

// Names the object in errors of the filters, which do not know it; the store's own messages name it already.
class NamedSource final : public Source {
public:
    NamedSource(std::unique_ptr<Source> next, std::string key) : next_(std::move(next)), key_(std::move(key)) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        Result<std::size_t> got = next_->read(buffer);
        if (got.ok() || got.status().message().find(key_) != std::string::npos) return got;
        return got.status().with_context(key_);
    }

private:
    std::unique_ptr<Source> next_;
    std::string key_;
};

}  // namespace

Result<std::unique_ptr<Repository>> Repository::open(const settings::Settings& settings, Logger& logger) {
    if (settings.kind == settings::StorageKind::kOff) {
        return Status(Kind::kInvalid, "no storage is configured",
                      "Set \"storage\", or WALG_S3_PREFIX or WALG_FILE_PREFIX in the env directory.");
    }
    std::shared_ptr<store::ObjectStore> store;
    if (settings.kind == settings::StorageKind::kDirectory) {
        FORGE_ASSIGN(store, store::open_local_store(settings.directory));
    } else {
        FORGE_ASSIGN(store, store::open_s3_store(settings.s3, logger));
    }
    return std::make_unique<Repository>(std::move(store), settings);
}

Repository::Repository(std::shared_ptr<store::ObjectStore> store, const settings::Settings& settings)
    : store_(std::move(store)), settings_(settings), keys_(settings.keys), last_method_(settings.compression) {}

void Repository::use_keys(crypto::KeyRing keys) {
    const std::lock_guard lock(mutex_);
    keys_ = std::move(keys);
}

crypto::KeyRing Repository::keys() const {
    const std::lock_guard lock(mutex_);
    return keys_;
}

Result<std::unique_ptr<Sink>> Repository::create(const std::string& key, codec::Method method,
                                                 const store::CallContext& context, std::uint64_t* stored) {
    FORGE_ASSIGN(std::unique_ptr<Sink> object, create_compressed(key, context, stored));
    return compress(method, std::move(object));
}

Result<std::unique_ptr<Sink>> Repository::create_compressed(const std::string& key, const store::CallContext& context,
                                                            std::uint64_t* stored) {
    FORGE_ASSIGN(std::unique_ptr<Sink> sink, store_->create(key, context));
    sink = timed(std::move(sink), Stage::kStore);
    if (stored != nullptr) sink = std::make_unique<CountingSink>(std::move(sink), *stored);
    return encrypt(std::move(sink));
}

std::unique_ptr<Sink> Repository::encrypt(std::unique_ptr<Sink> next) const {
    const crypto::KeyRing ring = keys();
    if (ring.empty()) return next;
    return timed(crypto::encryptor(ring.active(), std::move(next)), Stage::kEncryption);
}

Result<std::unique_ptr<Sink>> Repository::pack(codec::Method method, std::unique_ptr<Sink> into) const {
    return compress(method, encrypt(std::move(into)));
}

Result<std::unique_ptr<Sink>> Repository::compress(codec::Method method, std::unique_ptr<Sink> next) const {
    const auto checksum = keys().empty() ? codec::ContentChecksum::kYes : codec::ContentChecksum::kNo;
    FORGE_ASSIGN(auto sink, codec::compressor(method, level_of(method), std::move(next), checksum));
    return timed(std::move(sink), Stage::kCompression);
}

Result<std::unique_ptr<codec::PieceCompressor>> Repository::compress_piece(codec::Method method,
                                                                           std::unique_ptr<Sink> next,
                                                                           std::uint64_t offset) const {
    return codec::piece_compressor(method, level_of(method), std::move(next), offset);
}

// The level is one of the configured method; another method (of base backups) has other levels.
std::optional<int> Repository::level_of(codec::Method method) const {
    return method == settings_.compression ? settings_.compression_level : std::nullopt;
}

Result<std::unique_ptr<Source>> Repository::open_object(const std::string& key, codec::Method method,
                                                        const store::CallContext& context) {
    FORGE_ASSIGN(std::unique_ptr<Source> compressed, open_compressed(key, context));
    return decompress(key, method, std::move(compressed));
}

Result<std::unique_ptr<Source>> Repository::open_compressed(const std::string& key, const store::CallContext& context) {
    std::unique_ptr<Source> source;
    {
        const StageScope scope(Stage::kStore);
        FORGE_ASSIGN(source, store_->get(key, std::nullopt, context));
    }
    source = timed(std::move(source), Stage::kStore);
    if (const crypto::KeyRing ring = keys(); !ring.empty())
        source = timed(crypto::decryptor(ring, std::move(source)), Stage::kEncryption);
    return source;
}

Result<std::unique_ptr<Source>> Repository::decompress(const std::string& key, codec::Method method,
                                                       std::unique_ptr<Source> compressed) {
    auto plain = codec::decompressor(method, std::move(compressed));
    if (!plain.ok()) return plain.status().with_context(key);
    auto source = timed(std::move(plain).value(), Stage::kCompression);
    return std::unique_ptr<Source>(std::make_unique<NamedSource>(std::move(source), key));
}

Result<WalListing> Repository::list_wal(const store::CallContext& context) {
    WalListing listing;
    const auto visit = [&listing](const store::ObjectInfo& object) {
        auto file = layout::parse_wal_key(object.key);
        if (!file) return true;
        switch (file->kind) {
            case layout::WalKind::kSegment: listing.segments.push_back(std::move(file->name)); break;
            case layout::WalKind::kHistory: listing.histories.push_back(std::move(file->name)); break;
            case layout::WalKind::kPartial: listing.partials.push_back(std::move(file->name)); break;
            case layout::WalKind::kBackupHistory: listing.backup_histories.push_back(std::move(file->name)); break;
        }
        return true;
    };
    FORGE_TRY(store_->list(std::string(layout::kWalFolder), visit, context));
    for (auto* names : {&listing.segments, &listing.histories, &listing.partials, &listing.backup_histories}) {
        // One file may be there in two methods.
        std::sort(names->begin(), names->end());
        names->erase(std::unique(names->begin(), names->end()), names->end());
    }
    return listing;
}

std::vector<codec::Method> Repository::methods_to_try() const {
    std::vector<codec::Method> methods{settings_.compression};
    const auto add = [&methods](codec::Method method) {
        if (std::find(methods.begin(), methods.end(), method) == methods.end()) methods.push_back(method);
    };
    add(last_method_.load(std::memory_order_relaxed));
    for (const codec::Method method : codec::readable_methods()) add(method);
    return methods;
}

Result<std::unique_ptr<Source>> Repository::open_wal(const std::string& name, const store::CallContext& context) {
    if (!layout::classify_wal_name(name)) {
        return Status(Kind::kInvalid, quoted(name) + " is not the name of a WAL file");
    }
    for (const codec::Method method : methods_to_try()) {
        auto source = open_object(layout::wal_key(name, method), method, context);
        if (source.ok()) last_method_.store(method, std::memory_order_relaxed);
        if (source.ok() || !source.status().is(Kind::kNotFound)) return source;
    }
    return Status(Kind::kNotFound, "WAL file " + quoted(name) + " is not in " + store_->url());
}

Result<std::string> Repository::read_wal_text(const std::string& name, const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source, open_wal(name, context));
    return read_all_text(*source, kLargestWalText);
}

}  // namespace forge::repository
