// forge-backup backup-fetch DIR NAME|LATEST: the files of a backup, as WAL-G's command of this name.
#include "cli/exit_codes.h"
#include "cli/fetching.h"
#include "core/base/text.h"
#include "core/repository/user_data.h"

namespace forge::cli {

namespace {

struct FetchArguments {
    std::string directory;
    std::string name;
    std::string user_data;
    std::string spec;
    std::vector<std::string> mapping_words;
    bool allow_unlisted = false;
    // WAL-G's switches for what is always done here.
    bool reverse_unpack = false;
    bool skip_redundant = false;
};

Result<repository::BackupEntry> choose_backup(repository::Repository& repository, const FetchArguments& arguments,
                                              const store::CallContext& context) {
    if (!arguments.user_data.empty()) return repository::find_by_user_data(repository, arguments.user_data, context);
    // A newer backup may have been made since the fetch that is taken up began.
    if (const auto unfinished = restore::unfinished_backup(arguments.directory);
        unfinished && arguments.name == repository::kLatest)
        return repository.find_backup(*unfinished, context);
    return repository.find_backup(arguments.name, context);
}

Result<std::map<std::string, std::string>> places_of(const FetchArguments& arguments) {
    FORGE_ASSIGN(auto mapping, parse_tablespace_mapping(arguments.mapping_words));
    if (arguments.spec.empty()) return mapping;
    FORGE_ASSIGN(auto places, read_restore_spec(arguments.spec));
    mapping.merge(places);
    return mapping;
}

void add_options(CommandLine& line, FetchArguments& arguments) {
    line.positional("DIR", arguments.directory, "directory to fill: absent, empty, or with an unfinished fetch", true);
    line.positional("NAME", arguments.name, "name of the backup, or LATEST", false);
    line.option("--target-user-data", arguments.user_data, "the one backup with these user data, instead of NAME",
                "JSON");
    line.option("--restore-spec", arguments.spec, "JSON file with the new places of tablespaces", "FILE");
    line.repeated("-T,--tablespace-mapping", arguments.mapping_words,
                  "new place of a tablespace: OID=NEWDIR or OLDDIR=NEWDIR", "OLD=NEW");
    line.flag("--allow-unlisted", arguments.allow_unlisted, std::string(kAllowUnlistedHelp));
    line.flag("--reverse-unpack", arguments.reverse_unpack,
              "accepted: the newest backup of a chain always comes first");
    line.flag("--skip-redundant-tars", arguments.skip_redundant, "accepted: what is not needed is not fetched");
    line.more_help("Brings the files back and nothing else: for recovery, restore_command and recovery.signal are left "
                   "to you (or use restore).\n"
                   "A delta backup is put together with the backups it builds on. A fetch that was killed goes on when "
                   "the command is given again.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup backup-fetch /srv/pg/restored LATEST\n\n"
                   "Exit codes: 0 the directory is complete, 1 failed, 2 wrong usage.\n");
}

}  // namespace

int run_backup_fetch(CommandLine& line) {
    FetchArguments arguments;
    add_options(line, arguments);
    if (const auto code = line.parse()) return *code;
    if (arguments.name.empty() == arguments.user_data.empty())
        return line.bad_usage("give either the name of a backup (or LATEST) or --target-user-data");
    Session session(line);
    arguments.directory = absolute_path(arguments.directory);
    auto places = places_of(arguments);
    if (!places.ok()) return session.fail(places.status());
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const auto backup = choose_backup(*repository, arguments, session.context());
    if (!backup.ok()) return session.fail(backup.status());
    restore::FetchOptions options;
    options.target_directory = arguments.directory;
    options.tablespace_mapping = std::move(places).value();
    options.concurrency = repository->settings().download_concurrency;
    options.allow_unlisted = arguments.allow_unlisted;
    const Status result = fetch_with_progress(line, session, *repository, *backup, options);
    if (!result.ok()) return session.fail(result);
    session.log().log(LogLevel::kNotice,
                      "backup " + quoted(backup->name) + " is in directory " + quoted(options.target_directory));
    return kExitOk;
}

}  // namespace forge::cli
