#include "core/wal/segment_scan.h"

#include <utility>

namespace forge::wal {

void SegmentScan::take(ByteView piece) {
    if (!std::exchange(begun_, true)) done_ = !reader_.begin_segment(piece, number_, size_).ok();
    while (!done_ && piece.size() >= reader_.page_size()) {
        done_ = reader_.feed_page(piece.first(reader_.page_size())) == RecordReader::Next::kSegmentDone;
        piece = piece.subspan(reader_.page_size());
    }
}

}  // namespace forge::wal
