#include "core/restore/estimate.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "core/backup/file_checksum.h"
#include "core/backup/worker_group.h"
#include "core/base/text.h"
#include "core/restore/fetch_contents.h"
#include "core/restore/plan_archive.h"

namespace forge::restore {

namespace {

constexpr milliseconds kSampleTime{1000};
constexpr std::size_t kBufferSize = std::size_t{256} << 10;
// Starting the command, planning once more, syncing the file system, starting the server, its checkpoint at the end.
constexpr double kStartSeconds = 0.5;
constexpr std::size_t kTimelineDigits = 8;

struct Sample {
    std::uint64_t bytes = 0;
    double seconds = 0;
    double rate() const { return seconds > 0 ? static_cast<double>(bytes) / seconds : 0; }
};

double since(Steady::time_point start) { return std::chrono::duration<double>(Steady::now() - start).count(); }

// Reads as a restore does, to the end or the deadline.
Result<std::uint64_t> read_some(Source& source, const Deadline& deadline, const CancelToken& cancel) {
    Bytes buffer(kBufferSize);
    backup::FileHash hash;
    std::uint64_t total = 0;
    while (!deadline.passed()) {
        FORGE_TRY(cancel.check());
        FORGE_ASSIGN(const std::size_t size, source.read(buffer));
        if (size == 0) break;
        hash.update(ByteView(buffer).first(size));
        total += size;
    }
    return total;
}

class Measurement {
public:
    Measurement(repository::Repository& repository, const Plan& plan, const store::CallContext& context)
        : repository_(repository), plan_(plan), context_(context), cancel_(context.cancel ? *context.cancel : never_) {}

    // As many parts at a time as a restore reads.
    Result<Sample> parts(const std::vector<Part>& parts) {
        Sample sample;
        std::mutex mutex;
        std::size_t next = 0;
        const Steady::time_point start = Steady::now();
        const Deadline deadline = Deadline::after(kSampleTime);
        backup::WorkerGroup workers(cancel_);
        const auto job = [&]() -> Status {
            while (!deadline.passed()) {
                const Part* part = nullptr;
                {
                    const std::lock_guard lock(mutex);
                    if (next == parts.size()) break;
                    part = &parts[next++];
                }
                FORGE_ASSIGN(const auto source, repository_.open_object(part->key, part->method, context_));
                FORGE_ASSIGN(const std::uint64_t bytes, read_some(*source, deadline, workers.stop()));
                const std::lock_guard lock(mutex);
                sample.bytes += bytes;
            }
            return {};
        };
        for (int i = 0; i < std::max(1, repository_.settings().download_concurrency); ++i)
            if (!workers.start(job)) break;
        FORGE_TRY(workers.wait());
        sample.seconds = since(start);
        return sample;
    }

    // One segment: the first, which is there in every plan.
    Result<Sample> wal() {
        const Steady::time_point start = Steady::now();
        FORGE_ASSIGN(const auto source, repository_.open_wal(plan_.first_segment, context_));
        Sample sample;
        FORGE_ASSIGN(sample.bytes, read_some(*source, Deadline::after(kSampleTime), cancel_));
        sample.seconds = since(start);
        return sample;
    }

private:
    repository::Repository& repository_;
    const Plan& plan_;
    const store::CallContext& context_;
    const CancelToken never_;
    const CancelToken& cancel_;
};

// Of each place in the WAL the newest timeline's file is read (ArchiveView).
Result<std::uint64_t> stored_wal(repository::Repository& repository, const Plan& plan,
                                 const store::CallContext& context) {
    const std::string first = plan.first_segment.substr(kTimelineDigits);
    const std::string last = plan.last_segment.substr(kTimelineDigits);
    std::map<std::string, std::uint64_t> sizes;  // by place
    const std::string folder = "wal_005/";
    // Where nothing is compressed, the key of the first segment is just this name: one character less sorts before it.
    const std::string before = folder + plan.first_segment.substr(0, plan.first_segment.size() - 1);
    const auto visit = [&](const store::ObjectInfo& object) {
        const auto wal = layout::parse_wal_key(object.key);
        if (!wal || wal->kind != layout::WalKind::kSegment) return true;
        if (wal->name > plan.last_segment) return false;
        const std::string place = wal->name.substr(kTimelineDigits);
        const auto timeline = parse_number<Timeline>(std::string_view(wal->name).substr(0, kTimelineDigits), 16);
        const bool on_the_way = std::find(plan.lineage.begin(), plan.lineage.end(), timeline) != plan.lineage.end();
        if (on_the_way && place >= first && place <= last) sizes[place] = object.size;
        return true;
    };
    FORGE_TRY(repository.store().list_after(folder, before, visit, context));
    std::uint64_t total = 0;
    for (const auto& [place, size] : sizes) total += size;
    return total;
}

void add(Estimate& estimate, const BackupContents& contents) {
    estimate.chain.push_back(contents.name);
    for (const Part& part : contents.data_parts) estimate.backup_bytes += part.stored_size;
    if (contents.control_part) estimate.backup_bytes += contents.control_part->stored_size;
    if (contents.label_part) estimate.backup_bytes += contents.label_part->stored_size;
    estimate.backup_plain_bytes += contents.sentinel.uncompressed_size;
}

Result<std::uint64_t> segment_size_of(repository::Repository& repository, const Plan& plan,
                                      const store::CallContext& context) {
    repository::WalListing only;
    only.segments = {plan.first_segment};
    return find_segment_size(repository, only, context);
}

}  // namespace

double seconds_of(const Estimate& estimate, std::uint64_t segments) {
    if (estimate.rates.backup <= 0 || estimate.rates.wal <= 0) return 0;
    const auto plain = static_cast<double>(estimate.backup_plain_bytes);
    const auto wal = static_cast<double>(estimate.wal_plain_bytes);
    // The disk works while the next bytes are fetched, and segments are fetched ahead while others are replayed: the
    // slower of both counts.
    return kStartSeconds + plain / std::min(estimate.rates.backup, Rates::kWrite) +
           static_cast<double>(segments) * estimate.rates.command + wal / std::min(estimate.rates.wal, Rates::kReplay);
}

Result<Estimate> estimate_restore(repository::Repository& repository, const Plan& plan, const TimeCommand& time_command,
                                  const store::CallContext& context, Logger& logger) {
    Estimate estimate;
    FORGE_ASSIGN(estimate.wal_bytes, stored_wal(repository, plan, context));
    FORGE_ASSIGN(const std::uint64_t segment_size, segment_size_of(repository, plan, context));
    estimate.wal_plain_bytes = plan.segments * segment_size;
    const auto chain = examine_chain(repository, plan.backup, {}, context, logger);
    if (!chain.ok()) {
        if (!chain.status().is(Kind::kCorrupt) && !chain.status().is(Kind::kInvalid)) return chain.status();
        estimate.refused = chain.status();
        estimate.chain = {plan.backup.name};
        estimate.backup_bytes = plan.backup.sentinel.compressed_size;
        estimate.backup_plain_bytes = plan.backup.sentinel.uncompressed_size;
        return estimate;
    }
    for (const auto& contents : *chain) add(estimate, *contents);
    Measurement measurement(repository, plan, context);
    // The full backup is where most bytes come from.
    FORGE_ASSIGN(const Sample parts, measurement.parts(chain->back()->data_parts));
    FORGE_ASSIGN(const Sample wal, measurement.wal());
    estimate.rates.backup = parts.rate();
    estimate.rates.wal = wal.rate();
    const std::optional<double> command = time_command ? time_command(plan.first_segment) : std::nullopt;
    estimate.rates.command = command ? std::max(0.0, *command - wal.seconds) : Rates::kCommand;
    estimate.seconds = seconds_of(estimate, plan.segments);
    return estimate;
}

}  // namespace forge::restore
