// forge-backup restore: a new data directory, ready to recover to the target.
#include "cli/fetching.h"
#include "cli/restoring.h"

namespace forge::cli {

int run_restore(CommandLine& line) {
    RestoreOrder arguments;
    line.option("--target-dir", arguments.directory,
                "new data directory: absent, empty, or with an unfinished restore (required)", "DIR");
    arguments.target.add_to(line);
    line.choice("--target-action", arguments.action, {"pause", "promote", "shutdown"},
                "what the server does at the target (default: promote)");
    line.repeated("-T,--tablespace-mapping", arguments.mapping_words,
                  "new place of a tablespace: OID=NEWDIR or OLDDIR=NEWDIR", "OLD=NEW");
    line.option("--pg-bindir", arguments.bin_directory,
                "programs of the server that is to run there; their version is checked", "DIR");
    line.flag("--allow-unlisted", arguments.allow_unlisted, std::string(kAllowUnlistedHelp));
    line.more_help("Chooses the newest backup that leads to the target, fetches it, writes recovery.signal and the "
                   "settings for recovery into\n"
                   "postgresql.auto.conf, and prints how to start the server. The server then fetches the WAL it needs "
                   "with wal-fetch.\n"
                   "Without a target it recovers to the end of the archived WAL. A restore that fails or is "
                   "killed leaves a directory that cannot\n"
                   "be started; the same command, given again, goes on there.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup restore --target-dir /srv/pg/restored \\\n"
                   "      --target-time '2026-11-22 09:30:00+01' --target-action pause\n\n"
                   "Exit codes: 0 the directory is ready, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (arguments.directory.empty()) return line.bad_usage("--target-dir is required");
    return restore_into(line, arguments);
}

}  // namespace forge::cli
