#include "core/store/metered_store.h"

#include "core/store/forwarding_store.h"

namespace forge::store {
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

class MeteredStore final : public ForwardingStore {
public:
    MeteredStore(ObjectStore& store, const Meter& meter) : ForwardingStore(store), meter_(meter) {}

    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<ByteRange> range,
                                        const CallContext& context) override {
        FORGE_ASSIGN(auto source, next().get(key, range, context));
        return std::unique_ptr<Source>(std::make_unique<MeteredSource>(std::move(source), meter_));
    }

private:
    Meter meter_;
};

}  // namespace

std::shared_ptr<ObjectStore> metered(ObjectStore& next, const Meter& meter) {
    return std::make_shared<MeteredStore>(next, meter);
}

}  // namespace forge::store
