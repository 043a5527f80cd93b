// forge-backup plan: what a restore would do.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/command_cost.h"
#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/plan_rows.h"
#include "cli/table.h"
#include "cli/target_options.h"
#include "core/layout/json_text.h"
#include "core/restore/named_points.h"

namespace forge::cli {

namespace {

void print_rows(const std::vector<NameValue>& rows, bool json) {
    if (!json) {
        std::fputs(name_value_list(rows).c_str(), stdout);
        return;
    }
    nlohmann::ordered_json object;
    for (const auto& [name, value] : rows) object[name] = value;
    std::printf("%s\n", object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

// One object a point; a name that is no UTF-8 is there as its bytes as well.
std::string points_json(const std::vector<restore::NamedPoint>& points) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const restore::NamedPoint& point : points) {
        nlohmann::ordered_json object{{"name", point.name}};
        if (!layout::is_utf8(point.name)) object["name_hex"] = to_hex(as_bytes(point.name));
        object["time"] = format_rfc3339(point.time);
        object["lsn"] = format_lsn(point.lsn);
        object["timeline"] = point.timeline;
        object["backup"] = point.backup.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(point.backup);
        list.push_back(std::move(object));
    }
    return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int print_points(Session& session, repository::Repository& repository, bool json) {
    const auto points = restore::named_points(repository, session.context(), session.log());
    if (!points.ok()) return session.fail(points.status());
    if (json) {
        std::printf("%s\n", points_json(*points).c_str());
        return kExitOk;
    }
    if (points->empty()) {
        session.log().info("there is no restore point");
        return kExitOk;
    }
    std::vector<Cells> rows;
    for (const restore::NamedPoint& point : *points)
        rows.push_back({printable(point.name), format_postgres(point.time), format_lsn(point.lsn),
                        std::to_string(point.timeline), point.backup.empty() ? "none" : point.backup});
    std::fputs(framed_table({"NAME", "TIME", "LSN", "TIMELINE", "BACKUP"}, rows).c_str(), stdout);
    return kExitOk;
}

}  // namespace

int run_plan(CommandLine& line) {
    TargetOptions options;
    bool json = false;
    bool window = false;
    bool points = false;
    options.add_to(line);
    line.flag("--window", window, "instead: the span of time that a restore can reach");
    line.flag("--restore-points", points, "instead: the named restore points in the archived WAL");
    line.flag("--json", json, "as one JSON object; --restore-points: as an array of them");
    line.more_help("Rows of name and value: the backup and the WAL a restore would use, what it would reach, the "
                   "settings for recovery, the command\n"
                   "that does it, and, for S3, the \"clone:\" section for the operator. About three seconds are spent on "
                   "reading from the store,\n"
                   "to say how long the restore takes. A target that cannot be reached becomes the nearest one before "
                   "it: \"exact\" says no.\n"
                   "--restore-points lists what --target-name takes, with the timeline to name, and the newest backup from "
                   "which it can be reached.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup plan --target-time '2026-11-22 09:30:00+01'\n\n"
                   "Exit codes: 0 done, 1 the target cannot be reached or the store not be read, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    if (window && points) {
        session.log().error(Status(Kind::kInvalid, "give either --window or --restore-points"));
        return kExitUsage;
    }
    const auto target = options.parse();
    if (!target.ok()) {
        session.log().error(target.status());
        return kExitUsage;
    }
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    if (points) return print_points(session, *repository, json);
    if (window) {
        const auto found = restore::recovery_window(*repository, target->timeline, session.context());
        if (!found.ok()) return session.fail(found.status());
        print_rows(window_rows(*found), json);
        return kExitOk;
    }
    // What a restore would refuse is an answer here: the nearest point, and why.
    const auto plan = restore::make_plan(*repository, *target, true, session.context(), session.log());
    if (!plan.ok()) return session.fail(plan.status());
    CommandParts parts;
    parts.executable = own_path();
    parts.words = words_for_same_settings(line.global(), session.loaded()).words;
    const auto time_command = [&parts](const std::string& segment) { return time_restore_command(parts, segment); };
    const auto estimate =
        restore::estimate_restore(*repository, *plan, time_command, session.context(), session.log());
    if (!estimate.ok()) return session.fail(estimate.status());
    print_rows(plan_rows(*plan, *estimate, repository->settings(), parts), json);
    return kExitOk;
}

}  // namespace forge::cli
