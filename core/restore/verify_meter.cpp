#include "core/restore/verify_meter.h"

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

class MeteredStore final : public store::ObjectStore {
public:
    MeteredStore(store::ObjectStore& next, const Meter& meter) : next_(next), meter_(meter) {}

    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<store::ByteRange> range,
                                        const store::CallContext& context) override {
        FORGE_ASSIGN(auto source, next_.get(key, range, context));
        return std::unique_ptr<Source>(std::make_unique<MeteredSource>(std::move(source), meter_));
    }

    std::string url() const override { return next_.url(); }
    store::StoreFeatures features() override { return next_.features(); }
    Result<store::ObjectInfo> head(const std::string& key, const store::CallContext& context) override {
        return next_.head(key, context);
    }
    Status put(const std::string& key, ByteView content, const store::CallContext& context) override {
        return next_.put(key, content, context);
    }
    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override {
        return next_.put_if_absent(key, content, context);
    }
    Result<std::unique_ptr<Sink>> create(const std::string& key, const store::CallContext& context) override {
        return next_.create(key, context);
    }
    Status list(const std::string& prefix, const std::function<bool(const store::ObjectInfo&)>& visit,
                const store::CallContext& context) override {
        return next_.list(prefix, visit, context);
    }
    Status list_after(const std::string& prefix, const std::string& start_after,
                      const std::function<bool(const store::ObjectInfo&)>& visit,
                      const store::CallContext& context) override {
        return next_.list_after(prefix, start_after, visit, context);
    }
    Result<Folder> list_folder(const std::string& prefix, const store::CallContext& context) override {
        return next_.list_folder(prefix, context);
    }
    Status remove(const std::vector<std::string>& keys, const store::CallContext& context) override {
        return next_.remove(keys, context);
    }
    Result<int> remove_leftovers(const std::string& prefix, seconds age, const store::CallContext& context) override {
        return next_.remove_leftovers(prefix, age, context);
    }

private:
    store::ObjectStore& next_;
    Meter meter_;
};

}  // namespace

std::shared_ptr<store::ObjectStore> metered(store::ObjectStore& next, const Meter& meter) {
    return std::make_shared<MeteredStore>(next, meter);
}

}  // namespace forge::restore
