// What a delta backup stores of each file, decided for all of them before anything is uploaded: the name of the backup
// and its progress depend on it.
#pragma once

#include "core/backup/delta_parent.h"
#include "core/backup/packer.h"
#include "core/backup/worker_group.h"

namespace forge::backup {

struct DeltaPlan {
    ScanEntries entries;             // to store, in the order of the walk; ScanEntry::changed says which pages
    ScanEntries skipped;             // files of which the parent's content holds
    std::uint64_t stored_bytes = 0;  // contents of the tar members to come
    std::uint32_t incremented = 0;
};

// Bytes of a tar member that holds what is to be stored of the file.
std::uint64_t member_size(const ScanEntry& file);

// Reads every relation that changed, with as many workers, and counts it in the context's progress, of which
// bytes_total is set first. `workers` is idle before and after.
Result<DeltaPlan> plan_delta(ScanEntries entries, const DeltaParent& parent, PackContext& context, WorkerGroup& workers,
                             std::uint64_t worker_count);
// The same files as plan_delta() was given, all to be stored whole; their order may be another one.
ScanEntries without_plan(DeltaPlan plan);

}  // namespace forge::backup
