#include "cli/plan_rows.h"

#include <array>
#include <cstdio>

#include "core/base/text.h"
#include "core/restore/recovery_settings.h"

namespace forge::cli {

namespace {

using restore::Plan;
using restore::Target;
using Type = restore::Target::Type;

std::string yes_no(bool value) { return value ? "yes" : "no"; }

std::string time_or_empty(const Instant& at) { return at.nanos == 0 ? std::string() : format_postgres(at); }

std::string target_word(const Target& target) {
    switch (target.type) {
        case Type::kLatest: return {};
        case Type::kImmediate: return "--target=immediate";
        case Type::kTime: return "--target-time=" + format_postgres(target.time);
        case Type::kLsn: return "--target-lsn=" + format_lsn(target.lsn);
        case Type::kXid: return "--target-xid=" + std::to_string(target.xid);
        case Type::kName: return "--target-name=" + target.name;
    }
    return {};
}

std::string joined(const std::vector<std::string>& words, std::size_t limit) {
    std::string text;
    for (std::size_t i = 0; i < words.size() && i < limit; ++i) text += (i == 0 ? "" : ", ") + words[i];
    if (words.size() > limit) text += ", … (" + std::to_string(words.size()) + " in all)";
    return text;
}

std::string lineage_text(const Plan& plan) {
    std::string text;
    for (const Timeline timeline : plan.lineage) text += (text.empty() ? "" : " -> ") + std::to_string(timeline);
    return text;
}

// The element after "spilo/" in the prefix names the cluster there ("s3://bucket/spilo/site-cluster/wal/15").
std::string cluster_of(const std::string& storage) {
    constexpr std::string_view kMark = "/spilo/";
    const std::size_t at = storage.find(kMark);
    if (at == std::string::npos) return "NAME-OF-THE-SOURCE-CLUSTER";
    const std::size_t begin = at + kMark.size();
    return storage.substr(begin, storage.find('/', begin) - begin);
}

// RFC 3339 with a numeric offset, the only form the operator takes.
std::string operator_time(const Instant& at) {
    std::string text = format_rfc3339(at, 6);
    if (text.ends_with('Z')) text.replace(text.size() - 1, 1, "+00:00");
    return text;
}

// The section of a Postgres resource that makes the operator clone to this target; empty where it cannot be said that
// way.
std::string clone_section(const Plan& plan, const settings::Settings& settings) {
    if (settings.kind != settings::StorageKind::kS3) return {};
    std::optional<Instant> moment = plan.reached_time;
    if (plan.exact && plan.target.type == Type::kTime) moment = plan.target.time;
    if (!moment) return {};
    std::string text = "clone:\n  cluster: \"" + cluster_of(settings.storage) + "\"\n  timestamp: \"" +
                       operator_time(*moment) + "\"\n  s3_wal_path: \"" + settings.storage + "\"\n";
    if (!settings.s3.endpoint.empty()) text += "  s3_endpoint: \"" + settings.s3.endpoint + "\"\n";
    if (settings.s3.path_style) text += "  s3_force_path_style: true\n";
    return text;
}

std::string chain_text(const restore::Estimate& estimate) {
    std::string text;
    for (const std::string& name : estimate.chain) text += (text.empty() ? "" : " -> ") + name;
    return text;
}

std::string minutes_text(double seconds) {
    if (seconds <= 0) return {};
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.2f", seconds / 60);
    return text.data();
}

// Where the rates are from, so that nobody takes an assumption for a measurement.
std::string basis_text(const restore::Estimate& estimate) {
    if (estimate.seconds <= 0) return {};
    const auto rate = [](double bytes) { return format_size(static_cast<std::uint64_t>(bytes)) + "/s"; };
    return "measured now: backup " + rate(estimate.rates.backup) + ", WAL " + rate(estimate.rates.wal) +
           ", a restore_command " + std::to_string(static_cast<int>(estimate.rates.command * 1000)) +
           " ms; assumed: writing " + rate(restore::Rates::kWrite) + ", replay " + rate(restore::Rates::kReplay);
}

// What a restore without --nearest says, or one of a chain that is not whole.
std::string refusal_text(const Plan& plan, const restore::Estimate& estimate) {
    if (!estimate.refused.ok()) return estimate.refused.message();
    return plan.exact ? std::string() : "without --nearest: " + plan.inexact_reason;
}

}  // namespace

Result<Target> parse_target(const std::string& type, const std::string& value, const std::string& timeline,
                            const std::string& backup, bool inclusive) {
    Target target;
    target.inclusive = inclusive;
    target.backup = backup;
    if (!timeline.empty()) target.timeline = timeline;
    if (target.timeline != "latest" && target.timeline != "current" &&
        parse_number<Timeline>(target.timeline).value_or(0) == 0)
        return Status(Kind::kInvalid, "invalid target timeline " + quoted(target.timeline),
                      "Use \"latest\", \"current\" or a number.");
    if (type.empty() || type == "latest") return target;
    if (type == "immediate") {
        target.type = Type::kImmediate;
    } else if (type == "time") {
        target.type = Type::kTime;
        FORGE_ASSIGN(target.time, parse_time(value));
    } else if (type == "lsn") {
        target.type = Type::kLsn;
        const std::optional<Lsn> lsn = parse_lsn(value);
        if (!lsn) return Status(Kind::kInvalid, "invalid target LSN " + quoted(value), "Use the form \"0/3000028\".");
        target.lsn = *lsn;
    } else if (type == "xid") {
        target.type = Type::kXid;
        const auto xid = parse_number<std::uint32_t>(value);
        if (!xid || *xid < 3)
            return Status(Kind::kInvalid, "invalid target transaction id " + quoted(value), "Use a number from 3 on.");
        target.xid = *xid;
    } else if (type == "name") {
        target.type = Type::kName;
        if (value.empty() || value.size() > 63)
            return Status(Kind::kInvalid, "invalid name of a restore point " + quoted(value), "Use 1 to 63 bytes.");
        target.name = value;
    } else {
        return Status(Kind::kInvalid, "invalid type of target " + quoted(type),
                      "Use latest, immediate, time, lsn, xid or name.");
    }
    return target;
}

std::string describe_target(const Target& target) {
    switch (target.type) {
        case Type::kLatest: return "the end of the archived WAL";
        case Type::kImmediate: return "the end of the backup";
        case Type::kTime: return "time " + format_postgres(target.time);
        case Type::kLsn: return "LSN " + format_lsn(target.lsn);
        case Type::kXid: return "transaction " + std::to_string(target.xid);
        case Type::kName: return "restore point " + quoted(target.name);
    }
    return {};
}

std::string restore_command_text(const CommandParts& parts) {
    std::string text = shell_quoted(parts.executable) + " wal-fetch";
    for (const std::string& word : parts.words) text += " " + shell_quoted(word);
    std::string doubled;
    for (const char c : text) doubled += c == '%' ? std::string("%%") : std::string(1, c);
    return doubled + " %f %p";
}

std::string ready_command(const Plan& plan, const CommandParts& parts) {
    std::string text = shell_quoted(parts.executable) + " restore";
    for (const std::string& word : parts.words) text += " " + shell_quoted(word);
    text += " " + shell_quoted("--target-dir=" + parts.target_directory);
    if (const std::string word = target_word(plan.target); !word.empty()) text += " " + shell_quoted(word);
    if (!plan.target.inclusive) text += " --exclusive";
    if (!plan.target.backup.empty()) text += " " + shell_quoted("--backup=" + plan.target.backup);
    if (plan.target.timeline != "latest") text += " --target-timeline=" + plan.target.timeline;
    if (!plan.exact) text += " --nearest";
    if (parts.target_action != "promote") text += " --target-action=" + parts.target_action;
    return text;
}

std::vector<NameValue> plan_rows(const Plan& plan, const restore::Estimate& estimate,
                                 const settings::Settings& settings, const CommandParts& parts) {
    const layout::Sentinel& sentinel = plan.backup.sentinel;
    std::vector<NameValue> rows{
        {"storage", settings.storage},
        {"backup", plan.backup.name},
        {"backup_start_time", time_or_empty(sentinel.start_time)},
        {"backup_finish_time", time_or_empty(sentinel.finish_time)},
        {"backup_size", format_size(sentinel.uncompressed_size)},
        {"backup_chain", chain_text(estimate)},
        {"server_version", sentinel.pg_version > 0 ? std::to_string(sentinel.pg_version / 10000) : std::string()},
        {"timelines", lineage_text(plan)},
        {"first_segment", plan.first_segment},
        {"last_segment", plan.last_segment},
        {"segments", std::to_string(plan.segments)},
        {"backup_fetch_bytes", std::to_string(estimate.backup_bytes)},
        {"wal_fetch_bytes", std::to_string(estimate.wal_bytes)},
        {"estimated_minutes", minutes_text(estimate.seconds)},
        {"estimate_basis", basis_text(estimate)},
        {"missing_segments", joined(plan.missing_segments, 20)},
        {"target", describe_target(plan.target)},
        {"exact", yes_no(plan.exact)},
        {"inexact_reason", plan.inexact_reason},
        {"refused", refusal_text(plan, estimate)},
        {"reached_time", plan.reached_time ? format_postgres(*plan.reached_time) : std::string()},
        {"reached_lsn", plan.reached_lsn ? format_lsn(*plan.reached_lsn) : std::string()},
    };
    restore::RecoveryOptions recovery;
    recovery.restore_command = restore_command_text(parts);
    recovery.target_action = parts.target_action;
    for (auto& setting : restore::recovery_settings(plan, recovery)) rows.push_back(std::move(setting));
    rows.emplace_back("command", ready_command(plan, parts));
    if (std::string section = clone_section(plan, settings); !section.empty())
        rows.emplace_back("clone", std::move(section));
    return rows;
}

std::vector<NameValue> window_rows(const restore::Window& window) {
    const auto time = [](const std::optional<Instant>& at) { return at ? format_postgres(*at) : std::string(); };
    const auto lsn = [](const std::optional<Lsn>& at) { return at ? format_lsn(*at) : std::string(); };
    return {{"earliest_time", time(window.earliest)}, {"earliest_lsn", lsn(window.earliest_lsn)},
            {"earliest_backup", window.backup},       {"latest_time", time(window.latest)},
            {"latest_lsn", lsn(window.latest_lsn)}};
}

}  // namespace forge::cli
