// Brings one WAL file back for recovery (postgres-hooks 16, spilo-contract 3.2): temporary name, fsync, rename; size
// and page header of segments checked. Segments fetched ahead wait in a spool directory.
//
// Where the store holds a file under two extensions (two compression methods), the one found first is used; the other
// is not looked for.
#pragma once

#include <optional>
#include <string>

#include "core/repository/repository.h"

namespace forge::wal {

struct FetchOptions {
    std::string destination;                    // path asked for
    std::string spool_directory;                // where fetched-ahead segments wait; empty = no prefetch
    int prefetch = 0;                           // segments to fetch ahead, 0 = none
    std::optional<std::uint64_t> segment_size;  // nothing = from the first page of the segment
};
// kNotFound only when the store said so. kCorrupt: what is there is no such WAL file. After a failure the destination
// is as it was.
Status fetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                 const store::CallContext& context);
// Fetches the successors of `name` into the spool directory until one is missing or `prefetch` of them are there;
// removes every other spool file. Quiet: failures leave nothing behind and are reported only to the caller. One process
// at a time per spool (lock file); kAlreadyExists when another runs.
Status prefetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                    const store::CallContext& context);

}  // namespace forge::wal
