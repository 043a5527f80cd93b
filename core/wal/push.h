// Stores one WAL file: what the uploader's threads and `wal-push` share.
//
// The file is read once, whole, and checked on the way; nothing of it is in the store unless all of it is
// (postgres-hooks 6, rule 1). Nothing is ever overwritten: where an object of that name is there already, its content
// decides. The restore points of a segment are stored just before it, and a segment without them is not stored.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/repository/repository.h"
#include "core/wal/segment_scan.h"

namespace forge::wal {

struct PushRequest {
    std::string name;        // as in pg_wal
    std::string path;        // to open
    std::string ready_file;  // must exist once the file is open, or nothing is done; empty = no such condition
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    std::uint64_t system_identifier = 0;  // 0 = not checked
    std::uint64_t buffer_limit = 0;  // larger files are streamed into the store instead of being packed in memory first
    Bytes* buffer = nullptr;  // to pack in, so that its memory can be used again; null = one of its own
    std::function<void()> on_packed;  // called once a file is packed in memory, before it is sent; may wait
};

enum class PushOutcome {
    kStored,
    kIdentical,  // the same content was there
    kNotReady,   // the ready file is gone
};

struct PushResult {
    PushOutcome outcome = PushOutcome::kStored;
    std::uint64_t bytes_read = 0;
    std::uint64_t bytes_stored = 0;
    std::optional<WalEvent> last_end;  // of a segment that is stored or identical (core/wal/segment_scan.h)
};

// kConflict: other content is there, or the file belongs to another cluster. kCorrupt: the file is no complete segment,
// or the object there cannot be read. When it returns, nothing reads the file any more.
Result<PushResult> push_file(repository::Repository& repository, const PushRequest& request,
                             const store::CallContext& context);

// Memory that packing a file of `size` bytes takes at most.
std::uint64_t packing_memory(std::uint64_t size);

}  // namespace forge::wal
