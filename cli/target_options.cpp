#include "cli/target_options.h"

#include "cli/plan_rows.h"
#include "core/base/text.h"

namespace forge::cli {

void TargetOptions::add_to(CommandLine& line) {
    line.option("--target-time", time,
                "moment to recover to, with time zone: '2026-11-22 09:30:00+01' or 2026-11-22T08:30:00Z", "TIME");
    line.option("--target-lsn", lsn, "position to recover to: 0/3000028", "LSN");
    line.option("--target-xid", xid, "transaction to recover to", "XID");
    line.option("--target-name", name, "restore point made by pg_create_restore_point()", "NAME");
    line.option("--target", target, "\"immediate\": stop as soon as the backup is consistent", "WORD");
    line.flag("--exclusive", exclusive, "stop just before the target instead of just after it");
    line.flag("--nearest", nearest, "where the target cannot be reached, go as far as possible instead of failing");
    line.option("--target-timeline", timeline, "\"latest\" (default), \"current\" (the backup's) or a number",
                "TIMELINE");
    line.option("--backup", backup, "name of the backup or LATEST (default: the newest one that leads to the target)",
                "NAME");
}

Result<restore::Target> TargetOptions::parse() const {
    std::string type = "latest";
    std::string value;
    std::string given;
    const std::vector<std::pair<const char*, const std::string*>> all{
        {"time", &time}, {"lsn", &lsn}, {"xid", &xid}, {"name", &name}};
    for (const auto& [kind, text] : all) {
        if (text->empty()) continue;
        if (!given.empty())
            return Status(Kind::kInvalid, "--target-" + given + " and --target-" + kind + " exclude each other",
                          "Give one target.");
        type = given = kind;
        value = *text;
    }
    if (!target.empty()) {
        if (!given.empty())
            return Status(Kind::kInvalid, "--target and --target-" + given + " exclude each other", "Give one target.");
        if (target != "immediate" && target != "latest")
            return Status(Kind::kInvalid, "invalid value " + quoted(target) + " of --target",
                          "Use \"immediate\", or one of the other target options.");
        type = target;
    }
    return parse_target(type, value, timeline, backup, !exclusive);
}

}  // namespace forge::cli
