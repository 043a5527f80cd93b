// Looks at a WAL segment file while somebody else reads it: size, headers of its pages, digest.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "core/backup/sha256.h"
#include "core/restore/plan_archive.h"
#include "core/wal/page_header.h"

namespace forge::restore {

struct SegmentPlace {
    std::string name;  // 24 digits
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    Timeline timeline = 0;  // of the name
    Lsn end = UINT64_MAX;   // where recovery leaves this timeline; what lies behind is not looked at
    const Lineage* lineage = nullptr;
    std::uint64_t system_identifier = 0;  // 0 = not known
};

class SegmentWatch final : public Source {
public:
    // `place` outlives the watch.
    SegmentWatch(std::unique_ptr<Source> next, const SegmentPlace& place) : next_(std::move(next)), place_(place) {}
    Result<std::size_t> read(MutableBytes buffer) override;
    // Reads what nobody has read, to the very end.
    Status drain();

    // Of what is below: the content cannot be read.
    const Status& failure() const { return failure_; }

    // After drain(): what is wrong, empty when nothing is.
    std::string problem();
    backup::Digest digest() { return hash_.finish(); }

private:
    void look(ByteView data);
    void judge_first_page();
    void judge_page();
    void note_timeline(const wal::PageHeader& header);

    std::unique_ptr<Source> next_;
    const SegmentPlace& place_;
    Status failure_;
    backup::Sha256 hash_;
    std::uint64_t position_ = 0;
    std::uint64_t page_size_ = 8192;
    std::array<std::uint8_t, wal::kLongHeaderSize> header_{};  // of the page at hand, as far as it came
    bool readable_ = true;                                     // the first page makes sense
    std::string problem_;
    std::string timeline_problem_;
};

}  // namespace forge::restore
