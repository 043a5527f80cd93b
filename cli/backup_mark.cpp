// forge-backup backup-mark NAME [-i]: keeps a backup from being deleted (walg-format 9.5).
#include "cli/common.h"
#include "cli/exit_codes.h"
#include "core/base/text.h"
#include "core/retention/mark_chain.h"

namespace forge::cli {

int run_backup_mark(CommandLine& line) {
    std::string name;
    bool impermanent = false;
    line.positional("NAME", name, "name of the backup", true);
    line.flag("-i,--impermanent", impermanent, "take the mark away");
    line.more_help("A permanent backup, and the WAL that makes it consistent, is kept by every deletion. What a delta "
                   "backup builds on is marked with it;\n"
                   "the mark is taken away from the named backup only, and not while a permanent one builds on it.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup backup-mark base_000000010000000000000003\n\n"
                   "Exit codes: 0 it is marked (or was already), 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const auto changed = retention::mark_backup(*repository, name, !impermanent, session.context());
    if (!changed.ok()) return session.fail(changed.status());
    const std::string state = impermanent ? "not permanent" : "permanent";
    if (changed->empty()) session.log().warning("backup " + quoted(name) + " is " + state + " already");
    for (const std::string& marked : *changed)
        session.log().log(LogLevel::kNotice, "backup " + quoted(marked) + " is now " + state);
    return kExitOk;
}

}  // namespace forge::cli
