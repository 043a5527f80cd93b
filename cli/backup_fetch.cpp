// forge-backup backup-fetch DIR NAME|LATEST: the files of a backup, as WAL-G's command of this name.
#include "cli/exit_codes.h"
#include "cli/fetching.h"
#include "core/base/text.h"

namespace forge::cli {

int run_backup_fetch(CommandLine& line) {
    std::string directory;
    std::string name;
    std::string spec;
    std::vector<std::string> mapping_words;
    line.positional("DIR", directory, "directory to fill: absent or empty", true);
    line.positional("NAME", name, "name of the backup, or LATEST", true);
    line.option("--restore-spec", spec, "JSON file with the new places of tablespaces", "FILE");
    line.repeated("-T,--tablespace-mapping", mapping_words, "new place of a tablespace: OID=NEWDIR or OLDDIR=NEWDIR",
                  "OLD=NEW");
    line.more_help("Brings the files back and nothing else: for recovery, restore_command and recovery.signal are left "
                   "to you (or use restore).\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup backup-fetch /srv/pg/restored LATEST\n\n"
                   "Exit codes: 0 the directory is complete, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line);
    restore::FetchOptions options;
    auto mapping = parse_tablespace_mapping(mapping_words);
    if (!mapping.ok()) return line.bad_usage(mapping.status().message());
    options.tablespace_mapping = std::move(mapping).value();
    if (!spec.empty()) {
        auto places = read_restore_spec(spec);
        if (!places.ok()) return session.fail(places.status());
        options.tablespace_mapping.merge(*places);
    }
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const auto backup = repository->find_backup(name, session.context());
    if (!backup.ok()) return session.fail(backup.status());
    options.target_directory = absolute_path(directory);
    options.concurrency = repository->settings().download_concurrency;
    const Status result = fetch_with_progress(line, session, *repository, *backup, options);
    if (!result.ok()) return session.fail(result);
    session.log().log(LogLevel::kNotice,
                      "backup " + quoted(backup->name) + " is in directory " + quoted(options.target_directory));
    return kExitOk;
}

}  // namespace forge::cli
