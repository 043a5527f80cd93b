// forge-backup delete before|retain|target|everything|garbage …: WAL-G's command with its arguments (walg-format 9.4),
// and retention-policy, what the server does by itself. Without --confirm it only tells.
//
// Called as wal-g while a server deletes by itself, "before" and "retain" leave it to that: scripts made for WAL-G go
// on calling them. Only the running server knows; a variable could be as old as its container.
#include <array>
#include <cstdio>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/list_rows.h"
#include "cli/progress_line.h"
#include "cli/server_connection.h"
#include "core/backup/control_file.h"
#include "core/base/text.h"
#include "core/keys/rekey.h"
#include "core/layout/json_text.h"
#include "core/repository/user_data.h"
#include "core/retention/execute.h"

namespace forge::cli {

namespace {

using retention::DeletePlan;
using retention::DeleteResult;
using retention::Inventory;
using retention::Modifier;

struct Order {
    std::array<std::string, 3> words;  // what, and its arguments
    std::string after;
    std::string target_user_data;
    bool confirm = false;
    bool by_start_time = false;
    bool json = false;
};

// What is wrong with the words; empty = nothing.
std::string wrong_words(const Order& order) {
    const auto& [what, first, second] = order.words;
    const bool find_full = first == "FIND_FULL";
    if (what == "before") {
        if (first.empty() || (find_full && second.empty())) return "before: the name of a backup or a time is missing";
        if (!find_full && !second.empty()) return "before: argument " + quoted(second) + " is one too many";
    } else if (what == "retain") {
        const std::string& count = second.empty() ? first : second;
        if (!second.empty() && first != "FULL" && !find_full) return "retain: " + quoted(first) + " is not known";
        if (!parse_number<int>(count)) return "retain: the number of backups is missing";
    } else if (what == "target") {
        const std::string& name = find_full ? second : first;
        if (name.empty() == order.target_user_data.empty())
            return "target: give the name of a backup or --target-user-data";
        if (!find_full && !second.empty()) return "target: argument " + quoted(second) + " is one too many";
    } else if (what == "everything") {
        if ((!first.empty() && first != "FORCE") || !second.empty()) return "everything: only FORCE can follow";
    } else if (what == "garbage") {
        if ((!first.empty() && first != "ARCHIVES" && first != "BACKUPS") || !second.empty())
            return "garbage: only ARCHIVES or BACKUPS can follow";
    } else if (what == "retention-policy") {
        if (!first.empty()) return "retention-policy: the number comes from the setting \"retain\"";
    } else {
        return quoted(what) + " is not one of before, retain, retention-policy, target, everything, garbage";
    }
    return {};
}

Result<DeletePlan> plan_of(const Order& order, const Inventory& inventory, repository::Repository& repository,
                           const store::CallContext& context) {
    const auto& [what, first, second] = order.words;
    const bool find_full = first == "FIND_FULL";
    const Modifier modifier = find_full ? Modifier::kFindFull : first == "FULL" ? Modifier::kFull : Modifier::kNone;
    if (what == "before")
        return retention::plan_before(inventory, {find_full ? second : first, modifier, order.by_start_time});
    if (what == "retain")
        return retention::plan_retain(inventory, {parse_number<int>(second.empty() ? first : second).value_or(0),
                                                  modifier, order.after, order.by_start_time});
    if (what == "target") {
        std::string name = find_full ? second : first;
        if (name.empty()) {
            FORGE_ASSIGN(const auto backup, repository::find_by_user_data(repository, order.target_user_data, context));
            name = backup.name;
        }
        return retention::plan_target(inventory, name, find_full);
    }
    if (what == "everything") return retention::plan_everything(inventory, !first.empty());
    return retention::plan_garbage(inventory, {first != "ARCHIVES", first != "BACKUPS"});
}

// "2 objects, 12 kB"
std::string amount(std::uint64_t objects, std::uint64_t bytes) {
    return std::to_string(objects) + (objects == 1 ? " object, " : " objects, ") + format_size(bytes);
}

std::string base_of(const std::string& key) { return key.substr(key.rfind('/') + 1); }

void print_text(const DeletePlan& plan, bool confirmed) {
    const char* const verb = confirmed ? "delete" : "would delete";
    for (const auto& backup : plan.backups)
        std::printf("%s backup %s%s: %s\n", verb, backup.name.c_str(), backup.has_sentinel ? "" : " (without sentinel)",
                    amount(backup.object_count(), backup.bytes).c_str());
    if (!plan.wal.empty())
        std::printf("%s WAL %s to %s: %s\n", verb, base_of(plan.wal.front()->key).c_str(),
                    base_of(plan.wal.back()->key).c_str(), amount(plan.wal.size(), plan.wal_bytes()).c_str());
    if (!plan.restore_points.empty())
        std::printf("%s restore points: %s\n", verb,
                    amount(plan.restore_points.size(), plan.restore_points_bytes()).c_str());
    for (const auto& kept : plan.kept) std::printf("keep backup %s: %s\n", kept.name.c_str(), kept.reason.c_str());
    if (!plan.empty()) std::printf("in all: %s\n", amount(plan.object_count(), plan.bytes()).c_str());
}

void print_json(const DeletePlan& plan, bool confirmed) {
    const auto text = [](const std::string& value) { return layout::json_string(value, false); };
    std::string json = "{\"confirmed\":" + std::string(confirmed ? "true" : "false") +
                       ",\"target\":" + (plan.target.empty() ? "null" : text(plan.target)) + ",\"backups\":[";
    std::string separator;
    for (const auto& backup : plan.backups) {
        json += separator + "{\"name\":" + text(backup.name) +
                ",\"sentinel\":" + (backup.has_sentinel ? "true" : "false") +
                ",\"objects\":" + std::to_string(backup.object_count()) + ",\"bytes\":" + std::to_string(backup.bytes) +
                "}";
        separator = ",";
    }
    json += "],\"wal\":{\"objects\":" + std::to_string(plan.wal.size()) +
            ",\"bytes\":" + std::to_string(plan.wal_bytes()) +
            "},\"restore_points\":{\"objects\":" + std::to_string(plan.restore_points.size()) +
            ",\"bytes\":" + std::to_string(plan.restore_points_bytes()) + "},\"kept\":[";
    separator.clear();
    for (const auto& kept : plan.kept) {
        json += separator + "{\"name\":" + text(kept.name) + ",\"reason\":" + text(kept.reason) + "}";
        separator = ",";
    }
    std::printf("%s],\"objects\":%llu,\"bytes\":%llu}\n", json.c_str(),
                static_cast<unsigned long long>(plan.object_count()), static_cast<unsigned long long>(plan.bytes()));
}

Status execute_with_progress(const CommandLine& line, Session& session, repository::Repository& repository,
                             const Inventory& inventory, const DeletePlan& plan, DeleteResult& result) {
    const ProgressLine shown(line.global(), session.log(), [&] {
        return ProgressSample{"deleting", result.bytes.load(), plan.bytes()};
    });
    return retention::execute(repository.store(), inventory, plan, result, session.context());
}

Status remove_leftovers(Session& session, repository::Repository& repository) {
    FORGE_ASSIGN(const int removed, retention::remove_leftovers(repository.store(), session.context()));
    if (removed > 0) session.log().log(LogLevel::kNotice, std::to_string(removed) + " unfinished uploads were removed");
    return {};
}

int report(Session& session, const DeleteResult& result) {
    session.log().log(LogLevel::kNotice, "deleted " + std::to_string(result.backups.size()) + " backups, " +
                                             amount(result.objects, result.bytes));
    for (const auto& refusal : result.refusals) session.log().warning(refusal.status.to_string());
    if (result.refused == 0) return kExitOk;
    return session.fail(
        Status(Kind::kDenied,
               "the store refused to delete " + std::to_string(result.refused) + " objects" +
                   (result.skipped == 0 ? std::string()
                                        : "; " + std::to_string(result.skipped) + " more were left because of that"),
               "They may be locked for some time, or the credentials may not delete; delete again later."));
}

// --- retention-policy ------------------------------------------------------------------------------------------------

// With --pgdata as the server there would do it; else by what the store tells.
Result<retention::Policy> policy_of(const Session& session, repository::Repository& repository,
                                    const std::string& pgdata) {
    retention::Policy policy;
    policy.retain = session.loaded().settings.retain;
    const auto& values = session.loaded().inputs.explicit_values;
    if (const auto schedule = values.find("schedule"); schedule != values.end() && !trim(schedule->second).empty()) {
        FORGE_ASSIGN(policy.schedule, schedule::parse_cron(schedule->second));
    }
    if (pgdata.empty()) {
        const auto record = repository.store().head(std::string(keys::kRekeyRecord), session.context());
        if (!record.ok() && !record.status().is(Kind::kNotFound)) return record.status();
        policy.times_are_changed = record.ok();
        return policy;
    }
    FORGE_ASSIGN(const backup::ControlFile control, backup::read_control_file(pgdata));
    policy.timeline = control.timeline;
    policy.system_identifier = control.system_identifier;
    return policy;
}

void print_verdicts(const retention::RetentionPlan& plan) {
    for (const auto& verdict : plan.backups)
        std::printf("%s %s: %s\n", verdict.keep ? "keep  " : "delete", verdict.backup.c_str(), verdict.reason.c_str());
    if (!plan.deletion.wal.empty())
        std::printf("delete WAL %s to %s: %s\n", base_of(plan.deletion.wal.front()->key).c_str(),
                    base_of(plan.deletion.wal.back()->key).c_str(),
                    amount(plan.deletion.wal.size(), plan.deletion.wal_bytes()).c_str());
    if (const auto& points = plan.deletion.restore_points; !points.empty())
        std::printf("delete restore points: %s\n", amount(points.size(), plan.deletion.restore_points_bytes()).c_str());
}

Result<DeletePlan> plan_retention(Session& session, const Order& order, const Inventory& inventory,
                                  repository::Repository& repository, const std::string& pgdata) {
    FORGE_ASSIGN(const retention::Policy policy, policy_of(session, repository, pgdata));
    retention::RetentionPlan plan = retention::plan_by_policy(inventory, policy);
    if (!plan.held.empty()) session.log().warning("nothing is deleted: " + plan.held);
    if (policy.times_are_changed && !plan.held.empty())
        session.log().hint("Name the server's data directory by --pgdata.");
    if (order.json)
        print_json(plan.deletion, order.confirm);
    else
        print_verdicts(plan);
    return std::move(plan.deletion);
}

// The number that a running server deletes by; empty when none does, or none can be asked.
std::string retain_of_server() {
    auto connection = ServerConnection::open();
    if (!connection.ok()) return {};
    const auto answer = connection->value(
        "SELECT current_setting('forge_backup.retain', true) FROM pg_stat_activity "
        "WHERE backend_type = 'forge_backup scheduler' AND current_setting('forge_backup.retain', true) <> '0'");
    return answer.ok() ? *answer : std::string();
}

bool is_left_to_server(const CommandLine& line, const Order& order) {
    if (!line.as_walg() || !order.confirm || (order.words[0] != "before" && order.words[0] != "retain")) return false;
    const std::string retain = retain_of_server();
    if (retain.empty()) return false;
    StderrLogger log(line.global());
    log.log(LogLevel::kNotice, "nothing is deleted here: the server does that itself, by forge_backup.retain");
    log.hint("Set forge_backup.retain to 0 to delete by hand, or use \"forge-backup delete\".");
    return true;
}

}  // namespace

int run_delete(CommandLine& line) {
    Order order;
    line.positional("WHAT", order.words[0], "before, retain, retention-policy, target, everything or garbage", true);
    line.positional("ARGUMENT", order.words[1], "", false);
    line.positional("ARGUMENT2", order.words[2], "", false);
    line.flag("--confirm", order.confirm, "delete; without it nothing is deleted, only told");
    line.flag("--use-sentinel-time", order.by_start_time, "compare backups by their start time");
    line.option("--after", order.after, "retain: keep also everything from here on", "NAME_OR_TIME");
    line.option("--target-user-data", order.target_user_data, "target: the backup with these user data", "JSON");
    line.flag("--json", order.json, "as one line of JSON");
    line.more_help(
        "  before [FIND_FULL] NAME|TIME     everything older than a backup; with FIND_FULL than the full one before "
        "it\n"
        "  retain [FULL|FIND_FULL] N        everything older than the newest N backups (FULL: full ones)\n"
        "  retention-policy                 what the server deletes by itself, by its setting \"retain\"; best with "
        "--pgdata\n"
        "  target [FIND_FULL] NAME          one backup and what builds on it (FIND_FULL: all that builds on its full "
        "one)\n"
        "  everything [FORCE]               all backups and WAL; FORCE: permanent ones too\n"
        "  garbage [ARCHIVES|BACKUPS]       what no backup needs\n\n"
        "Permanent backups stay, and so does everything that a backup that stays needs.\n\n"
        "Example:\n"
        "  forge-backup --env-dir /etc/forge_backup delete retain FULL 5 --confirm\n\n"
        "Exit codes: 0 done, or there is nothing to delete; 1 failed, or the store refused to delete some objects; "
        "2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (const std::string wrong = wrong_words(order); !wrong.empty()) return line.bad_usage(wrong);
    if (is_left_to_server(line, order)) return kExitOk;
    const bool by_policy = order.words[0] == "retention-policy";
    Session session(line, seconds(10));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const store::CallContext context = session.context();
    const auto inventory = retention::take_inventory(*repository, SystemClock().now(), context);
    if (!inventory.ok()) return session.fail(inventory.status());
    const auto plan = by_policy ? plan_retention(session, order, *inventory, *repository, line.global().pgdata)
                                : plan_of(order, *inventory, *repository, context);
    if (!plan.ok()) return session.fail(plan.status());
    if (!by_policy && order.json) print_json(*plan, order.confirm);
    if (!by_policy && !order.json) print_text(*plan, order.confirm);
    if (plan->empty()) session.log().log(LogLevel::kNotice, "there is nothing to delete");
    if (!order.confirm) {
        if (!plan->empty()) session.log().hint("Nothing was deleted. Add --confirm to delete.");
        return kExitOk;
    }
    DeleteResult result;
    Status status = execute_with_progress(line, session, *repository, *inventory, *plan, result);
    if (status.ok() && (by_policy || (order.words[0] == "garbage" && order.words[1] != "ARCHIVES")))
        status = remove_leftovers(session, *repository);
    if (!status.ok())
        return session.fail(std::move(status).with_context("deletion stopped after " + std::to_string(result.objects) +
                                                           " of " + std::to_string(plan->object_count()) + " objects"));
    return plan->empty() ? kExitOk : report(session, result);
}

}  // namespace forge::cli
