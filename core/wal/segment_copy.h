// One WAL file into its place: a temporary name, checked, synced, renamed.
#pragma once

#include <optional>
#include <string>

#include "core/base/status.h"
#include "core/base/stream.h"
#include "core/layout/names.h"

namespace forge::wal {

// What is not the file called `name` is refused: kCorrupt, and `destination` is as it was.
Status copy_wal_file(Source& source, const std::string& name, layout::WalKind kind,
                     std::optional<std::uint64_t> segment_size, const std::string& temporary,
                     const std::string& destination);

// False for the name under which a server in recovery wants a segment: it syncs the file itself before it gives it a
// lasting name (durable_rename() in KeepFileRestoredFromArchive()), and fetches it anew after a crash.
bool must_sync(const std::string& destination);

}  // namespace forge::wal
