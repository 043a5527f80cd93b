// What a delta backup stores of each file, decided for all of them before anything is uploaded: the name of the backup
// and its progress depend on it.
#pragma once

#include "core/backup/delta_parent.h"
#include "core/backup/packer.h"
#include "core/backup/worker_group.h"

namespace forge::backup {

struct DeltaPlan {
    ScanEntries entries;             // to store, in the order of the walk; ScanEntry::changed says which pages
    std::uint64_t stored_bytes = 0;  // contents of the tar members to come
    std::uint32_t incremented = 0;   // files
};

// Bytes of a tar member that holds what is to be stored of the file.
std::uint64_t member_size(const ScanEntry& file);

// `entries` are those of the walk but for the files that find_unchanged() knows. Reads every relation among them, with
// as many workers, and counts it in the context's progress, of which bytes_total is set first. `workers` is idle before
// and after.
Result<DeltaPlan> plan_delta(ScanEntries entries, const DeltaParent& parent, PackContext& context, WorkerGroup& workers,
                             std::uint64_t worker_count);

}  // namespace forge::backup
