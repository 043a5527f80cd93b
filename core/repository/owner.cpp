#include "core/repository/owner.h"

#include <sodium.h>

#include <array>

#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::repository {

namespace {

using layout::json_string;
using layout::JsonValue;

constexpr int kFormat = 1;
constexpr std::size_t kLargestRecord = 64 << 10;
// For the other one of two clusters that claim at the same moment in a store without conditional writes.
constexpr milliseconds kSettling{1000};

std::string quoted_key() { return "object " + quoted(kOwnerKey); }

// What a later version may demand of everybody who uses the prefix; this one knows of nothing yet.
Status check_requirements(const JsonValue& list) {
    return list.each_element([](const JsonValue& element) -> Status {
        std::string feature;
        FORGE_TRY(element.read(feature));
        return Status(Kind::kInvalid, quoted_key() + " requires " + quoted(feature) + ", which this version lacks",
                      "Use a newer version of forge_backup for this storage.");
    });
}

Status read_member(const JsonValue& member, OwnerRecord& record, int& format) {
    if (member.name() == "format") return member.read(format);
    if (member.name() == "requires") return check_requirements(member);
    if (member.name() == "id") return member.read(record.id);
    if (member.name() == "system_identifier") return member.read(record.cluster.system_identifier);
    if (member.name() == "cluster_name") return member.read(record.cluster.cluster_name);
    if (member.name() == "namespace") return member.read(record.cluster.name_space);
    if (member.name() == "created_by") return member.read(record.created_by);
    if (member.name() == "created_at") return member.read(record.created_at);
    return {};
}

bool differ(const std::string& one, const std::string& other) { return !one.empty() && !other.empty() && one != other; }

std::string hint_for(const Identity& owner, const Identity& us) {
    const std::string way_out =
        " If it is to take over what is there, call forge_backup.adopt_prefix() or \"forge-backup adopt-prefix\".";
    if (owner.system_identifier == us.system_identifier)
        return "This server is a copy of that cluster: give it a prefix of its own." + way_out;
    if (!us.cluster_name.empty() && owner.cluster_name == us.cluster_name)
        return "An earlier cluster of the same name left its archive here: use a new prefix." + way_out;
    return "Give this cluster a prefix of its own." + way_out;
}

}  // namespace

std::string describe(const Identity& identity) {
    std::string text = "system identifier " + std::to_string(identity.system_identifier);
    if (!identity.cluster_name.empty()) text += ", cluster name " + quoted(identity.cluster_name);
    if (!identity.name_space.empty()) text += ", namespace " + quoted(identity.name_space);
    return text;
}

bool is_same_cluster(const Identity& one, const Identity& other) {
    return one.system_identifier == other.system_identifier && !differ(one.cluster_name, other.cluster_name) &&
           !differ(one.name_space, other.name_space);
}

OwnerRecord new_owner(const Identity& cluster, std::string created_by) {
    std::array<std::uint8_t, 16> random{};
    randombytes_buf(random.data(), random.size());
    return {cluster, to_hex(random), std::move(created_by), SystemClock().now()};
}

std::string owner_json(const OwnerRecord& record) {
    return "{\"format\":" + std::to_string(kFormat) + ",\"requires\":[],\"id\":" + json_string(record.id, false) +
           ",\"system_identifier\":" + std::to_string(record.cluster.system_identifier) +
           ",\"cluster_name\":" + json_string(record.cluster.cluster_name, false) +
           ",\"namespace\":" + json_string(record.cluster.name_space, false) +
           ",\"created_by\":" + json_string(record.created_by, false) + ",\"created_at\":\"" +
           format_rfc3339(record.created_at) + "\"}\n";
}

Result<OwnerRecord> parse_owner(std::string_view json) {
    FORGE_ASSIGN(const JsonValue object, JsonValue::parse_object(json, quoted_key()));
    OwnerRecord record;
    int format = 0;
    const Status read =
        object.each_member([&](const JsonValue& member) { return read_member(member, record, format); });
    if (!read.ok()) return read.is(Kind::kCorrupt) ? read.with_context(quoted_key()) : read;
    if (format > kFormat)
        return Status(Kind::kInvalid,
                      quoted_key() + " has format " + std::to_string(format) + ", this version knows up to " +
                          std::to_string(kFormat),
                      "Use a newer version of forge_backup for this storage.");
    if (format < 1 || record.id.empty() || record.cluster.system_identifier == 0)
        return Status(Kind::kCorrupt, quoted_key() + " lacks its format, its id or the system identifier",
                      "Call forge_backup.adopt_prefix() on the cluster that the storage belongs to.");
    return record;
}

Result<std::optional<OwnerRecord>> read_owner(store::ObjectStore& store, const store::CallContext& context) {
    auto source = store.get(std::string(kOwnerKey), std::nullopt, context);
    if (!source.ok() && source.status().is(Kind::kNotFound)) return std::optional<OwnerRecord>();
    if (!source.ok()) return source.status();
    FORGE_ASSIGN(const std::string text, read_all_text(**source, kLargestRecord));
    FORGE_ASSIGN(OwnerRecord record, parse_owner(text));
    return std::optional(std::move(record));
}

Result<std::optional<OwnerRecord>> owner_for_reading(store::ObjectStore& store, const store::CallContext& context) {
    auto record = read_owner(store, context);
    if (!record.ok() && (record.status().is(Kind::kCorrupt) || record.status().is(Kind::kDenied)))
        return std::optional<OwnerRecord>();
    return record;
}

Result<OwnerRecord> claim(store::ObjectStore& store, const OwnerRecord& wanted, const store::CallContext& context) {
    const std::string json = owner_json(wanted);
    FORGE_ASSIGN(const store::PutOutcome outcome, store.put_if_absent(std::string(kOwnerKey), as_bytes(json), context));
    if (outcome == store::PutOutcome::kStored) {
        if (store.features().conditional_put) return wanted;
        // Both of two that looked at the same moment have written: the last one has won, which both see now.
        if (store::cancel_of(context).wait_for(kSettling)) return store::cancel_of(context).check();
    }
    FORGE_ASSIGN(std::optional<OwnerRecord> holds, read_owner(store, context));
    if (!holds)
        return Status(Kind::kUnavailable, quoted_key() + " was there a moment ago and is gone",
                      "Keep other programs from removing it.");
    return *std::move(holds);
}

Result<Adoption> adopt(store::ObjectStore& store, const Identity& cluster, const std::string& created_by,
                       const store::CallContext& context) {
    Adoption adoption{std::nullopt, new_owner(cluster, created_by)};
    auto before = read_owner(store, context);
    // One that cannot be read is replaced; one of a later version is not ours to judge.
    if (!before.ok() && !before.status().is(Kind::kCorrupt)) return before.status();
    if (before.ok()) adoption.before = *std::move(before);
    if (adoption.before && is_same_cluster(adoption.before->cluster, cluster)) {
        adoption.after.id = adoption.before->id;
        if (adoption.before->cluster == cluster) adoption.after = *adoption.before;
    }
    const std::string json = owner_json(adoption.after);
    FORGE_TRY(store.put(std::string(kOwnerKey), as_bytes(json), context));
    return adoption;
}

Status foreign_prefix(const std::string& url, const Identity& owner, const Identity& us) {
    return Status(Kind::kForeign,
                  "storage " + quoted(url) + " belongs to another cluster (" + describe(owner) + "), this one is " +
                      describe(us),
                  hint_for(owner, us));
}

}  // namespace forge::repository
