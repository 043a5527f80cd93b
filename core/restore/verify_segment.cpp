#include "core/restore/verify_segment.h"

#include <algorithm>

#include "core/base/text.h"

namespace forge::restore {
namespace {

constexpr std::size_t kBuffer = 128 * 1024;

}  // namespace

Result<std::size_t> SegmentWatch::read(MutableBytes buffer) {
    auto got = next_->read(buffer);
    failure_ = got.status();
    if (!got.ok()) return got;
    const ByteView data = buffer.first(*got);
    hash_.update(data);
    look(data);
    return got;
}

Status SegmentWatch::drain() {
    Bytes buffer(kBuffer);
    for (;;) {
        FORGE_ASSIGN(const std::size_t got, read(buffer));
        // A segment is never larger than this; what claims to be is not read to its end.
        if (got == 0 || position_ > (2ULL << 30)) return {};
    }
}

std::string SegmentWatch::problem() {
    if (!problem_.empty()) return problem_;
    if (position_ != place_.size)
        return "has " + std::to_string(position_) + " bytes instead of " + std::to_string(place_.size);
    return timeline_problem_;
}

void SegmentWatch::look(ByteView data) {
    while (!data.empty()) {
        const std::uint64_t at = position_ % page_size_;
        const std::size_t wanted = position_ < page_size_ ? wal::kLongHeaderSize : wal::kShortHeaderSize;
        std::size_t step = 0;
        if (at < wanted) {
            step = static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), wanted - at));
            std::copy_n(data.begin(), step, header_.begin() + static_cast<std::ptrdiff_t>(at));
            position_ += step;
            if (at + step == wanted) position_ == wal::kLongHeaderSize ? judge_first_page() : judge_page();
        } else {
            step = static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), page_size_ - at));
            position_ += step;
        }
        data = data.subspan(step);
    }
}

void SegmentWatch::judge_first_page() {
    readable_ = false;
    const auto header = wal::parse_first_page(header_, "it");
    if (!header.ok()) {
        problem_ = header.status().message().substr(3);
        return;
    }
    if (const Status fits = wal::check_first_page(*header, place_.name, place_.size, place_.system_identifier);
        !fits.ok()) {
        problem_ = fits.message();
        return;
    }
    readable_ = true;
    page_size_ = header->page_size;
    note_timeline(*header);
}

// Behind the end of the records there may be anything; up to there the reader of the records looks at the address.
void SegmentWatch::judge_page() {
    if (!readable_) return;
    const auto header = wal::parse_page_header(ByteView(header_).first(wal::kShortHeaderSize));
    if (!header || header->is_long()) return;
    if (header->address == place_.number * place_.size + position_ - wal::kShortHeaderSize) note_timeline(*header);
}

void SegmentWatch::note_timeline(const wal::PageHeader& header) {
    if (header.address >= place_.end) return;
    const Timeline expected = place_.lineage->at(header.address).timeline;
    if (header.timeline == expected) {
        // A record that was broken off when the timeline was left has pages of the old one behind the switch point.
        if (header.overwrites_continuation()) timeline_problem_.clear();
    } else if (timeline_problem_.empty()) {
        timeline_problem_ = "has a page of timeline " + std::to_string(header.timeline) + " at " +
                            format_lsn(header.address) + ", where timeline " + std::to_string(expected) +
                            " is expected";
    }
}

}  // namespace forge::restore
