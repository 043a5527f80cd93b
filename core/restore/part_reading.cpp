#include "core/restore/part_reading.h"

namespace forge::restore {
namespace {

class CountingSource final : public Source {
public:
    CountingSource(std::unique_ptr<Source> next, std::uint64_t& count) : next_(std::move(next)), count_(count) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        auto size = next_->read(buffer);
        if (size.ok()) count_ += *size;
        return size;
    }

private:
    std::unique_ptr<Source> next_;
    std::uint64_t& count_;
};

}  // namespace

Result<std::unique_ptr<Source>> PartReading::open(repository::Repository& repository, const std::string& key,
                                                  codec::Method method, const store::CallContext& context) {
    if (record_ == nullptr) return repository.open_object(key, method, context);
    std::unique_ptr<Source> source;
    if (record_->of_tar_stream) {
        FORGE_ASSIGN(source, repository.open_object(key, method, context));
        return std::unique_ptr<Source>(std::make_unique<backup::DigestSource>(std::move(source), tar_));
    }
    FORGE_ASSIGN(source, repository.open_compressed(key, context));
    source = std::make_unique<backup::DigestSource>(std::move(source), compressed_);
    FORGE_ASSIGN(source, repository::Repository::decompress(key, method, std::move(source)));
    return std::unique_ptr<Source>(std::make_unique<CountingSource>(std::move(source), tar_.size));
}

Status PartReading::compare() {
    if (record_ == nullptr) return {};
    if (tar_.size != record_->plain_size)
        return Status(Kind::kCorrupt, "holds " + std::to_string(tar_.size) + " bytes instead of " +
                                          std::to_string(record_->plain_size));
    backup::StreamDigest& digest = record_->of_tar_stream ? tar_ : compressed_;
    if (digest.hash.finish() != record_->sha256)
        return Status(Kind::kCorrupt, "its content is not what the backup's manifest says");
    return {};
}

}  // namespace forge::restore
