// The archived WAL by timeline: what there is of each, where it branched off, what is missing. wal-show prints it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"
#include "core/wal/history.h"

namespace forge::wal {

// --- segment sizes ---------------------------------------------------------------------------------------------------

// The size with which a backup's start position lies in the segment its name gives; nothing when several do or none.
std::optional<std::uint64_t> segment_size_of(const repository::BackupEntry& backup);
// Segments that are asked for their size before the default is taken.
inline constexpr std::size_t kMostAsked = 3;
// Of the whole archive: by the backups, else by the first page of one of the last kMostAsked segments, which are
// sorted, else 16 MiB.
Result<std::uint64_t> archive_segment_size(repository::Repository& repository,
                                           const std::vector<repository::BackupEntry>& backups,
                                           const std::vector<std::string>& segments, const store::CallContext& context);
// Segment of the last byte of WAL that the backup itself needs; empty when the backup does not say.
std::string last_segment_of(const repository::BackupEntry& backup, std::uint64_t segment_size);

// --- histories -------------------------------------------------------------------------------------------------------

// The timeline histories of the archive. One that cannot be read is left out and told.
struct Histories {
    HistoryMap of;  // oldest ancestor first
    std::vector<std::string> problems;
};
// `names`: "00000002.history". Fails only when the store does not answer.
Result<Histories> read_histories(repository::Repository& repository, const std::vector<std::string>& names,
                                 const store::CallContext& context);

// --- the archive by timeline -----------------------------------------------------------------------------------------

struct TimelineSummary {
    Timeline timeline = 0;
    Timeline parent = 0;                                  // 0 = none known
    Lsn switch_point = 0;                                 // where it left the parent
    std::uint64_t first = 0, last = 0;                    // numbers of the lowest and the highest segment
    std::uint64_t count = 0;                              // of the segments that are there
    std::vector<std::uint64_t> missing;                   // between first and last, at most kMostMissing
    std::vector<const repository::BackupEntry*> backups;  // that begin and end in the range, newest first
    std::uint64_t range() const { return last - first + 1; }
    bool complete() const { return count == range(); }
};
inline constexpr std::size_t kMostMissing = 100'000;

// Ascending by timeline. `segments` as in WalListing; those whose names do not fit the size are no segments (W9). The
// result points into `backups`.
std::vector<TimelineSummary> summarize_timelines(const std::vector<std::string>& segments, std::uint64_t segment_size,
                                                 const Histories& histories,
                                                 const std::vector<repository::BackupEntry>& backups);

}  // namespace forge::wal
