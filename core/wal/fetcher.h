// Brings one WAL file back for recovery (postgres-hooks 16, spilo-contract 3.2): temporary name, rename; size and page
// header of segments checked; synced where the server does not do it.
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
    std::string spool_directory;                // where segments fetched ahead wait (core/wal/spool.h); empty = none do
    std::optional<std::uint64_t> segment_size;  // nothing = from the first page of the segment
    std::uint64_t system_identifier = 0;        // of the cluster that the spool is for; 0 = not known
};
// Without settings and store: success when `name` waited in the spool and is at its destination now. Of `context`
// cancel and deadline count: for how long at most one that is on its way there is waited for.
Status take_fetched_ahead(const std::string& name, const FetchOptions& options, const store::CallContext& context);
// From the store. kNotFound only when the store said so. kCorrupt: what is there is no such WAL file. After a failure
// the destination is as it was.
Status fetch_wal(repository::Repository& repository, const std::string& name, const FetchOptions& options,
                 const store::CallContext& context);

}  // namespace forge::wal
