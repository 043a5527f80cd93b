// Walks the records of WAL segments as far as a restore needs them: commits and aborts with their time and transaction id, named restore points,
// ends of checkpoints (whose time bounds idle stretches). Reads PostgreSQL 15 to 18 page and record headers; record CRCs are verified.
#pragma once

#include <functional>
#include <string>

#include "core/base/lsn.h"
#include "core/base/stream.h"
#include "core/base/time.h"

namespace forge::wal {

struct WalEvent {
    enum class Type { kCommit, kAbort, kRestorePoint, kCheckpoint } type;
    Lsn lsn = 0;        // start of the record
    Lsn end_lsn = 0;    // just after it
    Instant time;       // as recovery compares it (microseconds)
    std::uint32_t xid = 0;
    std::string name;   // restore point
};

class RecordReader {
public:
    // `visit` returns false to stop.
    explicit RecordReader(std::function<bool(const WalEvent&)> visit) : visit_(std::move(visit)) {}
    // Feeds one whole segment. Segments follow each other; after a jump the reader starts at the first record that begins in the segment.
    // kCorrupt where page headers make no sense; the end of valid WAL (zeroed rest, bad CRC) ends the segment silently and sets at_end().
    Status feed(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size);
    bool stopped() const { return stopped_; }
    bool at_end() const { return at_end_; }

private:
    std::function<bool(const WalEvent&)> visit_;
    Bytes partial_;                 // beginning of a record that continues in the next segment
    Lsn partial_start_ = 0;
    std::uint64_t next_segment_ = 0;
    bool stopped_ = false;
    bool at_end_ = false;
};

}  // namespace forge::wal
