#include "core/wal/commit_scan.h"

#include "core/base/file.h"

namespace forge::wal {

Result<std::optional<WalEvent>> CommitScan::scan(const std::string& name, const std::string& path) {
    const auto segment = layout::parse_segment(name, segment_size_);
    if (!segment) return std::optional<WalEvent>();
    const bool goes_on = last_ && last_->timeline == segment->timeline && last_->number + 1 == segment->number;
    last_.reset();
    if (!goes_on) {
        reader_.emplace([this](const WalEvent& event) {
            if (event.ends_transaction()) found_ = event;
            return true;
        });
        const layout::Segment before{segment->timeline, segment->number - 1};
        const std::string beside = path.substr(0, path.rfind('/') + 1) + layout::segment_name(before, segment_size_);
        // It may be recycled, or that of an older timeline: then a record that began there is not known.
        if (segment->number > 0 && path_exists(beside)) (void)feed(before, beside);
    }
    found_.reset();
    FORGE_TRY(feed(*segment, path));
    last_ = segment;
    return found_;
}

Status CommitScan::feed(const layout::Segment& segment, const std::string& path) {
    FORGE_ASSIGN(const auto file, FileSource::open(path));
    return reader_->feed(*file, segment.number, segment_size_);
}

}  // namespace forge::wal
