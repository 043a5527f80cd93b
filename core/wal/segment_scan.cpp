#include "core/wal/segment_scan.h"

namespace forge::wal {

namespace {

// The record of pg_create_restore_point(): header, time and name of fixed size, at most an origin and a transaction
// besides (access/xlogrecord.h). Commits without much to tell are as short.
constexpr std::uint32_t kLongestRestorePoint = 24 + 3 + 5 + 2 + 8 + 64;

}  // namespace

Continued continued_record(ByteView start) {
    Continued record;
    const auto header = parse_page_header(start);
    if (!header || !header->is_long() || !header->is_continuation() || header->overwrites_continuation()) return record;
    record.is_wanted = header->remaining <= kLongestRestorePoint;
    record.page_size = header->page_size;
    record.timeline = header->timeline;
    return record;
}

void SegmentScan::begin(ByteView start, ByteView page_before) {
    done_ = !reader_.begin_segment(start, number_, size_).ok();
    const auto header = parse_page_header(start);
    if (!done_ && header && !page_before.empty()) reader_.take_page_before(page_before, header->remaining);
}

void SegmentScan::take(ByteView piece) {
    while (!done_ && piece.size() >= reader_.page_size()) {
        done_ = reader_.feed_page(piece.first(reader_.page_size())) == RecordReader::Next::kSegmentDone;
        piece = piece.subspan(reader_.page_size());
    }
}

void SegmentScan::note(const WalEvent& event) {
    if (event.ends_transaction()) events_.last_end = event;
    if (event.type != WalEvent::Type::kRestorePoint) return;
    if (events_.restore_points.size() < kMostRestorePoints)
        events_.restore_points.push_back(event);
    else
        ++events_.restore_points_left_out;
}

}  // namespace forge::wal
