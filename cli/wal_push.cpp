// forge-backup wal-push PATH
#include <unistd.h>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/server_identity.h"
#include "core/backup/control_file.h"
#include "core/base/text.h"
#include "core/wal/uploader.h"

namespace forge::cli {

namespace {

// The store notices stalls by itself; this only bounds one that trickles.
constexpr std::chrono::minutes kLongest{30};

// The cluster's, where the control file is in reach; else what the file looks like.
std::uint64_t segment_size_of(const std::string& path, const std::string& data_directory) {
    if (path_exists(join_path(data_directory, "global/pg_control"))) {
        const auto control = backup::read_control_file(data_directory);
        if (control.ok() && layout::is_valid_segment_size(control->segment_size)) return control->segment_size;
    }
    const auto info = stat_path(path);
    if (info.ok() && layout::is_valid_segment_size(static_cast<std::uint64_t>(info->st_size)))
        return static_cast<std::uint64_t>(info->st_size);
    return layout::kDefaultSegmentSize;
}

}  // namespace

int run_wal_push(CommandLine& line) {
    std::string path;
    line.positional("PATH", path, "WAL file to archive, as %p gives it", true);
    line.more_help("Returns 0 only when the store has acknowledged every byte, or holds the same content already. A "
                   "file of the same name\n"
                   "with other content is an error and is never replaced. Where the file lies in a data directory, "
                   "nothing is stored in a prefix that\n"
                   "belongs to another cluster; and of a copy of another cluster nothing is stored, and 0 returned, "
                   "where its configuration\n"
                   "files set forge_backup.clone_policy to \"off\".\n\n"
                   "Example (postgresql.conf):\n"
                   "  archive_command = 'forge-backup --env-dir /etc/forge_backup wal-push %p'\n\n"
                   "Exit codes: 0 archived (or dropped, as above), 1 not archived, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    const std::string name = base_name(path);
    if (!layout::classify_wal_name(name)) return line.bad_usage("file " + quoted(name) + " is not a WAL file");
    Session session(line, seconds(2));
    const auto repository = session.open(absolute_path("."));
    if (!repository) return kExitFailure;
    if (!path_exists(path)) return session.fail(Status(Kind::kInvalid, "file " + quoted(path) + " does not exist"));
    store::CallContext context = session.context();
    context.deadline = Deadline::after(kLongest);
    const std::string data_directory = parent_path(parent_path(absolute_path(path)));
    const repository::Identity identity = identity_of_data_directory(data_directory);
    const Status refused = refuse_unwanted_clone(session.loaded().settings, data_directory, identity.cluster_name);
    if (!refused.ok()) {
        session.log().warning("dropped " + quoted(name) + ": " + refused.message());
        return kExitOk;
    }
    wal::WriteGuard guard(repository, guard_options(identity, data_directory));
    const Status result =
        wal::push_wal_file(*repository, name, path, segment_size_of(path, data_directory), context, &guard);
    if (!result.ok()) return session.fail(result);
    session.log().info("archived " + quoted(name));
    return kExitOk;
}

}  // namespace forge::cli
