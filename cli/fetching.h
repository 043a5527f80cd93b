// Fetching a backup with progress and with the advice a person needs; restore and backup-fetch share it.
#pragma once

#include <map>
#include <string>

#include "cli/common.h"
#include "core/restore/fetch.h"

namespace forge::cli {

inline constexpr std::string_view kAllowUnlistedHelp =
    "accept a full backup of another program whose list of files is lost";

// Fetches and says at the end how much came in which time.
Status fetch_with_progress(const CommandLine& line, Session& session, repository::Repository& repository,
                           const repository::BackupEntry& backup, const restore::FetchOptions& options);
// Tablespace places from a restore specification of WAL-G:
// {"base_prefix":…,"tablespaces":["16384"],"16384":{"loc":…,"link":…}}.
Result<std::map<std::string, std::string>> read_restore_spec(const std::string& path);
// "OID_OR_OLDDIR=NEWDIR", the new one absolute; "\=" is an equals sign in a directory's name.
Result<std::map<std::string, std::string>> parse_tablespace_mapping(const std::vector<std::string>& words);

}  // namespace forge::cli
