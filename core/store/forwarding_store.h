// A store that passes every call on to another one: what decorators are derived from, which change a call or two.
#pragma once

#include "core/store/object_store.h"

namespace forge::store {

class ForwardingStore : public ObjectStore {
public:
    explicit ForwardingStore(std::shared_ptr<ObjectStore> next) : next_(std::move(next)) {}
    // `next` outlives this one.
    explicit ForwardingStore(ObjectStore& next) : next_(std::shared_ptr<void>(), &next) {}

    std::string url() const override { return next_->url(); }
    StoreFeatures features() override { return next_->features(); }
    std::optional<StoreFeatures> known_features() override { return next_->known_features(); }
    Result<ObjectInfo> head(const std::string& key, const CallContext& context) override {
        return next_->head(key, context);
    }
    Result<std::unique_ptr<Source>> get(const std::string& key, std::optional<ByteRange> range,
                                        const CallContext& context) override {
        return next_->get(key, range, context);
    }
    Status put(const std::string& key, ByteView content, const CallContext& context) override {
        return next_->put(key, content, context);
    }
    Result<PutOutcome> put_if_absent(const std::string& key, ByteView content, const CallContext& context) override {
        return next_->put_if_absent(key, content, context);
    }
    Result<std::unique_ptr<Sink>> create(const std::string& key, const CallContext& context) override {
        return next_->create(key, context);
    }
    Result<std::unique_ptr<Sink>> replace(const ObjectInfo& expected, const CallContext& context) override {
        return next_->replace(expected, context);
    }
    Status list(const std::string& prefix, const std::function<bool(const ObjectInfo&)>& visit,
                const CallContext& context) override {
        return next_->list(prefix, visit, context);
    }
    Status list_after(const std::string& prefix, const std::string& start_after,
                      const std::function<bool(const ObjectInfo&)>& visit, const CallContext& context) override {
        return next_->list_after(prefix, start_after, visit, context);
    }
    Result<Folder> list_folder(const std::string& prefix, const CallContext& context) override {
        return next_->list_folder(prefix, context);
    }
    Status remove(const std::vector<std::string>& keys, const CallContext& context) override {
        return next_->remove(keys, context);
    }
    Result<int> remove_leftovers(const std::string& prefix, seconds age, const CallContext& context) override {
        return next_->remove_leftovers(prefix, age, context);
    }

protected:
    ObjectStore& next() { return *next_; }

private:
    std::shared_ptr<ObjectStore> next_;
};

}  // namespace forge::store
