#include "core/wal/record_reader.h"

#include <algorithm>
#include <utility>

#include "core/base/crc32c.h"

namespace forge::wal {

namespace {

// Resource managers and record kinds (access/rmgrlist.h, catalog/pg_control.h, access/xact.h).
constexpr std::uint8_t kRmgrXlog = 0;
constexpr std::uint8_t kRmgrXact = 1;
constexpr std::uint8_t kXlogCheckpointShutdown = 0x00;
constexpr std::uint8_t kXlogCheckpointOnline = 0x10;
constexpr std::uint8_t kXlogSwitch = 0x40;
constexpr std::uint8_t kXlogRestorePoint = 0x70;
constexpr std::uint8_t kXactCommit = 0x00;
constexpr std::uint8_t kXactAbort = 0x20;
constexpr std::uint8_t kXactCommitPrepared = 0x30;
constexpr std::uint8_t kXactAbortPrepared = 0x40;
constexpr std::uint8_t kXactOperationMask = 0x70;
constexpr std::uint8_t kXactHasInfo = 0x80;

// The server limits records to 1020 MB (XLogRecordMaxSize).
constexpr std::uint64_t kMaxRecord = 1020ULL << 20;
// Statistics items of transactions grew by a word with the WAL version after this one.
constexpr std::uint16_t kLastMagicWithShortStatistics = 0xD116;

constexpr std::int64_t kPostgresEpochSeconds = 946'684'800;  // 2000-01-01 UTC

Instant from_timestamp(std::uint64_t raw) {
    std::int64_t micros = INT64_MAX;  // "infinity" and its neighbours stay beyond every other time
    if (__builtin_add_overflow(static_cast<std::int64_t>(raw), kPostgresEpochSeconds * 1'000'000, &micros))
        micros = INT64_MAX;
    return Instant::from_micros(micros);
}

std::size_t align8(std::size_t position) { return (position + 7) & ~std::size_t{7}; }

bool may_be_event(std::uint8_t rmgr, std::uint8_t info) {
    if (rmgr == kRmgrXlog) {
        const std::uint8_t kind = info & 0xF0;
        return kind == kXlogCheckpointShutdown || kind == kXlogCheckpointOnline || kind == kXlogRestorePoint;
    }
    if (rmgr != kRmgrXact) return false;
    const std::uint8_t operation = info & kXactOperationMask;
    return operation == kXactCommit || operation == kXactAbort || operation == kXactCommitPrepared ||
           operation == kXactAbortPrepared;
}

bool is_switch(std::uint8_t rmgr, std::uint8_t info) { return rmgr == kRmgrXlog && (info & 0xF0) == kXlogSwitch; }

std::string segment_text(Lsn begin) { return "WAL segment at " + format_lsn(begin); }

// Reads integers and skips arrays, and remembers when there was not enough.
class Cursor {
public:
    explicit Cursor(ByteView bytes) : rest_(bytes) {}
    template <typename T>
    T get() {
        if (!need(sizeof(T))) return 0;
        const T value = load_le<T>(rest_.data());
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }
    void skip(std::uint64_t bytes) {
        if (need(bytes)) rest_ = rest_.subspan(static_cast<std::size_t>(bytes));
    }
    // An array with a leading count.
    void skip_array(std::uint64_t element) { skip(get<std::uint32_t>() * element); }
    ByteView rest() const { return rest_; }
    bool ok() const { return ok_; }

private:
    bool need(std::uint64_t bytes) {
        if (bytes > rest_.size()) ok_ = false;
        return ok_;
    }
    ByteView rest_;
    bool ok_ = true;
};

// The main data of a record without block references, as all events are (access/xlogrecord.h); nothing for other
// records.
std::optional<ByteView> main_data(ByteView body) {
    Cursor cursor(body);
    for (;;) {
        switch (cursor.get<std::uint8_t>()) {
            case 255: {  // short
                const std::size_t length = cursor.get<std::uint8_t>();
                if (!cursor.ok() || cursor.rest().size() != length) return std::nullopt;
                return cursor.rest();
            }
            case 254: {  // long
                const std::size_t length = cursor.get<std::uint32_t>();
                if (!cursor.ok() || cursor.rest().size() != length) return std::nullopt;
                return cursor.rest();
            }
            case 253: cursor.skip(2); break;  // replication origin
            case 252: cursor.skip(4); break;  // top-level transaction
            default: return std::nullopt;
        }
        if (!cursor.ok()) return std::nullopt;
    }
}

// Transaction id in the body of COMMIT PREPARED and ABORT PREPARED, as the server's ParseCommitRecord() finds it.
std::optional<std::uint32_t> prepared_xid(ByteView data, std::uint8_t info, std::uint16_t magic) {
    if ((info & kXactHasInfo) == 0) return std::nullopt;
    Cursor cursor(data);
    cursor.skip(8);
    const auto present = cursor.get<std::uint32_t>();
    if ((present & (1U << 0)) != 0) cursor.skip(8);         // database
    if ((present & (1U << 1)) != 0) cursor.skip_array(4);   // subtransactions
    if ((present & (1U << 2)) != 0) cursor.skip_array(12);  // relations
    if ((present & (1U << 8)) != 0) cursor.skip_array(magic <= kLastMagicWithShortStatistics ? 12 : 16);  // statistics
    if ((present & (1U << 3)) != 0) cursor.skip_array(16);  // invalidations
    if ((present & (1U << 4)) == 0) return std::nullopt;
    const auto xid = cursor.get<std::uint32_t>();
    if (!cursor.ok()) return std::nullopt;
    return xid;
}

bool read_transaction(ByteView data, std::uint8_t info, std::uint16_t magic, WalEvent& event) {
    if (data.size() < 8) return false;
    const std::uint8_t operation = info & kXactOperationMask;
    event.type =
        operation == kXactCommit || operation == kXactCommitPrepared ? WalEvent::Type::kCommit : WalEvent::Type::kAbort;
    event.time = from_timestamp(load_le<std::uint64_t>(data.data()));
    if (operation == kXactCommitPrepared || operation == kXactAbortPrepared) {
        if (const auto xid = prepared_xid(data, info, magic)) event.xid = *xid;
    }
    return true;
}

bool read_xlog(ByteView data, std::uint8_t info, WalEvent& event) {
    if ((info & 0xF0) == kXlogRestorePoint) {
        constexpr std::size_t kNameSize = 64;  // MAXFNAMELEN
        if (data.size() < 8 + kNameSize) return false;
        event.type = WalEvent::Type::kRestorePoint;
        event.time = from_timestamp(load_le<std::uint64_t>(data.data()));
        const std::string_view name = as_text(data.subspan(8, kNameSize));
        event.name = name.substr(0, name.find('\0'));
        return true;
    }
    constexpr std::size_t kCheckpointTime = 64;  // offset of CheckPoint.time, seconds since 1970
    if (data.size() < kCheckpointTime + 8) return false;
    event.type = WalEvent::Type::kCheckpoint;
    const auto written = static_cast<std::int64_t>(load_le<std::uint64_t>(data.data() + kCheckpointTime));
    if (written < 0 || written > 9'000'000'000) return false;
    event.time = Instant::from_seconds(written);
    return true;
}

}  // namespace

Status RecordReader::feed(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size) {
    return walk(segment, segment_number, segment_size, false);
}

Status RecordReader::finish_record(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size) {
    if (!record_.active || next_segment_ != segment_number) return {};
    const Status done = walk(segment, segment_number, segment_size, true);
    next_segment_ = std::nullopt;
    return done;
}

Status RecordReader::walk(Source& segment, std::uint64_t segment_number, std::uint64_t segment_size,
                          bool only_pending) {
    Bytes page(kLongHeaderSize);
    FORGE_ASSIGN(const std::size_t got, read_full(segment, page));
    FORGE_TRY(begin_segment(ByteView(page).first(got), segment_number, segment_size));
    page.resize(page_size_);
    for (std::size_t known = kLongHeaderSize;; known = 0) {
        FORGE_ASSIGN(const std::size_t more, read_full(segment, MutableBytes(page).subspan(known)));
        if (known + more < page_size_) {
            return Status(Kind::kCorrupt, segment_text(begin_) + " ends after " +
                                              std::to_string(address_ - begin_ + known + more) + " of " +
                                              std::to_string(segment_size) + " bytes");
        }
        const auto position = enter_page(page);
        if (!position) {
            invalid();
            return {};
        }
        if (only_pending && !record_.active) return {};
        if (read_page(page, *position, only_pending) == Next::kSegmentDone) return {};
    }
}

Status RecordReader::begin_segment(ByteView start, std::uint64_t segment_number, std::uint64_t segment_size) {
    if (next_segment_ != segment_number || at_end_) record_ = Record();
    at_end_ = false;
    next_segment_ = segment_number + 1;
    begin_ = address_ = segment_number * segment_size;
    end_ = begin_ + segment_size;
    const std::string what = segment_text(begin_);
    FORGE_ASSIGN(const PageHeader first, parse_first_page(start, what));
    if (first.address != begin_ || first.segment_size != segment_size) {
        return Status(Kind::kCorrupt, what + " holds the WAL from " + format_lsn(first.address) + " in segments of " +
                                          std::to_string(first.segment_size) + " bytes");
    }
    page_size_ = first.page_size;
    magic_ = first.magic;
    return {};
}

void RecordReader::take_page_before(ByteView page, std::uint32_t remaining) {
    const auto header = parse_page_header(page);
    if (!header || header->magic != magic_ || page.size() != page_size_) return;
    if (header->address + page_size_ != begin_) return;
    std::uint64_t position = header->size();
    if (header->is_continuation()) position = align8(position + header->remaining);
    while (position < page.size()) {
        const auto total = load_le<std::uint32_t>(page.data() + position);
        if (total < kRecordHeaderSize) return;
        if (total > page.size() - position) break;
        position = align8(position + total);
    }
    if (position >= page.size()) return;
    address_ = header->address;
    const bool begun = begin_record(page, static_cast<std::size_t>(position));
    address_ = begin_;
    if (!begun) return;
    take(page.subspan(static_cast<std::size_t>(position)));
    if (record_.total - record_.have != remaining) record_ = Record();
}

RecordReader::Next RecordReader::feed_page(ByteView page) {
    const auto position = enter_page(page);
    return position ? read_page(page, *position, false) : invalid();
}

// Zeroes after the end, or an older life of a recycled segment, are no valid WAL. Only the first page has a long header.
std::optional<std::size_t> RecordReader::enter_page(ByteView page) {
    const bool first = address_ == begin_;
    const auto header = parse_page_header(page);
    if (!header || header->magic != magic_ || header->address != address_ || header->is_long() != first)
        return std::nullopt;
    if (header->overwrites_continuation()) {
        record_ = Record();
        return header->size();
    }
    if (record_.active) {
        if (!header->is_continuation() || header->remaining != record_.total - record_.have) return std::nullopt;
        return header->size();
    }
    if (header->is_continuation()) {
        // Only where reading begins may there be a record whose beginning was not seen.
        if (!first) return std::nullopt;
        record_.active = record_.skip = true;
        record_.keep = false;
        record_.total = header->remaining;
    }
    return header->size();
}

RecordReader::Next RecordReader::read_page(ByteView page, std::size_t position, bool only_pending) {
    while (position < page.size()) {
        if (!record_.active && verified_ == Verified::kEvents) {
            position = step_over(page, position);
            if (position >= page.size()) break;
        }
        if (!record_.active && !begin_record(page, position)) return invalid();
        const auto piece =
            static_cast<std::size_t>(std::min<std::uint64_t>(record_.total - record_.have, page.size() - position));
        take(page.subspan(position, piece));
        position += piece;
        if (record_.have < record_.total) break;
        position = align8(position);
        if (end_record(address_ + position) == Next::kSegmentDone || only_pending) return Next::kSegmentDone;
    }
    address_ += page_size_;
    return address_ == end_ ? Next::kSegmentDone : Next::kContinue;
}

std::size_t RecordReader::step_over(ByteView page, std::size_t position) {
    while (page.size() - position >= kRecordHeaderSize) {
        const std::uint8_t* header = page.data() + position;
        const auto total = load_le<std::uint32_t>(header);
        if (total < kRecordHeaderSize || total > page.size() - position) break;
        if (may_be_event(header[17], header[16]) || is_switch(header[17], header[16])) break;
        position = align8(position + total);
        if (position >= page.size()) break;
    }
    return position;
}

bool RecordReader::begin_record(ByteView page, std::size_t position) {
    // Records begin at multiples of 8, so the length is never split.
    const auto total = load_le<std::uint32_t>(page.data() + position);
    if (total < kRecordHeaderSize || total > kMaxRecord) return false;
    record_ = Record();
    record_.active = true;
    record_.start = address_ + position;
    record_.total = total;
    return true;
}

void RecordReader::take(ByteView piece) {
    if (!record_.skip && record_.have < kRecordHeaderSize) {
        const std::size_t part = std::min(piece.size(), kRecordHeaderSize - static_cast<std::size_t>(record_.have));
        std::copy_n(piece.begin(), part, record_.header.begin() + static_cast<std::ptrdiff_t>(record_.have));
        record_.have += part;
        piece = piece.subspan(part);
        if (record_.have == kRecordHeaderSize) record_.keep = may_be_event(record_.header[17], record_.header[16]);
    }
    record_.have += piece.size();
    if (record_.skip || piece.empty() || (verified_ == Verified::kEvents && !record_.keep)) return;
    record_.crc = crc32c(piece, record_.crc);
    if (record_.keep) record_.body.insert(record_.body.end(), piece.begin(), piece.end());
}

RecordReader::Next RecordReader::end_record(Lsn end) {
    const Record record = std::exchange(record_, Record());
    if (record.skip) return Next::kContinue;
    // The CRC covers the data first, then the header without the CRC itself.
    const ByteView header(record.header);
    const bool verified = verified_ == Verified::kRecords || record.keep;
    if (verified && crc32c(header.first(20), record.crc) != load_le<std::uint32_t>(header.data() + 20)) return invalid();

    end_lsn_ = end;
    const std::uint8_t info = record.header[16];
    const std::uint8_t rmgr = record.header[17];
    if (visit_record_ && !visit_record_(record.start, end)) stopped_ = true;
    if (record.keep && !stopped_) {
        WalEvent event;
        event.lsn = record.start;
        event.end_lsn = end;
        event.xid = load_le<std::uint32_t>(header.data() + 4);
        const auto data = main_data(record.body);
        const bool known =
            data && (rmgr == kRmgrXact ? read_transaction(*data, info, magic_, event) : read_xlog(*data, info, event));
        if (known && visit_ && !visit_(event)) stopped_ = true;
    }
    // After a switch the rest of the segment is unused.
    return stopped_ || is_switch(rmgr, info) ? Next::kSegmentDone : Next::kContinue;
}

RecordReader::Next RecordReader::invalid() {
    record_ = Record();
    at_end_ = true;
    return Next::kSegmentDone;
}

}  // namespace forge::wal
