// What a base backup leaves out: the server's own rules (basebackup.c; postgres-hooks 15), by name only.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace forge::backup {

enum class Fork { kMain, kFsm, kVisibilityMap, kInit };

// A file of a relation that is not temporary: "16384", "16384_vm", "16384.1", "16384_fsm.2".
struct RelationFile {
    std::uint32_t number = 0;
    Fork fork = Fork::kMain;
    std::uint32_t segment = 0;
};
// Strict as the server from 17 on: no leading zeros, number in range.
std::optional<RelationFile> parse_relation_file(std::string_view base_name);
// "t3_16384", "t3_16384_vm", "t3_16384.1".
bool is_temporary_relation(std::string_view base_name);

// Files and directories that leave no trace in a backup, wherever they are: what was "pgsql_tmp…", lock files, labels
// of other backups.
bool is_left_out(std::string_view base_name);
// Directories that come back empty, wherever they are, even if they are a symbolic link.
bool is_emptied(std::string_view base_name);

// `directory` is a member name ("/base/5", "/pg_tblspc/16384/PG_15_202209061/5"). True where files of relations of a
// database live.
bool is_database_directory(std::string_view directory, std::string_view version_directory);
// The same, or the directory of the shared catalogs.
bool is_relation_directory(std::string_view directory, std::string_view version_directory);

}  // namespace forge::backup
