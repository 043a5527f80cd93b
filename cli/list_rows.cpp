#include "cli/list_rows.h"

#include "core/base/text.h"
#include "core/layout/json_text.h"
#include "core/repository/chain.h"
#include "core/restore/named_points.h"
#include "core/wal/timelines.h"

namespace forge::cli {

namespace {

std::optional<std::string> time_field(Instant at) {
    if (at.nanos == 0) return std::nullopt;
    return format_postgres(at);
}
std::optional<std::string> lsn_field(const std::optional<Lsn>& lsn) {
    if (!lsn) return std::nullopt;
    return format_lsn(*lsn);
}
std::optional<std::string> text_field(const std::string& text) {
    if (text.empty()) return std::nullopt;
    return text;
}

// Whether the archive has the segment under any extension.
Result<bool> has_segment(repository::Repository& repository, const std::string& name,
                         const store::CallContext& context) {
    bool found = false;
    FORGE_TRY(repository.store().list(
        std::string(layout::kWalFolder) + name,
        [&](const store::ObjectInfo& object) {
            const auto parsed = layout::parse_wal_key(object.key);
            found = parsed && parsed->kind == layout::WalKind::kSegment && parsed->name == name;
            return !found;
        },
        context));
    return found;
}

}  // namespace

Result<std::string> why_not_restorable(repository::Repository& repository,
                                       const std::vector<repository::BackupEntry>& backups,
                                       const repository::BackupEntry& backup, const store::CallContext& context) {
    // metadata.json says nothing that a restore needs.
    if (!backup.readable) return backup.problem;
    if (repository::has_lost_its_parent(backup)) return std::string("its sentinel does not say what it builds on");
    if (const auto chain = repository::chain_of(backups, backup); !chain.ok()) return chain.status().message();
    const std::uint64_t size = wal::segment_size_of(backup).value_or(0);
    std::vector<std::string> needed{backup.start_segment};
    if (size != 0)
        if (std::string last = wal::last_segment_of(backup, size); !last.empty() && last != backup.start_segment)
            needed.push_back(std::move(last));
    for (const std::string& name : needed) {
        FORGE_ASSIGN(const bool there, has_segment(repository, name, context));
        if (!there) return "WAL segment " + quoted(name) + " is not in the archive";
    }
    return std::string();
}

Result<std::vector<Row>> backup_rows(repository::Repository& repository, const store::CallContext& context) {
    FORGE_ASSIGN(const std::vector<repository::BackupEntry> backups, repository.list_backups(context));
    std::vector<Row> rows;
    for (const repository::BackupEntry& backup : backups) {
        const layout::Sentinel& sentinel = backup.sentinel;
        FORGE_ASSIGN(const std::string reason, why_not_restorable(repository, backups, backup, context));
        rows.push_back({backup.name, time_field(backup.modified), backup.start_segment, time_field(sentinel.start_time),
                        time_field(sentinel.finish_time), lsn_field(sentinel.start_lsn), lsn_field(sentinel.finish_lsn),
                        std::to_string(backup.timeline()), sentinel.is_delta() ? "delta" : "full",
                        text_field(sentinel.delta_from), std::to_string(sentinel.uncompressed_size),
                        std::to_string(sentinel.compressed_size), sentinel.is_permanent ? "t" : "f",
                        reason.empty() ? "t" : "f", text_field(reason)});
    }
    return rows;
}

std::string backup_json(const repository::BackupEntry& backup, bool detail) {
    const std::string json = "{\"backup_name\":" + layout::json_string(backup.name, true) + ",\"time\":\"" +
                             format_rfc3339(backup.modified, 9) + "\",\"wal_file_name\":\"" + backup.start_segment +
                             "\",\"storage_name\":\"default\"";
    if (!detail) return json + "}";
    return json + "," + layout::metadata_json(backup.sentinel).substr(1);
}

std::vector<Row> retention_rows(const retention::RetentionPlan& plan) {
    std::vector<Row> rows;
    for (const retention::Verdict& verdict : plan.backups)
        rows.push_back({verdict.backup, verdict.keep ? "t" : "f", verdict.reason, std::to_string(verdict.objects),
                        std::to_string(verdict.bytes)});
    const auto& wal = plan.deletion.wal;
    if (wal.empty()) return rows;
    const auto base_of = [](const std::string& key) { return key.substr(key.rfind('/') + 1); };
    rows.push_back(
        {std::nullopt, "f",
         "no backup that stays needs this WAL, from " + base_of(wal.front()->key) + " to " + base_of(wal.back()->key),
         std::to_string(wal.size() + plan.deletion.restore_points.size()),
         std::to_string(plan.deletion.wal_bytes() + plan.deletion.restore_points_bytes())});
    return rows;
}

Result<std::vector<Row>> restore_point_rows(repository::Repository& repository, const store::CallContext& context,
                                            Logger& logger) {
    FORGE_ASSIGN(const std::vector<restore::NamedPoint> points, restore::named_points(repository, context, logger));
    std::vector<Row> rows;
    for (const restore::NamedPoint& point : points)
        rows.push_back({point.name, time_field(point.time), format_lsn(point.lsn), std::to_string(point.timeline),
                        text_field(point.backup)});
    return rows;
}

}  // namespace forge::cli
