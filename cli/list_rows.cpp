#include "cli/list_rows.h"

#include "core/base/text.h"

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

// Segment of the last byte the backup needs, with the segment size that its name and start position tell; empty =
// unknown.
std::string finish_segment(const repository::BackupEntry& backup) {
    if (!backup.sentinel.finish_lsn || !backup.sentinel.start_lsn || *backup.sentinel.finish_lsn == 0) return {};
    for (std::uint64_t size = 1ULL << 20; size <= (1ULL << 30); size <<= 1) {
        const auto first = layout::parse_segment(backup.start_segment, size);
        if (!first || (*backup.sentinel.start_lsn / size != first->number &&
                       (*backup.sentinel.start_lsn - 1) / size != first->number))
            continue;
        return layout::segment_name({first->timeline, (*backup.sentinel.finish_lsn - 1) / size}, size);
    }
    return {};
}

}  // namespace

Result<std::string> why_not_restorable(repository::Repository& repository, const repository::BackupEntry& backup,
                                       const store::CallContext& context) {
    if (!backup.problem.empty()) return backup.problem;
    if (backup.sentinel.is_delta()) return std::string("delta backups cannot be restored by this version");
    std::vector<std::string> needed{backup.start_segment};
    if (std::string last = finish_segment(backup); !last.empty() && last != backup.start_segment)
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
        FORGE_ASSIGN(const std::string reason, why_not_restorable(repository, backup, context));
        rows.push_back({backup.name, time_field(backup.modified), backup.start_segment, time_field(sentinel.start_time),
                        time_field(sentinel.finish_time), lsn_field(sentinel.start_lsn), lsn_field(sentinel.finish_lsn),
                        std::to_string(backup.timeline()), sentinel.is_delta() ? "delta" : "full",
                        text_field(sentinel.delta_from), std::to_string(sentinel.uncompressed_size),
                        std::to_string(sentinel.compressed_size), sentinel.is_permanent ? "t" : "f",
                        reason.empty() ? "t" : "f", text_field(reason)});
    }
    return rows;
}

}  // namespace forge::cli
