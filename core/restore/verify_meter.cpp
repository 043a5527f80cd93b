#include "core/restore/verify_meter.h"

#include "core/store/forwarding_store.h"

namespace forge::restore {
namespace {

class MeteredSource final : public Source {
public:
    MeteredSource(std::unique_ptr<Source> next, const Meter& meter) : next_(std::move(next)), meter_(meter) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        auto size = next_->read(buffer);
        if (!size.ok()) return size;
        meter_.bytes += *size;
        if (!meter_.limit.acquire(*size, meter_.cancel)) return Status(Kind::kCancelled, "canceled");
        return size;
    }

private:
    std::unique_ptr<Source> next_;
    Meter meter_;
};

class MeteredStore final : public store::ForwardingStore {
public:
    MeteredStore(store::ObjectStore& store, const Meter& meter) : ForwardingStore(store), meter_(meter) {}

    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<store::ByteRange> range,
                                        const store::CallContext& context) override {
        FORGE_ASSIGN(auto source, next().get(key, range, context));
        return std::unique_ptr<Source>(std::make_unique<MeteredSource>(std::move(source), meter_));
    }

private:
    Meter meter_;
};

}  // namespace

std::shared_ptr<store::ObjectStore> metered(store::ObjectStore& next, const Meter& meter) {
    return std::make_shared<MeteredStore>(next, meter);
}

}  // namespace forge::restore
