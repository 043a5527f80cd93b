// Whose prefix this is. One JSON object beside basebackups_005/ and wal_005/ says which cluster writes here; everybody
// else keeps away (docs/format.md, "The owner record"). WAL-G ignores it.
//
// The record is made once, by the first cluster that finds the prefix without one, and replaced only by adopt().
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/store/object_store.h"

namespace forge::repository {

inline constexpr std::string_view kOwnerKey = "forge_owner.json";

// What tells one cluster from another. A copy has the system identifier of its source, hence the names.
struct Identity {
    std::uint64_t system_identifier = 0;  // 0 = not known
    std::string cluster_name;             // setting cluster_name; empty = none
    std::string name_space;               // of Kubernetes; empty = none
    bool operator==(const Identity&) const = default;
};
// 'system identifier 7…, cluster name "shop", namespace "prod"'.
std::string describe(const Identity& identity);
// The same system identifier, and no name that both have and that differs.
bool is_same_cluster(const Identity& one, const Identity& other);

struct OwnerRecord {
    Identity cluster;
    std::string id;          // 32 hex digits, random: two records are never the same by accident
    std::string created_by;  // program and version
    Instant created_at;
};
OwnerRecord new_owner(const Identity& cluster, std::string created_by);
std::string owner_json(const OwnerRecord& record);
// Ignores members it does not know. kInvalid for a record that requires something this version does not know, kCorrupt
// for what is no record.
Result<OwnerRecord> parse_owner(std::string_view json);

// Nothing when the store says that there is none.
Result<std::optional<OwnerRecord>> read_owner(store::ObjectStore& store, const store::CallContext& context);
// For those who only read: fails where the record requires what this version lacks, and where the store does not
// answer. A record that is damaged or may not be read is no reason to refuse a restore; it counts as none.
Result<std::optional<OwnerRecord>> owner_for_reading(store::ObjectStore& store, const store::CallContext& context);
// Makes `wanted` the record unless there is one; the record that holds afterwards, maybe somebody else's.
Result<OwnerRecord> claim(store::ObjectStore& store, const OwnerRecord& wanted, const store::CallContext& context);

struct Adoption {
    std::optional<OwnerRecord> before;  // nothing: there was none, or none that can be read
    OwnerRecord after;
};
// Makes the prefix that of `cluster`, whoever had it. The id stays where it was this cluster's already.
Result<Adoption> adopt(store::ObjectStore& store, const Identity& cluster, const std::string& created_by,
                       const store::CallContext& context);

// kForeign, with both identities and what to do.
Status foreign_prefix(const std::string& url, const Identity& owner, const Identity& us);

}  // namespace forge::repository
