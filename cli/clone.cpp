// forge-backup clone: the bootstrap method of Patroni. The options are those Patroni and scripts made for it give; what
// else its configuration adds is ignored.
#include "cli/fetching.h"
#include "cli/restoring.h"
#include "core/base/text.h"

namespace forge::cli {

int run_clone(CommandLine& line) {
    RestoreOrder order;
    order.is_clone = true;
    order.target.nearest = true;
    std::string scope;
    std::string inclusive = "true";
    line.option("--datadir", order.directory, "new data directory: absent or empty (required)", "DIR");
    line.option("--scope", scope, "name of the new cluster", "NAME");
    line.option("--recovery-target-time", order.target.time, "moment to recover to, with time zone", "TIME");
    line.option("--recovery-target-lsn", order.target.lsn, "position to recover to", "LSN");
    line.option("--recovery-target-xid", order.target.xid, "transaction to recover to", "XID");
    line.option("--recovery-target-name", order.target.name, "restore point to recover to", "NAME");
    line.option("--recovery-target", order.target.target, "\"immediate\": as soon as the backup is consistent", "WORD");
    line.option("--recovery-target-timeline", order.target.timeline, "\"latest\" (default), \"current\" or a number",
                "TIMELINE");
    line.option("--recovery-target-inclusive", inclusive, "true (default): just after the target; false: just before",
                "BOOL");
    line.choice("--recovery-target-action", order.action, {"pause", "promote", "shutdown"},
                "what the server does at the target (default: promote)");
    line.option("--backup", order.target.backup,
                "name of the backup (default: the newest one that leads to the target)", "NAME");
    line.repeated("-T,--tablespace-mapping", order.mapping_words,
                  "new place of a tablespace: OID=NEWDIR or OLDDIR=NEWDIR", "OLD=NEW");
    line.ignore_unknown();
    line.more_help(
        "For Patroni's bootstrap section, with keep_existing_recovery_conf: true. The settings name the source, not "
        "the "
        "new cluster.\n"
        "Without a target it recovers to the end of the archived WAL. A target that cannot be reached becomes the "
        "nearest "
        "moment before\n"
        "it, which is said. Where the prefix has no backup, the highest wal/VERSION below it is used; else the "
        "prefixes "
        "beside it are named.\n"
        "Nothing is touched if no backup fits. The file forge_backup.restored in the new directory says where it is "
        "from.\n\n"
        "Example:\n"
        "  forge-backup clone --env-dir /run/etc/wal-e.d/env-clone-shop --scope=shop2 --datadir=/srv/pg/data \\\n"
        "      --recovery-target-time=2026-11-22T08:30:00+00:00\n\n"
        "Exit codes: 0 the directory is ready to be started, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (order.directory.empty()) return line.bad_usage("--datadir is required");
    const auto parsed = parse_bool(inclusive);
    if (!parsed) return line.bad_usage("--recovery-target-inclusive must be true or false");
    order.target.exclusive = !*parsed;
    return restore_into(line, order);
}

}  // namespace forge::cli
