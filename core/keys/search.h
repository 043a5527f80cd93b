// Are old keys of the ring still needed? A fact about the store: for each old key an object is looked for that it
// opens. As long as that object is there one request for its first bytes answers the question; only when it is gone
// others are looked at, oldest WAL first, which is where the next one is. An old key that is no longer needed costs one
// look at every object, once.
#pragma once

#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::keys {

struct OldKey {
    enum class Need { kUnknown, kYes, kNo };
    std::string fingerprint;
    Need need = Need::kUnknown;
    std::string object;  // with kYes: one that only this key opens
};

std::string_view need_name(OldKey::Need need);  // "unknown", "yes", "no"

struct SearchOptions {
    int jobs = 2;
    std::uint64_t most_objects = UINT64_MAX;  // more are not looked at: kUnknown is the answer then
};

struct SearchResult {
    std::vector<OldKey> keys;   // in the order of the ring
    std::uint64_t objects = 0;  // that were looked at
};

// `known`: what an earlier search found; old keys that are not in it count as unknown. Success with an empty list where
// there is no old key.
Result<SearchResult> find_old_keys(repository::Repository& repository, const std::vector<OldKey>& known,
                                   const SearchOptions& options, const store::CallContext& context);

}  // namespace forge::keys
