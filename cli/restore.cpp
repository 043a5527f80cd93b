// forge-backup restore: a new data directory, ready to recover to the target.
#include "cli/fetching.h"
#include "cli/restoring.h"

namespace forge::cli {

int run_restore(CommandLine& line) {
    RestoreOrder arguments;
    line.option("--target-dir", arguments.directory,
                "new data directory: absent, empty, or with an unfinished restore (required)", "DIR");
    line.flag("--in-place", arguments.in_place, "DIR is the data directory of a stopped server, which is replaced");
    line.flag("--confirm", arguments.confirm, "with --in-place: do it, instead of telling what would be done");
    line.flag("--discard-wal", arguments.discard_wal, "with --in-place: though some WAL there was never archived");
    arguments.target.add_to(line);
    line.choice("--target-action", arguments.action, {"pause", "promote", "shutdown"},
                "what the server does at the target (default: promote)");
    line.repeated("-T,--tablespace-mapping", arguments.mapping_words,
                  "new place of a tablespace: OID=NEWDIR or OLDDIR=NEWDIR", "OLD=NEW");
    line.option("--pg-bindir", arguments.bin_directory,
                "programs of the server that is to run there; their version is checked", "DIR");
    line.flag("--allow-unlisted", arguments.allow_unlisted, std::string(kAllowUnlistedHelp));
    line.more_help(
        "Chooses the newest backup that leads to the target, fetches it, writes recovery.signal and the "
        "settings for recovery into\n"
        "postgresql.auto.conf, and prints how to start the server. The server then fetches the WAL it needs "
        "with wal-fetch.\n"
        "Without a target it recovers to the end of the archived WAL. A restore that fails or is "
        "killed leaves a directory that cannot\n"
        "be started; the same command, given again, goes on there.\n\n"
        "With --in-place the server's files in DIR and in its tablespaces are deleted. Other files stay there; "
        "where the backup has one of\n"
        "the same name, that is used and the present one renamed to NAME.before_restore.TIME. A running server, "
        "and a backup of another cluster,\n"
        "are refused. The server archives again once it has recovered, on a new timeline.\n\n"
        "Example:\n"
        "  forge-backup --env-dir /etc/forge_backup restore --target-dir /srv/pg/restored \\\n"
        "      --target-time '2026-11-22 09:30:00+01' --target-action pause\n"
        "  forge-backup --env-dir /etc/forge_backup restore --in-place --confirm --target-dir /srv/pg/data \\\n"
        "      --target-time '2026-11-22 09:30:00+01'\n\n"
        "Exit codes: 0 the directory is ready, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (arguments.directory.empty()) return line.bad_usage("--target-dir is required");
    if (!arguments.in_place && (arguments.confirm || arguments.discard_wal))
        return line.bad_usage("--confirm and --discard-wal go with --in-place");
    if (arguments.in_place && !line.global().pgdata.empty())
        return line.bad_usage("--in-place replaces the configuration that --pgdata names; use --env-dir");
    return restore_into(line, arguments);
}

}  // namespace forge::cli
