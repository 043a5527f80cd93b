// Walks a data directory and its tablespaces and says what belongs into a base backup. File contents are not touched.
// What vanishes while we walk is left out silently: the WAL of the backup knows about it.
#pragma once

#include <sys/types.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/cancel.h"
#include "core/base/log.h"
#include "core/base/time.h"
#include "core/layout/backup_json.h"

namespace forge::backup {

struct ChangedPages;

struct ScanEntry {
    enum class Type : std::uint8_t { kFile, kDirectory, kSymlink };
    std::string name;    // in the backup: "/base/5/1259", "/pg_tblspc/16384/PG_15_202209061/5/16385", "/" for the data
                         // directory itself
    std::string target;  // of a symbolic link
    Instant mtime;
    std::uint64_t size = 0;  // of a file
    mode_t mode = 0;         // permission bits
    uid_t uid = 0;
    gid_t gid = 0;
    std::uint16_t root = 0;  // 0 = the data directory, n = the n-th tablespace, from 1
    Type type = Type::kFile;
    bool is_relation = false;  // a relation's file: its pages have checksums
    bool is_paged = false;     // main fork of a relation of a database: it may be stored as an increment
    std::shared_ptr<const ChangedPages> changed;  // what to store of it; nothing = all of it
};

// In a deque none has to move when it grows, and what was taken from its front is given back: there can be millions.
using ScanEntries = std::deque<ScanEntry>;

struct ScanOptions {
    std::string data_directory;                   // absolute, without symbolic links
    std::vector<layout::Tablespace> tablespaces;  // as the server listed them when the backup started
    std::string version_directory;                // "PG_15_202209061"
    int major_version = 0;
};

struct ScanResult {
    ScanEntries entries;           // parents before children, names sorted in each directory; without global/pg_control
    std::uint64_t file_bytes = 0;  // sum of the sizes of the files
    std::uint64_t catalog_size = 0;  // sum of the sizes of everything that was looked at, left out or not
    std::uint32_t files = 0;
};

// Told of a file; true: it is counted, but left out of the entries.
using LeaveOut = std::function<bool(const ScanEntry&)>;

Result<ScanResult> scan_data_directory(const ScanOptions& options, const LeaveOut& leave_out, const CancelToken& cancel,
                                       Logger& logger);
// Where the entry lies in the file system.
std::string source_path(const ScanOptions& options, const ScanEntry& entry);
// Names in JSON must be UTF-8.
bool is_utf8(std::string_view text);

}  // namespace forge::backup
