#include "core/repository/mark.h"

#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::repository {

namespace {

constexpr std::size_t kLargestJson = 64 << 20;  // user data is the only member without a natural bound
constexpr std::string_view kMember = "is_permanent";

Result<std::string> read_plain(store::ObjectStore& store, const std::string& key, const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source, store.get(key, std::nullopt, context));
    return read_all_text(*source, kLargestJson);
}

Result<std::string> metadata_from_sentinel(Repository& repository, const std::string& name,
                                           const store::CallContext& context) {
    const std::string key = layout::sentinel_key(name);
    FORGE_ASSIGN(const std::string json, read_plain(repository.store(), key, context));
    auto sentinel = layout::parse_sentinel(json);
    if (!sentinel.ok()) return sentinel.status().with_context(key);
    return layout::metadata_json(*sentinel);
}

}  // namespace

Result<std::string> with_permanence(std::string_view metadata_json, bool permanent) {
    FORGE_ASSIGN(const layout::JsonValue object, layout::JsonValue::parse_object(metadata_json, "metadata"));
    const std::string_view wanted = permanent ? "true" : "false";
    std::string text;
    bool found = false;
    const char* rest = object.text().data();
    const char* const end = rest + object.text().size();
    FORGE_TRY(object.each_member([&](const layout::JsonValue& member) -> Status {
        // Readers take names in any case, and the last one where a name comes twice: all of them are changed.
        if (to_lower(member.name()) != kMember) return {};
        found = true;
        text.append(rest, member.text().data()).append(wanted);
        rest = member.text().data() + member.text().size();
        return {};
    }));
    text.append(rest, end);
    if (found) return text;
    const bool empty = trim(object.text().substr(1, object.text().size() - 2)).empty();
    text.pop_back();
    return text + (empty ? "" : ",") + "\"" + std::string(kMember) + "\":" + std::string(wanted) + "}";
}

Status mark_permanent(Repository& repository, const std::string& name, bool permanent,
                      const store::CallContext& context) {
    const std::string key = layout::metadata_key(name);
    auto before = read_plain(repository.store(), key, context);
    const bool missing = before.status().is(Kind::kNotFound);
    if (missing) before = metadata_from_sentinel(repository, name, context);
    if (!before.ok()) return before.status();
    auto after = with_permanence(*before, permanent);
    if (!after.ok()) return after.status().with_context(key);
    if (!missing && *after == *before) return {};
    return repository.store().put(key, as_bytes(*after), context);
}

}  // namespace forge::repository
