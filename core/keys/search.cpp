#include "core/keys/search.h"

#include <algorithm>
#include <mutex>

#include "core/keys/objects.h"
#include "core/layout/names.h"

namespace forge::keys {

namespace {

using Need = OldKey::Need;

class Search {
public:
    Search(repository::Repository& repository, const SearchOptions& options, const store::CallContext& context)
        : store_(repository.store()), ring_(repository.settings().keys), options_(options), context_(context) {}

    Result<SearchResult> run(const std::vector<OldKey>& known) {
        take_old_keys();
        FORGE_TRY(ask_for_known(known));
        bool all_seen = true;
        for (const std::string_view folder : kFoldersOfEncrypted) {
            if (is_answered()) return std::move(result_);
            FORGE_TRY(each_batch(store_, folder, context_, [&](const auto& batch) { return look(batch, all_seen); }));
        }
        for (OldKey& key : result_.keys)
            if (key.need == Need::kUnknown && all_seen) key.need = Need::kNo;
        return std::move(result_);
    }

private:
    void take_old_keys() {
        for (const crypto::Key& key : ring_.keys()) {
            const std::string& fingerprint = key.fingerprint();
            if (fingerprint != ring_.active().fingerprint() && find(fingerprint) == nullptr)
                result_.keys.push_back({fingerprint, Need::kUnknown, {}});
        }
    }

    OldKey* find(const std::string& fingerprint) {
        const auto at = std::find_if(result_.keys.begin(), result_.keys.end(),
                                     [&](const OldKey& key) { return key.fingerprint == fingerprint; });
        return at == result_.keys.end() ? nullptr : &*at;
    }

    bool is_answered() const {
        return std::all_of(result_.keys.begin(), result_.keys.end(),
                           [](const OldKey& key) { return key.need == Need::kYes; });
    }

    Status ask_for_known(const std::vector<OldKey>& known) {
        for (const OldKey& before : known) {
            if (before.object.empty() || find(before.fingerprint) == nullptr) continue;
            store::ObjectInfo object;
            object.key = before.object;
            object.size = SIZE_MAX;  // not known, and of no matter
            FORGE_TRY(look_at(object, context_));
        }
        return {};
    }

    Result<bool> look(const std::vector<store::ObjectInfo>& batch, bool& all_seen) {
        // The oldest one decides most searches; the rest need not be asked for then.
        for (std::size_t at = 0; at < batch.size();) {
            if (is_answered()) return false;
            if (result_.objects >= options_.most_objects) return all_seen = false;
            const auto jobs = static_cast<std::size_t>(std::max(1, options_.jobs));
            const std::uint64_t left = options_.most_objects - result_.objects;
            const std::size_t count = std::min<std::uint64_t>({batch.size() - at, at == 0 ? jobs : jobs * 16, left});
            const auto from = batch.begin() + static_cast<std::ptrdiff_t>(at);
            const std::vector<store::ObjectInfo> some(from, from + static_cast<std::ptrdiff_t>(count));
            FORGE_TRY(in_parallel(some, options_.jobs, context_, [this](const auto& object, const auto& context) {
                return look_at(object, context);
            }));
            at += count;
        }
        return true;
    }

    Status look_at(const store::ObjectInfo& object, const store::CallContext& context) {
        const auto found = find_key(store_, ring_, object, context);
        if (found.status().is(Kind::kNotFound)) return {};
        // An empty object has no first byte to ask for.
        if (!found.ok() && !(found.status().is(Kind::kInvalid) && object.size == SIZE_MAX)) return found.status();
        const std::lock_guard lock(mutex_);
        ++result_.objects;
        if (!found.ok() || found->key == nullptr) return {};
        OldKey* const key = find(found->key->fingerprint());
        if (key == nullptr || key->need == Need::kYes) return {};
        key->need = Need::kYes;
        key->object = object.key;
        return {};
    }

    store::ObjectStore& store_;
    const crypto::KeyRing& ring_;
    const SearchOptions& options_;
    const store::CallContext& context_;
    std::mutex mutex_;
    SearchResult result_;
};

}  // namespace

std::string_view need_name(Need need) {
    switch (need) {
        case Need::kUnknown: return "unknown";
        case Need::kYes: return "yes";
        case Need::kNo: return "no";
    }
    return "unknown";
}

Result<SearchResult> find_old_keys(repository::Repository& repository, const std::vector<OldKey>& known,
                                   const SearchOptions& options, const store::CallContext& context) {
    return Search(repository, options, context).run(known);
}

}  // namespace forge::keys
