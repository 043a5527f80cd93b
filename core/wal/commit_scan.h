// Finds the last end of a transaction in segments as they are archived, one after the other: how far back from now a
// restore could go is known then without reading anything of the store. Records that go on in the next segment count
// there. Used by one thread at a time.
#pragma once

#include <optional>
#include <string>

#include "core/layout/names.h"
#include "core/wal/record_reader.h"

namespace forge::wal {

class CommitScan {
public:
    explicit CommitScan(std::uint64_t segment_size) : segment_size_(segment_size) {}

    // Reads the segment `name` at `path`: its last commit or abort (nothing: there is none). Where it does not follow the
    // one before, its predecessor is read as well if it lies beside it, for the record that begins there.
    Result<std::optional<WalEvent>> scan(const std::string& name, const std::string& path);

private:
    Status feed(const layout::Segment& segment, const std::string& path);

    const std::uint64_t segment_size_;
    std::optional<RecordReader> reader_;
    std::optional<layout::Segment> last_;  // that was read
    std::optional<WalEvent> found_;
};

}  // namespace forge::wal
