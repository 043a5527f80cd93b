#include "core/restore/recovery_settings.h"

#include <algorithm>
#include <array>

#include "core/backup/control_file.h"
#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::restore {
namespace {

using Setting = std::pair<std::string, std::string>;

constexpr std::size_t kConfigLimit = 16 << 20;
constexpr std::array<std::string_view, 5> kTargetNames{"recovery_target", "recovery_target_time", "recovery_target_lsn",
                                                       "recovery_target_xid", "recovery_target_name"};

// Where recovery stops; nothing = at the end of the WAL.
std::optional<Setting> target_setting(const Plan& plan) {
    const Target& target = plan.target;
    if (!plan.exact) {
        // A time is reached only when something later is in the WAL; a position is reached by the record that starts
        // there.
        if (plan.reached_lsn) return Setting{"recovery_target_lsn", format_lsn(*plan.reached_lsn)};
        if (plan.reached_time) return Setting{"recovery_target_time", format_postgres(*plan.reached_time)};
        return std::nullopt;
    }
    switch (target.type) {
        case Target::Type::kLatest: return std::nullopt;
        case Target::Type::kImmediate: return Setting{"recovery_target", "immediate"};
        case Target::Type::kTime: return Setting{"recovery_target_time", format_postgres(target.time)};
        case Target::Type::kLsn: return Setting{"recovery_target_lsn", format_lsn(target.lsn)};
        case Target::Type::kXid: return Setting{"recovery_target_xid", std::to_string(target.xid)};
        case Target::Type::kName: return Setting{"recovery_target_name", target.name};
    }
    return std::nullopt;
}

bool knows_inclusive(const std::string& name) {
    return name == "recovery_target_time" || name == "recovery_target_lsn" || name == "recovery_target_xid";
}

// The plan's timeline, not "latest": what was planned is what recovery shall follow, whatever is archived meanwhile.
std::string timeline_setting(const Plan& plan) {
    // Where the backup ended on another timeline than it began on, "current" may be either.
    const bool one = plan.backup.finish_timeline() == plan.backup.timeline();
    if ((plan.target.timeline == "current" && one) || plan.timeline == plan.backup.timeline()) return "current";
    return plan.timeline > 0 ? std::to_string(plan.timeline) : "latest";
}

// As the server writes postgresql.auto.conf itself: quotes and backslashes doubled.
std::string config_line(const Setting& setting) {
    std::string line = setting.first + " = '";
    for (const char c : setting.second) {
        if (c == '\'' || c == '\\') line += c;
        line += c;
    }
    return line + "'\n";
}

Status check_values(const std::vector<Setting>& settings) {
    for (const auto& [name, value] : settings)
        if (value.find_first_of(std::string_view("\n\r\0", 3)) != std::string::npos)
            return Status(Kind::kInvalid, "value of " + quoted(name) + " must not contain a newline");
    return {};
}

std::string setting_name(std::string_view line) {
    const std::string_view text = trim(line);
    const auto end = std::find_if_not(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    });
    return to_lower(text.substr(0, static_cast<std::size_t>(end - text.begin())));
}

// Lines of an earlier recovery would win over, or contradict, the new ones.
std::string without_recovery_lines(const std::string& config) {
    std::string kept;
    for (const std::string& line : split(config, '\n')) {
        const std::string name = setting_name(line);
        if (name.starts_with("recovery_target") || name == "restore_command") continue;
        kept += line;
        kept += '\n';
    }
    while (kept.ends_with("\n\n")) kept.pop_back();
    return kept == "\n" ? std::string() : kept;
}

// Targets that postgresql.conf may set come first and empty: the server refuses two of them, and clears the one it has
// at an empty value.
std::string recovery_section(const Plan& plan, const RecoveryOptions& options) {
    std::string section = "# recovery of backup " + plan.backup.name + ", written by forge-backup\n";
    const auto target = target_setting(plan);
    for (const std::string_view name : kTargetNames)
        if (!target || target->first != name) section += config_line({std::string(name), ""});
    for (const Setting& setting : recovery_settings(plan, options)) {
        if (setting.first == "archive_mode")
            section += "# a restored copy must not write into the archive it came from; remove the next line to "
                       "archive again\n";
        section += config_line(setting);
    }
    return section;
}

Result<std::string> read_if_there(const std::string& path) {
    if (!path_exists(path)) return std::string();
    return read_file(path, kConfigLimit);
}

// Recovery refuses to start with lower values than the primary's.
Status write_minimal_config(const std::string& directory, const backup::ControlFile& control, Logger& logger) {
    const std::vector<Setting> settings{
        {"max_connections", std::to_string(control.max_connections)},
        {"max_worker_processes", std::to_string(control.max_worker_processes)},
        {"max_wal_senders", std::to_string(control.max_wal_senders)},
        {"max_prepared_transactions", std::to_string(control.max_prepared_xacts)},
        {"max_locks_per_transaction", std::to_string(control.max_locks_per_xact)},
        {"track_commit_timestamp", control.track_commit_timestamp ? "on" : "off"},
        {"listen_addresses", "localhost"},
    };
    std::string text =
        "# The backup has no postgresql.conf: the server kept it outside its data directory. This one, written by\n"
        "# forge-backup, holds what recovery demands; replace it by your own.\n";
    for (const Setting& setting : settings) text += config_line(setting);
    logger.log(LogLevel::kNotice, "the backup has no postgresql.conf, a minimal one is written");
    return write_file_durably(join_path(directory, "postgresql.conf"), as_bytes(text));
}

Status write_if_absent(const std::string& path, std::string_view text) {
    if (path_exists(path)) return {};
    return write_file_durably(path, as_bytes(text));
}

Status write_missing_config(const std::string& directory, const backup::ControlFile& control, Logger& logger) {
    if (!path_exists(join_path(directory, "postgresql.conf")))
        FORGE_TRY(write_minimal_config(directory, control, logger));
    FORGE_TRY(write_if_absent(
        join_path(directory, "pg_hba.conf"),
        "# The backup has no pg_hba.conf. This one, written by forge-backup, lets local users in under their\n"
        "# own names and nobody from elsewhere.\n"
        "local all all peer\n"));
    return write_if_absent(join_path(directory, "pg_ident.conf"), "");
}

}  // namespace

std::vector<Setting> recovery_settings(const Plan& plan, const RecoveryOptions& options) {
    std::vector<Setting> settings{{"restore_command", options.restore_command},
                                  {"recovery_target_timeline", timeline_setting(plan)}};
    if (const auto target = target_setting(plan)) {
        settings.push_back(*target);
        if (knows_inclusive(target->first))
            settings.emplace_back("recovery_target_inclusive", plan.exact && !plan.target.inclusive ? "off" : "on");
        settings.emplace_back("recovery_target_action", options.target_action);
    }
    if (options.archive_off) settings.emplace_back("archive_mode", "off");
    return settings;
}

Status write_recovery_settings(const std::string& directory, const backup::ControlFile& control, const Plan& plan,
                               const RecoveryOptions& options, Logger& logger) {
    FORGE_TRY(check_values(recovery_settings(plan, options)));
    if (options.minimal_config) FORGE_TRY(write_missing_config(directory, control, logger));
    const std::string path = join_path(directory, "postgresql.auto.conf");
    FORGE_ASSIGN(const std::string old, read_if_there(path));
    const std::string text = without_recovery_lines(old) + recovery_section(plan, options);
    FORGE_TRY(write_file_durably(path, as_bytes(text)));
    FORGE_CRASH_POINT("restore-before-signal");
    FORGE_TRY(remove_file(join_path(directory, "standby.signal")));
    return write_file_durably(join_path(directory, "recovery.signal"), {});
}

}  // namespace forge::restore
