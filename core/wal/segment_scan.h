// The last end of a transaction in a segment, found on the way of its bytes to the store: how far up to now a restore can
// go is known then without reading anything again.
#pragma once

#include <optional>

#include "core/wal/record_reader.h"

namespace forge::wal {

// Segments are scanned each for itself, several at a time. A record that began in the segment before, and ends in this
// one, is seen in neither: what is known then is the end of the transaction before that one.
class SegmentScan {
public:
    SegmentScan(std::uint64_t segment_number, std::uint64_t segment_size)
        : number_(segment_number), size_(segment_size) {}
    SegmentScan(const SegmentScan&) = delete;
    SegmentScan& operator=(const SegmentScan&) = delete;

    // The bytes of the segment in order; each piece, but not the last, a multiple of 64 KiB (the largest WAL page). What
    // makes no sense ends the scan: it is no reason not to archive the segment.
    void take(ByteView piece);
    const std::optional<WalEvent>& last_end() const { return last_end_; }  // commit or abort

private:
    const std::uint64_t number_, size_;
    RecordReader reader_{[this](const WalEvent& event) {
                             if (event.ends_transaction()) last_end_ = event;
                             return true;
                         },
                         Verified::kEvents};
    bool begun_ = false;
    bool done_ = false;
    std::optional<WalEvent> last_end_;
};

}  // namespace forge::wal
