// The archived WAL as recovery to one timeline sees it: which timelines lead there, which segment recovery would read
// at each place, what happened in it.
//
// One thread at a time.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/repository/repository.h"
#include "core/wal/record_reader.h"

namespace forge::restore {

inline Lsn start_of(const repository::BackupEntry& backup) { return backup.sentinel.start_lsn.value_or(0); }
inline Lsn finish_of(const repository::BackupEntry& backup) { return backup.sentinel.finish_lsn.value_or(0); }
// Its JSON says where it begins and ends; its parents and its WAL are other questions.
bool is_usable(const repository::BackupEntry& backup);
// The usable ones whose chain is whole, in the order in which they were finished.
std::vector<repository::BackupEntry> usable_backups(const std::vector<repository::BackupEntry>& all);

// A timeline and its ancestors. Positions from `begin` up to `end` are on `timeline`.
struct Branch {
    Timeline timeline = 0;
    Lsn begin = 0;
    Lsn end = UINT64_MAX;
};

class Lineage {
public:
    // By the history object of `timeline`; without one the timeline is taken to have no ancestors, as the server does.
    static Result<Lineage> read(repository::Repository& repository, const repository::WalListing& listing,
                                Timeline timeline, const store::CallContext& context);

    Timeline timeline() const { return branches_.back().timeline; }
    const std::vector<Branch>& branches() const { return branches_; }  // oldest first
    // The backup ended before its timeline was left for the next one.
    bool contains(const repository::BackupEntry& backup) const;
    const Branch& at(Lsn position) const;

private:
    std::vector<Branch> branches_;
};

// Of the archive's segments, by the first page of one of them. kInvalid when there is none.
Result<std::uint64_t> find_segment_size(repository::Repository& repository, const repository::WalListing& listing,
                                        const store::CallContext& context);

class ArchiveView {
public:
    ArchiveView(repository::Repository& repository, const repository::WalListing& listing, Lineage lineage,
                std::uint64_t segment_size, const store::CallContext& context);

    const Lineage& lineage() const { return lineage_; }
    std::uint64_t number_of(Lsn position) const { return layout::segment_number(position, segment_size_); }
    std::uint64_t segment_size() const { return segment_size_; }
    bool has(std::uint64_t number) const { return segments_.contains(number); }
    // Name of the segment that recovery reads there, whether the archive has it or not.
    std::string name(std::uint64_t number) const;
    // The highest segment present; 0 when there is none.
    std::uint64_t highest() const { return segments_.empty() ? 0 : segments_.rbegin()->first; }
    // The last segment that can be reached from `first` without a gap; nothing when `first` is missing.
    std::optional<std::uint64_t> reach(std::uint64_t first) const;
    // At most the first thousand.
    std::vector<std::string> missing_between(std::uint64_t first, std::uint64_t last) const;

    // Reads segments first..last, all of them present. Callbacks return false to stop; `on_record` (may be empty) comes
    // before `on_event` of the same record. kCorrupt when valid WAL ends before the last of them.
    using OnEvent = std::function<bool(const wal::WalEvent&)>;
    using OnRecord = std::function<bool(Lsn start, Lsn end)>;
    Status walk(std::uint64_t first, std::uint64_t last, const OnEvent& on_event, const OnRecord& on_record = {});

    // The first commit or abort of one segment; the last commit or abort, and the last commit, that begin before
    // `limit`, in segments first..last.
    Result<std::optional<wal::WalEvent>> first_end(std::uint64_t number);
    struct LastEnds {
        std::optional<wal::WalEvent> any, commit;
    };
    Result<LastEnds> last_ends(std::uint64_t first, std::uint64_t last, Lsn limit = UINT64_MAX);
    // Start of the last record of one segment.
    Result<std::optional<Lsn>> last_record(std::uint64_t number);

private:
    struct Held {
        std::string name;
        Lsn end = UINT64_MAX;  // where recovery leaves its timeline
    };
    Status feed(wal::RecordReader& reader, std::uint64_t number, bool only_pending);

    repository::Repository& repository_;
    const Lineage lineage_;
    const std::uint64_t segment_size_;
    const store::CallContext& context_;
    std::map<std::uint64_t, Held> segments_;
    std::map<std::uint64_t, std::optional<wal::WalEvent>> first_ends_;  // already found
};

}  // namespace forge::restore
