// The archived WAL in a few lines, whatever its size: runs, holes, and pauses between two uploads. Takes the objects
// one by one; keeps 8 bytes for each and some more for each run.
#pragma once

#include "core/layout/names.h"
#include "core/report/facts.h"

namespace forge::report {

class WalSummary {
public:
    // kDefaultSegmentSize or what the archive has.
    explicit WalSummary(std::uint64_t segment_size) : segment_size_(segment_size) {}

    // A segment of the archive, in the order of the names. Whatever is no segment of this size is left out.
    void add(std::string_view name, std::uint64_t bytes, Instant stored);
    // All segments from the first to the last are there.
    bool covers(layout::Segment first, layout::Segment last) const;
    // `backups`: oldest first; those that can be restored bridge holes. Pauses are told from the first upload to `now`.
    Wal finish(const std::vector<Backup>& backups, Instant now) const;

private:
    void add_holes(Wal& wal, const std::vector<Backup>& backups) const;
    std::vector<Pause> pauses(Instant now) const;

    std::uint64_t segment_size_;
    std::vector<WalRun> runs_;
    std::vector<Instant> stored_;  // of every object
    std::uint64_t bytes_ = 0;
    std::string newest_;
    Instant newest_at_;
};

}  // namespace forge::report
