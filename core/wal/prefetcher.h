// Keeps segments ready for a recovery that asks for one after the other.
#pragma once

#include <functional>
#include <string>

#include "core/repository/repository.h"

namespace forge::wal {

struct PrefetchOptions {
    std::string spool_directory;
    int ahead = 0;  // segments behind the one that recovery got last
    // How long to stay when there is nothing to do and recovery takes nothing.
    milliseconds stay{0};
    std::function<void()> fetched = [] {};  // called after each segment, by several threads
};
// As many segments ahead as are worth it: those that are downloaded at a time, and some that are on their way to the
// disk.
int prefetch_depth(const repository::Repository& repository);
// Follows the position in the spool (core/wal/spool.h): fetches what comes next, and removes every other spool file.
// What the store does not have is asked for again when recovery has come further. Quiet: a failure ends it, leaves
// nothing behind and is reported only to the caller. One process at a time per spool; kAlreadyExists when another runs.
Status prefetch_wal(repository::Repository& repository, const PrefetchOptions& options,
                    const store::CallContext& context);

}  // namespace forge::wal
