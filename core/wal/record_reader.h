// Walks the records of WAL segments as far as a restore needs them: commits and aborts with their time and transaction
// id, named restore points, ends of checkpoints (whose time bounds idle stretches). Reads PostgreSQL 15 to 18 page and
// record headers; the CRCs of records are verified.
//
// Memory: one page, and the record being read where it may be one of the above (everything else is only checksummed).
// Used by one thread at a time.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "core/base/lsn.h"
#include "core/base/stream.h"
#include "core/base/time.h"
#include "core/wal/page_header.h"

namespace forge::wal {

struct WalEvent {
    // kCommit and kAbort include the second phase of prepared transactions; the first phase is no event, as it does not
    // end recovery.
    enum class Type { kCommit, kAbort, kRestorePoint, kCheckpoint } type = Type::kCommit;
    Lsn lsn = 0;      // start of the record
    Lsn end_lsn = 0;  // just after it
    Instant time;     // as recovery compares it (microseconds)
    std::uint32_t xid = 0;
    std::string name;  // restore point

    bool ends_transaction() const { return type == Type::kCommit || type == Type::kAbort; }
};

// Which records are checksummed. kEvents is for WAL that is known to be whole: all others are only stepped over.
enum class Verified { kRecords, kEvents };

class RecordReader {
public:
    // `visit` returns false to stop.
    explicit RecordReader(std::function<bool(const WalEvent&)> visit, Verified verified = Verified::kRecords)
        : visit_(std::move(visit)), verified_(verified) {}
    // Called with start and end of every whole record, before `visit`; returns false to stop. Only where all records are
    // verified.
    void on_record(std::function<bool(Lsn start, Lsn end)> visit) { visit_record_ = std::move(visit); }

    // Feeds one whole segment. Segments follow each other; after a jump the reader starts at the first record that
    // begins in the segment. kCorrupt where page headers make no sense; the end of valid WAL (zeroed rest, bad CRC)
    // ends the segment silently and sets at_end().
    Status feed(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size);
    // Like feed(), but only to the end of the record that began in the segment before.
    Status finish_record(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size);
    // The same as feed() for who has the bytes already: a segment begins with its first page, or more, and the others
    // follow, each whole. No copy is made of them.
    Status begin_segment(ByteView start, std::uint64_t segment_number, std::uint64_t segment_size);
    // After begin_segment(), for who begins to read there: `page` is the last one of the segment before, on which the
    // record began of which `remaining` bytes follow here. What is no such page is as good as none.
    void take_page_before(ByteView page, std::uint32_t remaining);
    std::size_t page_size() const { return page_size_; }
    enum class Next { kContinue, kSegmentDone };
    Next feed_page(ByteView page);

    bool stopped() const { return stopped_; }
    bool at_end() const { return at_end_; }
    // The last segment ended within a record that may be an event.
    bool event_pending() const { return record_.active && record_.keep; }
    // Just after the last whole record; 0 = none seen. Only where all records are verified.
    Lsn end_lsn() const { return end_lsn_; }

private:
    static constexpr std::size_t kRecordHeaderSize = 24;
    // A record on its way, possibly over several pages.
    struct Record {
        bool active = false;
        bool skip = false;  // began before the first segment fed: only its end is of interest
        bool keep = true;   // may be an event (not known before its header is complete)
        Lsn start = 0;
        std::uint64_t total = 0;
        std::uint64_t have = 0;
        std::uint32_t crc = 0;  // of the bytes after the header
        std::array<std::uint8_t, kRecordHeaderSize> header{};
        Bytes body;  // bytes after the header, if keep
    };

    Status walk(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size, bool only_pending);
    // Where the records of this page begin or go on; nothing = the page is not valid WAL.
    std::optional<std::size_t> enter_page(ByteView page);
    Next read_page(ByteView page, std::size_t position, bool only_pending);
    // The position of the first record that is not whole on this page, or may be an event.
    static std::size_t step_over(ByteView page, std::size_t position);
    bool begin_record(ByteView page, std::size_t position);
    void take(ByteView piece);
    Next end_record(Lsn end);
    Next invalid();

    std::function<bool(const WalEvent&)> visit_;
    const Verified verified_;
    std::function<bool(Lsn, Lsn)> visit_record_;
    Record record_;
    std::optional<std::uint64_t> next_segment_;
    // Of the segment that is read.
    std::uint16_t magic_ = 0;
    std::size_t page_size_ = 0;
    Lsn begin_ = 0, end_ = 0;
    Lsn address_ = 0;  // of the next page
    Lsn end_lsn_ = 0;
    bool stopped_ = false;
    bool at_end_ = false;
};

}  // namespace forge::wal
