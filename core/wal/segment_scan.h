// What of a segment is worth knowing without reading it again: the last end of a transaction in it (how far up to now a
// restore can go) and its named restore points. Found on the way of its bytes to the store.
#pragma once

#include <optional>
#include <vector>

#include "core/wal/record_reader.h"

namespace forge::wal {

struct SegmentEvents {
    std::optional<WalEvent> last_end;           // commit or abort
    std::vector<WalEvent> restore_points;       // the first kMostRestorePoints of them, in order
    std::uint64_t restore_points_left_out = 0;  // how many more there are
};
// What one segment may cost in memory is bounded by it.
inline constexpr std::size_t kMostRestorePoints = 10'000;

// The record that began in the segment before and ends in this one, seen from the first page or more of this one.
struct Continued {
    // Short enough to be a restore point: then its beginning is wanted, which is on the last page before.
    bool is_wanted = false;
    std::size_t page_size = 0;
    Timeline timeline = 0;  // of the segment before: another one than this one's where a timeline began in this one
};
Continued continued_record(ByteView start);

// Segments are scanned each for itself, several at a time. A record belongs to the segment in which it ends.
class SegmentScan {
public:
    SegmentScan(std::uint64_t segment_number, std::uint64_t segment_size)
        : number_(segment_number), size_(segment_size) {}
    SegmentScan(const SegmentScan&) = delete;
    SegmentScan& operator=(const SegmentScan&) = delete;

    // First, with the first page or more. `page_before`: the last page of the segment before if that is wanted
    // (continued_record()) and known, else empty: the record that goes on here is not seen then.
    void begin(ByteView start, ByteView page_before);
    // The bytes of the segment in order; each piece, but not the last, a multiple of 64 KiB (the largest WAL page). What
    // makes no sense ends the scan: it is no reason not to archive the segment.
    void take(ByteView piece);
    const SegmentEvents& events() const { return events_; }

private:
    void note(const WalEvent& event);

    const std::uint64_t number_, size_;
    RecordReader reader_{[this](const WalEvent& event) {
                             note(event);
                             return true;
                         },
                         Verified::kEvents};
    bool done_ = false;
    SegmentEvents events_;
};

}  // namespace forge::wal
