#include "core/store/object_store.h"

#include "core/base/text.h"

namespace forge::store {

Status check_key(const std::string& key) {
    bool good = !key.empty();
    for (const std::string& part : split(key, '/')) {
        if (part.empty() || part == "." || part == "..") good = false;
    }
    if (key.find('\0') != std::string::npos) good = false;
    if (good) return {};
    return Status(Kind::kInvalid, "invalid object key " + quoted(key));
}

Status check_context(const CallContext& context) {
    if (context.cancel != nullptr) FORGE_TRY(context.cancel->check());
    if (context.deadline.passed()) return Status(Kind::kTimeout, "the time allowed for this call has passed");
    return {};
}

const CancelToken& cancel_of(const CallContext& context) {
    static const CancelToken never;
    return context.cancel != nullptr ? *context.cancel : never;
}

Result<std::vector<ObjectInfo>> list_all(ObjectStore& store, const std::string& prefix, const CallContext& context) {
    std::vector<ObjectInfo> objects;
    FORGE_TRY(store.list(
        prefix,
        [&objects](const ObjectInfo& object) {
            objects.push_back(object);
            return true;
        },
        context));
    return objects;
}

}  // namespace forge::store
