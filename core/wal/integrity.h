// Whether the archive has the WAL that leads to where a server is now, and whether its timeline is the newest there.
// wal-verify prints it.
#pragma once

#include "core/wal/timelines.h"

namespace forge::wal {

// Words of WAL-G, in its order (walg-format 9.7).
enum class SegmentState : std::uint8_t { kFound, kMissingDelayed, kMissingUploading, kMissingLost };
std::string_view state_name(SegmentState state);  // "MISSING_LOST"

enum class CheckStatus : std::uint8_t { kOk, kWarning, kFailure };
std::string_view status_name(CheckStatus status);  // "WARNING"

struct IntegrityOptions {
    Timeline timeline = 0;
    Lsn position = 0;         // where the server is; the segment of the byte before is not looked for
    std::uint64_t first = 0;  // number of the lowest segment that must be there
    std::uint64_t segment_size = layout::kDefaultSegmentSize;
    // Segments next to the server's that may be missing before one is found: those that need not be archived yet, and
    // those that may be on their way.
    std::uint64_t most_delayed = 0;
    std::uint64_t most_uploading = 16;
    Instant now;
};

// A run of segments of one timeline in one state.
struct IntegrityRow {
    Timeline timeline = 0;
    std::uint64_t first = 0, last = 0;  // segment numbers
    SegmentState state = SegmentState::kFound;
    std::uint64_t count() const { return last - first + 1; }
};
struct IntegrityReport {
    CheckStatus status = CheckStatus::kOk;
    std::vector<IntegrityRow> rows;  // from the lowest segment to the highest
};

// `archived`: segments and when they were stored. A segment is only on its way while nothing newer has been in the
// archive for longer than kUploadPatience: an old gap is a loss, however close it is to the server's position (W10).
inline constexpr seconds kUploadPatience{5 * 60};
IntegrityReport check_integrity(const std::map<layout::Segment, Instant>& archived, const Histories& histories,
                                const IntegrityOptions& options);

// Timeline of the segment on the way to `timeline`: of its last byte.
Timeline timeline_of_segment(const HistoryMap& histories, Timeline timeline, std::uint64_t number,
                             std::uint64_t segment_size);
// The backup lies, to its end, on the way that leads to `timeline`.
bool leads_to(const HistoryMap& histories, Timeline timeline, const repository::BackupEntry& backup,
              std::uint64_t segment_size);

struct TimelineReport {
    CheckStatus status = CheckStatus::kOk;
    Timeline current = 0;
    Timeline highest = 0;  // among the names of WAL and histories; 0 = there are none
};
TimelineReport check_timeline(const repository::WalListing& listing, Timeline current);

}  // namespace forge::wal
