// The WAL that backups need: which segments these are, and whether they hold what they should.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "core/restore/verify_inventory.h"
#include "core/restore/verify_segment.h"
#include "core/wal/record_reader.h"

namespace forge::restore {

// One job for a worker.
struct VerifyJob {
    std::uint64_t weight = 0;  // bytes to read as stored
    std::function<Status()> run;
};

class WalCheck {
public:
    // Both outlive the object. `unmetered`: for the few bytes that are read a second time.
    WalCheck(VerifyContext& context, repository::Repository& unmetered) : context_(context), unmetered_(unmetered) {}

    // Lists the archive, once.
    Status list();
    // Of the cluster, by the control file of the backup, else by the archive.
    Result<std::uint64_t> segment_size(const Inventory& backup);
    // Adds the WAL of a backup, from its start to its end; with `all` on to where the archive ends. What is missing is
    // reported at once.
    Status add(const Inventory& backup, bool all);
    // After the last add(). The jobs refer to this object.
    std::vector<VerifyJob> jobs();

private:
    struct Copy {
        std::string key;
        codec::Method method = codec::Method::kNone;
        std::uint64_t size = 0;
    };
    struct Segment {
        SegmentPlace place;
        const std::vector<Copy>* copies = nullptr;
        Lsn needed = 0;      // backups need the WAL up to here
        std::string remark;  // where nothing is wrong
    };
    // Segments that follow each other, read by one worker one after the other, so that records that go over from one
    // to the next are seen whole.
    struct Run {
        std::vector<Segment*> segments;
        const Segment* after = nullptr;  // what follows, in another run
        std::optional<wal::RecordReader> reader;
        Lsn end = UINT64_MAX;  // of the timeline of the segment at hand
    };

    Result<const ArchiveView*> view_of(Timeline timeline, std::uint64_t segment_size);
    Result<Timeline> newest_timeline(const Inventory& backup);
    void add_segment(const ArchiveView& view, std::uint64_t number, Lsn needed, const Inventory& backup);
    void add_rest(const ArchiveView& view, std::uint64_t last, const Inventory& backup);
    void add_small(const std::string& name);
    void count(const std::vector<Copy>& copies);

    Status check_small(const std::string& name);
    Status check_run(Run& run);
    Status check_segment(const Segment& segment, Run& run, const Segment* after);
    Status read_segment(const Segment& segment, Run& run, ObjectProblems& problems, backup::Digest& digest);
    void judge_records(const Segment& segment, Run& run, const Status& records, ObjectProblems& problems);
    Status finish_record(const Segment& after, Run& run, ObjectProblems& problems);
    Status check_other_copies(const Segment& segment, const std::optional<backup::Digest>& first);

    VerifyContext& context_;
    repository::Repository& unmetered_;
    repository::WalListing listing_;
    std::map<std::string, std::vector<Copy>> copies_;  // by name of the WAL file
    std::map<std::pair<Timeline, std::uint64_t>, std::unique_ptr<ArchiveView>> views_;
    std::map<std::string, Segment> segments_;  // by name
    std::map<std::string, bool> small_;        // histories and labels of backups that were added
    std::vector<std::unique_ptr<Run>> runs_;
    std::optional<std::uint64_t> archive_segment_size_;
};

}  // namespace forge::restore
