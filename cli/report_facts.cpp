#include "cli/report_facts.h"

#include "cli/common.h"
#include "cli/version.h"
#include "core/report/facts_json.h"
#include "core/report/wal_summary.h"
#include "core/repository/chain.h"
#include "core/repository/owner.h"
#include "core/restore/named_points.h"
#include "core/restore/target.h"
#include "core/wal/timelines.h"

namespace forge::cli {

namespace {

using report::Facts;
using repository::BackupEntry;

// Deltas between the backup and its full one, itself included, and why it cannot be restored.
void follow_chain(report::Backup& backup, const BackupEntry& entry, const retention::Inventory& inventory,
                  const report::WalSummary& wal) {
    backup.depth = entry.sentinel.is_delta() ? std::max(1, entry.sentinel.delta_count) : 0;
    if (!entry.readable) {
        backup.problem = entry.problem;
        return;
    }
    if (repository::has_lost_its_parent(entry)) {
        backup.problem = "its sentinel does not say what it builds on";
        return;
    }
    const auto chain = repository::chain_of(inventory.backups, entry);
    if (!chain.ok()) {
        backup.problem = chain.status().message();
        return;
    }
    backup.depth = static_cast<int>(chain->size()) - 1;
    const std::uint64_t size = wal::segment_size_of(entry).value_or(inventory.segment_size);
    const auto first = layout::parse_segment(entry.start_segment, size);
    const auto last = layout::parse_segment(wal::last_segment_of(entry, size), size);
    if (first && !wal.covers(*first, last.value_or(*first)))
        backup.problem = "WAL that it needs is missing, from " + entry.start_segment + " to " +
                         layout::segment_name(last.value_or(*first), size);
}

report::Backup backup_of(const BackupEntry& entry) {
    const layout::Sentinel& sentinel = entry.sentinel;
    report::Backup backup;
    backup.name = entry.name;
    backup.parent = sentinel.delta_from;
    backup.start = sentinel.start_time;
    backup.finish = sentinel.finish_time != Instant{} ? sentinel.finish_time : entry.modified;
    backup.timeline = entry.timeline();
    backup.start_segment = entry.start_segment;
    backup.uncompressed = sentinel.uncompressed_size;
    backup.stored = sentinel.compressed_size;
    backup.permanent = sentinel.is_permanent;
    backup.user_data = sentinel.user_data;
    return backup;
}

report::WalSummary summarize_wal(const retention::Inventory& inventory) {
    report::WalSummary wal(inventory.segment_size);
    for (const retention::StoredObject& object : inventory.wal) {
        const auto file = layout::parse_wal_key(object.key);
        if (file && file->kind == layout::WalKind::kSegment) wal.add(file->name, object.size, object.modified);
    }
    return wal;
}

void add_backups(Facts& facts, const retention::Inventory& inventory, const report::WalSummary& wal,
                 const retention::RetentionPlan& plan) {
    std::map<std::string_view, const retention::Verdict*> verdicts;
    for (const retention::Verdict& verdict : plan.backups) verdicts[verdict.backup] = &verdict;
    for (const BackupEntry& entry : inventory.backups) {
        report::Backup backup = backup_of(entry);
        follow_chain(backup, entry, inventory, wal);
        if (const auto verdict = verdicts.find(entry.name); verdict != verdicts.end()) {
            backup.keep = verdict->second->keep;
            backup.reason = verdict->second->reason;
        }
        facts.backups.push_back(std::move(backup));
    }
}

// What a restore to now would do, and with it the recovery window.
void add_window(Facts& facts, repository::Repository& repository, const store::CallContext& context, Logger& logger) {
    const auto plan = restore::make_plan(repository, restore::Target{}, true, context, logger);
    if (!plan.ok()) {
        facts.next_restore.problem = plan.status().message();
        return;
    }
    facts.next_restore.backup = plan->backup.name;
    facts.next_restore.reached = plan->reached_time.value_or(Instant{});
    facts.next_restore.missing = plan->missing_segments;
    for (const report::Backup& backup : facts.backups) {
        if (!backup.problem.empty()) continue;
        facts.earliest = backup.finish;
        break;
    }
    facts.latest = std::max(facts.next_restore.reached, plan->backup.sentinel.finish_time);
}

Status add_restore_points(Facts& facts, repository::Repository& repository, const store::CallContext& context,
                          Logger& logger) {
    FORGE_ASSIGN(const auto points, restore::named_points(repository, context, logger));
    facts.restore_point_count = points.size();
    for (std::size_t i = points.size() - std::min(points.size(), report::kMostRestorePoints); i < points.size(); ++i)
        facts.restore_points.push_back(
            {points[i].name, points[i].time, points[i].lsn, points[i].timeline, points[i].backup});
    return {};
}

Status add_store(Facts& facts, repository::Repository& repository, retention::Policy policy,
                 const store::CallContext& context, Logger& logger) {
    FORGE_ASSIGN(const auto inventory, retention::take_inventory(repository, facts.now, context));
    FORGE_ASSIGN(const auto owner, repository::owner_for_reading(repository.store(), context));
    if (owner) facts.owner = repository::describe(owner->cluster);
    policy.retain = facts.retain = repository.settings().retain;
    const retention::RetentionPlan plan = retention::plan_by_policy(inventory, policy);
    facts.held = plan.held;
    facts.going_objects = plan.deletion.object_count();
    facts.going_bytes = plan.deletion.bytes();
    const report::WalSummary wal = summarize_wal(inventory);
    add_backups(facts, inventory, wal, plan);
    facts.wal = wal.finish(facts.backups, facts.now);
    if (!facts.backups.empty()) add_window(facts, repository, context, logger);
    return inventory.restore_points.empty() ? Status() : add_restore_points(facts, repository, context, logger);
}

}  // namespace

Facts facts_without_store(const Result<settings::Settings>& loaded) {
    Facts facts;
    facts.program = product();
    facts.now = SystemClock().now();
    if (!loaded.ok()) {
        facts.state = Facts::State::kError;
        facts.problem = loaded.status().message();
        facts.hint = loaded.status().hint();
        return facts;
    }
    if (loaded->kind == settings::StorageKind::kOff) facts.state = Facts::State::kOff;
    facts.storage = loaded->storage;
    for (const settings::Settings::Origin& origin : loaded->origins)
        facts.settings.push_back({origin.name, origin.value, origin.source});
    return facts;
}

void add_store_facts(Facts& facts, repository::Repository& repository, retention::Policy policy,
                     const store::CallContext& context, Logger& logger) {
    const Status read = add_store(facts, repository, std::move(policy), context, logger);
    if (read.ok()) return;
    facts.state = Facts::State::kError;
    facts.problem = read.message();
    facts.hint = read.hint();
}

void add_server_facts(Facts& facts, std::string_view json) {
    auto parsed = report::parse_server(json);
    if (parsed.ok())
        facts.server = std::move(parsed).value();
    else
        facts.server_problem = parsed.status().message();
}

}  // namespace forge::cli
