#include "core/backup/engine.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <iterator>
#include <map>

#include "core/backup/changed_pages.h"
#include "core/backup/control_file.h"
#include "core/backup/delta_parent.h"
#include "core/backup/delta_plan.h"
#include "core/backup/manifest.h"
#include "core/backup/packer.h"
#include "core/backup/part_queue.h"
#include "core/backup/records.h"
#include "core/backup/scan.h"
#include "core/backup/worker_group.h"
#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/repository/mark.h"
#include "core/repository/server_history.h"

namespace forge::backup {
namespace {

constexpr std::string_view kControlMember = "/global/pg_control";
constexpr mode_t kPrivateFile = 0600;
constexpr int kFirstWithManifestTwo = 17;
constexpr std::size_t kListedCorruptPages = 100;
constexpr std::uint64_t kMemoryOfWorker =
    32ULL << 20;  // compressor, upload buffers and block buffers of one open part, generously
constexpr seconds kAbandonTime{20};

Result<std::string> real_path(const std::string& path) {
    std::array<char, PATH_MAX> buffer{};
    if (::realpath(path.c_str(), buffer.data()) == nullptr)
        return errno_status(errno, "could not access directory", path);
    return std::string(buffer.data());
}

std::string host_name() {
    std::array<char, 256> buffer{};
    if (::gethostname(buffer.data(), buffer.size() - 1) != 0) return {};
    return buffer.data();
}

std::string full_name(const BackupStart& start) {
    // On a standby the start point can be the very end of a segment that was replayed completely (walg-format 1.2).
    const Lsn at = start.from_standby && start.start_lsn > 0 ? start.start_lsn - 1 : start.start_lsn;
    const layout::Segment segment{start.timeline, layout::segment_number(at, start.segment_size)};
    return layout::full_backup_name(layout::segment_name(segment, start.segment_size));
}

std::string delta_name(const BackupStart& start, const DeltaParent& parent) {
    return full_name(start) + "_D_" + layout::backup_start_segment(parent.name());
}

// A file that is written from memory.
struct SmallFile {
    std::string member;  // name in the tar
    std::string_view content;
    std::int64_t mtime_seconds = 0;
};

// Files still to copy of each root: the data directory, then the tablespaces.
using FilesLeft = std::vector<std::atomic<std::uint32_t>>;

class Engine final : public BackupEngine {
public:
    Engine(std::shared_ptr<repository::Repository> repository, BackupStart start, ControlFile control, int major,
           Progress& progress, const CancelToken& cancel, Logger& logger)
        : repository_(std::move(repository)), start_(std::move(start)), major_(major), progress_(progress),
          cancel_(cancel), logger_(logger), name_(full_name(start_)),
          method_(repository_->settings().backup_compression),
          limit_(repository_->settings().disk_rate_limit, repository_->settings().cpu_limit) {
        if (start_.user_data.empty()) start_.user_data = repository_->settings().user_data;
        system_identifier_ = control.system_identifier;
        pages_have_right_size_ = control.block_size == kPageSize;
        sources_.data_directory = start_.data_directory;
        sources_.tablespaces = start_.tablespaces;
        sources_.version_directory = tablespace_version_directory(major, control);
        sources_.major_version = major;
        context_.reset(new PackContext{*repository_, name_, method_, repository_->settings().part_size_limit, sources_,
                                       start_.start_lsn, pages_have_checksums(control), control.relation_segment_blocks,
                                       limit_, progress_, workers_.stop(), team_, logger_});
    }
    ~Engine() override { abandon(); }

    const std::string& name() const override { return name_; }
    // Finds what to build on; afterwards the name is known and free: nothing is in its place but what a failed backup
    // left behind.
    Status prepare();
    Status copy_files() override;
    Result<BackupReport> finish(const BackupStop& stop) override;
    void abandon() override;

private:
    bool pages_have_checksums(const ControlFile& control) const {
        return start_.verify_checksums && control.checksum_version != 0 && control.block_size == kPageSize;
    }
    store::CallContext call() const {
        store::CallContext context;
        context.cancel = &cancel_;
        return context;
    }
    std::string folder() const { return std::string(layout::kBackupsFolder) + name_ + "/"; }

    Status take_name(std::string name);
    Status remove_objects(const store::CallContext& context);
    std::uint64_t worker_count() const;
    Result<ScanEntries> files_to_store();
    Result<ScanResult> scan(const LeaveOut& leave_out);
    Result<std::optional<ScanEntries>> plan_as_delta();
    Status become_full();
    Status run_workers(ScanEntries entries);
    Status work(Packer& packer, ScanEntries headers, PartQueue& queue, FilesLeft& left);
    Status pack_all(Packer& packer, ScanEntries headers, PartQueue& queue, FilesLeft& left);
    void collect(Packer& packer);
    Status check_pages() const;
    Status copy_control_file();
    Status write_part(const std::string& file_name, const std::vector<SmallFile>& files);
    Status find_wal(const BackupStop& stop);
    Status write_label(const BackupStop& stop);
    Status write_manifest_object(std::string_view sentinel);
    Status write_metadata(const layout::Sentinel& sentinel);
    Status write_sentinel(const std::string& json);
    layout::Sentinel make_sentinel(const BackupStop& stop) const;
    FileManifest make_file_manifest() const;
    Status check_parts_are_there() const;
    Status secure_chain();
    BackupReport make_report(const layout::Sentinel& sentinel) const;

    std::shared_ptr<repository::Repository> repository_;
    BackupStart start_;
    int major_;
    Progress& progress_;
    const CancelToken& cancel_;
    Logger& logger_;
    std::string name_;
    codec::Method method_;
    ReadLimit limit_;
    WorkerGroup workers_{cancel_};
    CompressionTeam team_{*repository_, method_, workers_.stop()};
    ScanOptions sources_;
    std::unique_ptr<PackContext> context_;

    std::unique_ptr<DeltaParent> parent_;  // nothing: a full backup
    std::uint64_t system_identifier_ = 0;
    bool pages_have_right_size_ = true;
    std::uint64_t catalog_size_ = 0;
    std::uint64_t packed_size_ = 0;
    BackupFiles files_;
    std::vector<WalRange> wal_;  // from start to finish
    bool copied_ = false;
    bool sentinel_attempted_ = false;
    bool ended_ = true;  // nothing to clean up
};

Status Engine::prepare() {
    if (pages_have_right_size_) {
        FORGE_ASSIGN(parent_, choose_parent(*repository_, start_, system_identifier_, call(), logger_));
    }
    return take_name(parent_ ? delta_name(start_, *parent_) : full_name(start_));
}

Status Engine::take_name(std::string name) {
    name_ = std::move(name);
    context_->backup_name = name_;
    const auto sentinel = repository_->store().head(layout::sentinel_key(name_), call());
    if (sentinel.ok() && start_.from_standby)
        return Status(Kind::kAlreadyExists,
                      "the standby has replayed no checkpoint in a later WAL segment than that of backup " +
                          quoted(name_) + ", which is there already",
                      "Call pg_switch_wal() and CHECKPOINT on the primary, and make the backup when the standby has "
                      "replayed both.");
    if (sentinel.ok())
        return Status(Kind::kAlreadyExists, "backup " + quoted(name_) + " already exists",
                      "Start the backup again after the next checkpoint.");
    if (!sentinel.status().is(Kind::kNotFound)) return sentinel.status();
    FORGE_TRY(remove_objects(call()));
    ended_ = false;
    return {};
}

Status Engine::remove_objects(const store::CallContext& context) {
    FORGE_ASSIGN(const auto objects, store::list_all(repository_->store(), folder(), context));
    std::vector<std::string> keys;
    for (const store::ObjectInfo& object : objects) keys.push_back(object.key);
    if (!keys.empty()) FORGE_TRY(repository_->store().remove(keys, context));
    return {};
}

Status Engine::copy_files() {
    FORGE_ASSIGN(ScanEntries entries, files_to_store());
    FORGE_TRY(run_workers(std::move(entries)));
    if (repository_->settings().fail_on_corrupt_pages) FORGE_TRY(check_pages());
    FORGE_CRASH_POINT("backup-before-control");
    FORGE_TRY(copy_control_file());
    FORGE_CRASH_POINT("backup-copied");
    copied_ = true;
    return {};
}

std::uint64_t Engine::worker_count() const {
    const settings::Settings& settings = repository_->settings();
    const std::uint64_t affordable = std::max<std::uint64_t>(1, settings.memory_limit / kMemoryOfWorker);
    return std::clamp<std::uint64_t>(static_cast<std::uint64_t>(std::max(1, settings.upload_concurrency)), 1,
                                     affordable);
}

// Nothing is uploaded yet, so that a delta can still become a full backup.
Result<ScanEntries> Engine::files_to_store() {
    if (parent_) {
        FORGE_ASSIGN(auto entries, plan_as_delta());
        if (entries) return std::move(*entries);
        FORGE_TRY(become_full());
    }
    FORGE_ASSIGN(ScanResult found, scan([](const ScanEntry&) { return false; }));
    progress_.bytes_total = progress_.bytes_done + found.file_bytes;
    return std::move(found.entries);
}

Result<ScanResult> Engine::scan(const LeaveOut& leave_out) {
    FORGE_ASSIGN(ScanResult found, scan_data_directory(sources_, leave_out, cancel_, logger_));
    catalog_size_ = found.catalog_size;
    progress_.files_total = found.files;
    return found;
}

// Nothing: a full backup would not be larger.
Result<std::optional<ScanEntries>> Engine::plan_as_delta() {
    // Unchanged files are most of them: they leave the walk as pointers into the list of the parent.
    FORGE_ASSIGN(ScanResult found, scan([this](const ScanEntry& file) {
                     const ListedFile* const unchanged = parent_->find_unchanged(file);
                     if (unchanged != nullptr) files_.skipped.push_back({unchanged, file.size});
                     return unchanged != nullptr;
                 }));
    FORGE_ASSIGN(DeltaPlan plan, plan_delta(std::move(found.entries), *parent_, *context_, workers_, worker_count()));
    if (plan.stored_bytes >= found.file_bytes) {
        logger_.log(LogLevel::kNotice,
                    "the backup is a full one: a delta of backup " + quoted(parent_->name()) + " would not be smaller");
        return std::optional<ScanEntries>();
    }
    logger_.log(LogLevel::kNotice, "delta of " + quoted(parent_->name()) + ", " +
                                       std::to_string(files_.skipped.size()) + " files unchanged, " +
                                       std::to_string(plan.incremented) + " with increments");
    progress_.bytes_total = progress_.bytes_done + plan.stored_bytes;
    progress_.files_done += static_cast<std::uint32_t>(files_.skipped.size());
    return std::optional<ScanEntries>(std::move(plan.entries));
}

Status Engine::become_full() {
    files_.skipped.clear();
    parent_.reset();
    return take_name(full_name(start_));
}

Status Engine::run_workers(ScanEntries entries) {
    PartQueue queue(std::move(entries));
    FilesLeft left(sources_.tablespaces.size() + 1);
    queue.visit([&](const ScanEntry& file) { ++left[file.root]; });
    for (const auto& count : left)
        if (count == 0) ++progress_.tablespaces_done;

    const std::uint64_t count = worker_count();
    context_->last_part_number = 1;
    std::vector<std::unique_ptr<Packer>> packers;
    for (std::uint64_t i = 0; i < count; ++i) {
        packers.push_back(std::make_unique<Packer>(*context_, i == 0 ? 1 : 0));
        // The first part begins with the directories, so that a reader who goes through the parts in order finds them
        // made.
        ScanEntries headers;
        if (i == 0) headers = std::move(queue.headers());
        Packer& packer = *packers.back();
        if (!workers_.start([this, &packer, headers, &queue, &left] { return work(packer, headers, queue, left); }))
            break;
    }
    FORGE_TRY(workers_.wait());
    for (const auto& packer : packers) collect(*packer);
    return {};
}

Status Engine::work(Packer& packer, ScanEntries headers, PartQueue& queue, FilesLeft& left) {
    {
        const CompressionTeam::Reader reader(team_);
        FORGE_TRY(pack_all(packer, std::move(headers), queue, left));
    }
    if (codec::has_pieces(method_)) team_.help();
    return {};
}

Status Engine::pack_all(Packer& packer, ScanEntries headers, PartQueue& queue, FilesLeft& left) {
    for (ScanEntry& header : headers) FORGE_TRY(packer.add_header(std::move(header)));
    ScanEntry file;
    while (queue.next(file)) {
        FORGE_TRY(workers_.stop().check());
        const std::size_t root = file.root;
        FORGE_TRY(packer.add_file(std::move(file)));
        ++progress_.files_done;
        if (--left[root] == 0) ++progress_.tablespaces_done;
    }
    return packer.close();
}

void Engine::collect(Packer& packer) {
    const auto offset = static_cast<std::uint32_t>(files_.parts.size());
    std::move(packer.parts().begin(), packer.parts().end(), std::back_inserter(files_.parts));
    for (; !packer.members().empty(); packer.members().pop_front()) {
        PackedMember& member = packer.members().front();
        member.part += offset;
        packed_size_ += member.size;
        files_.packed.push_back(std::move(member));
    }
}

Status Engine::check_pages() const {
    for (const PackedMember& member : files_.packed)
        if (member.bad)
            return Status(Kind::kCorrupt,
                          "file " + quoted(member.name.substr(1)) + " has " + std::to_string(member.bad->count) +
                              (member.bad->count == 1 ? " corrupt page" : " corrupt pages") + ", first block " +
                              std::to_string(member.bad->blocks.front()),
                          "Repair the data directory. With forge_backup.corrupt_pages = \"warn\" the backup would be "
                          "made, and record the page.");
    return {};
}

Status Engine::copy_control_file() {
    FORGE_ASSIGN(const ControlFile control, read_control_file(start_.data_directory));
    if (control.system_identifier != system_identifier_)
        return Status(Kind::kInvalid, "the data directory was replaced by another cluster during the backup");
    const std::string_view content = as_text(control.raw);
    const std::int64_t now = SystemClock().now().seconds();
    FORGE_TRY(write_part(layout::pg_control_part_name(method_), {{std::string(kControlMember), content, now}}));
    return {};
}

Status Engine::write_part(const std::string& file_name, const std::vector<SmallFile>& files) {
    FORGE_ASSIGN(auto part, PartWriter::open(*context_, file_name, cancel_));
    for (const SmallFile& file : files) {
        TarMember member;
        member.name = file.member;
        member.size = file.content.size();
        member.mode = kPrivateFile;
        member.mtime_seconds = file.member.starts_with('/') ? file.mtime_seconds : 0;
        FORGE_TRY(part->tar().begin(member));
        FORGE_TRY(part->tar().write(as_bytes(file.content)));
        packed_size_ += file.content.size();
        ManifestFile record;
        record.path = file.member.starts_with('/') ? file.member.substr(1) : file.member;
        record.size = file.content.size();
        record.mtime_seconds = file.mtime_seconds;
        record.checksum = file_checksum(as_bytes(file.content));
        files_.from_memory.push_back(std::move(record));
    }
    FORGE_ASSIGN(ManifestPart record, part->finish());
    files_.parts.push_back(std::move(record));
    return {};
}

// A standby goes on with the backup when its primary changes; the way from one timeline to the other is in the history
// of the last one.
Status Engine::find_wal(const BackupStop& stop) {
    const Timeline last = stop.timeline == 0 ? start_.timeline : stop.timeline;
    Lsn begin = start_.start_lsn;
    if (last != start_.timeline) {
        FORGE_ASSIGN(const auto history, repository::read_history(*repository_, start_.data_directory, last, call()));
        for (const layout::HistoryEntry& entry : history) {
            if (entry.timeline < start_.timeline || entry.switch_point <= begin) continue;
            wal_.push_back({entry.timeline, begin, entry.switch_point});
            begin = entry.switch_point;
        }
        if (wal_.empty() || wal_.front().timeline != start_.timeline || begin > stop.finish_lsn)
            return Status(Kind::kInvalid,
                          "the backup began on timeline " + std::to_string(start_.timeline) +
                              ", which does not lead to timeline " + std::to_string(last) + " where it ended",
                          "Make the backup again.");
    }
    wal_.push_back({last, begin, stop.finish_lsn});
    return {};
}

Status Engine::write_label(const BackupStop& stop) {
    const std::int64_t now = SystemClock().now().seconds();
    return write_part(layout::label_part_name(method_), {{std::string(kMapMember), stop.tablespace_map, now},
                                                         {std::string(kLabelMember), stop.backup_label, now}});
}

FileManifest Engine::make_file_manifest() const {
    FileManifest manifest;
    manifest.wal = wal_;
    manifest.system_identifier = system_identifier_;
    manifest.version = major_ >= kFirstWithManifestTwo ? 2 : 1;
    return manifest;
}

// `sentinel`: the text of the sentinel object that will follow; the two are bound together.
Status Engine::write_manifest_object(std::string_view sentinel) {
    Manifest manifest;
    manifest.backup = name_;
    manifest.sentinel_sha256 = sha256(as_bytes(sentinel));
    manifest.parts = files_.parts;
    manifest.files = make_file_manifest();
    if (parent_) {
        manifest.parent = parent_->name();
        manifest.parent_sentinel_sha256 = parent_->sentinel_sha256();
    }
    FORGE_ASSIGN(auto sink, repository_->create(manifest_key(name_, method_), method_, call()));
    FORGE_TRY(write_manifest(manifest, lists_of(files_), *sink));
    return sink->finish();
}

layout::Sentinel Engine::make_sentinel(const BackupStop& stop) const {
    layout::Sentinel sentinel;
    sentinel.start_lsn = start_.start_lsn;
    sentinel.finish_lsn = stop.finish_lsn;
    if (parent_) {
        sentinel.delta_lsn = parent_->start_lsn();
        sentinel.delta_from = parent_->name();
        sentinel.delta_full_name = parent_->root();
        sentinel.delta_count = parent_->count();
    }
    sentinel.pg_version = start_.pg_version;
    sentinel.system_identifier = system_identifier_;
    sentinel.uncompressed_size = packed_size_;
    for (const ManifestPart& part : files_.parts) sentinel.compressed_size += part.stored_size;
    sentinel.data_catalog_size = catalog_size_;
    if (!start_.tablespaces.empty()) sentinel.base_prefix = start_.data_directory;
    sentinel.tablespaces = start_.tablespaces;
    sentinel.user_data = start_.user_data;
    sentinel.start_time = start_.start_time;
    sentinel.finish_time = SystemClock().now();
    sentinel.hostname = host_name();
    sentinel.data_dir = start_.data_directory;
    sentinel.is_permanent = start_.permanent;
    sentinel.manifest = manifest_file_name(method_);
    if (wal_.size() > 1) sentinel.finish_timeline = wal_.back().timeline;
    return sentinel;
}

BackupReport Engine::make_report(const layout::Sentinel& sentinel) const {
    BackupReport report;
    report.name = name_;
    report.uncompressed = sentinel.uncompressed_size;
    report.compressed = sentinel.compressed_size;
    report.parts = static_cast<int>(files_.parts.size());
    if (parent_) report.parent = parent_->name();
    report.skipped_files = static_cast<int>(files_.skipped.size());
    report.files = report.skipped_files;
    for (const PackedMember& member : files_.packed) {
        if (member.is_file) ++report.files;
        if (member.incremented_size) ++report.incremented_files;
        if (!member.bad) continue;
        report.corrupt_pages += member.bad->count;
        for (const std::uint32_t block : member.bad->blocks)
            if (report.corrupt_files.size() < kListedCorruptPages)
                report.corrupt_files.push_back(member.name.substr(1) + ": block " + std::to_string(block));
    }
    return report;
}

Status Engine::write_metadata(const layout::Sentinel& sentinel) {
    store::ObjectStore& store = repository_->store();
    FORGE_TRY(store.put(layout::metadata_key(name_), as_bytes(layout::metadata_json(sentinel)), call()));
    FORGE_ASSIGN(auto sink, store.create(layout::files_metadata_key(name_), call()));
    FORGE_TRY(write_files_metadata(files_, *sink));
    return sink->finish();
}

// From here on the backup exists. When the answer got lost, what is there now tells whether we wrote it.
Status Engine::write_sentinel(const std::string& json) {
    const std::string key = layout::sentinel_key(name_);
    store::ObjectStore& store = repository_->store();
    sentinel_attempted_ = true;
    const auto outcome = store.put_if_absent(key, as_bytes(json), call());
    if (outcome.ok() && *outcome == store::PutOutcome::kStored) return {};
    if (auto source = store.get(key, std::nullopt, call()); source.ok()) {
        const auto there = read_all_text(**source, json.size() + 1);
        if (there.ok() && *there == json) return {};
    }
    if (!outcome.ok()) return outcome.status();
    return Status(Kind::kAlreadyExists, "backup " + quoted(name_) + " was made by somebody else meanwhile",
                  "Do not let two servers make backups of one cluster at the same time.");
}

// The last look before the backup exists. Somebody may have removed a part meanwhile: a rule of the bucket, a person,
// or the helper of a server that was killed, which tidies up after its own backup of the same name.
Status Engine::check_parts_are_there() const {
    const std::string parts_folder = layout::parts_folder(name_);
    FORGE_ASSIGN(const auto objects, store::list_all(repository_->store(), parts_folder, call()));
    std::map<std::string, std::uint64_t> there;
    for (const store::ObjectInfo& object : objects) there[object.key] = object.size;
    for (const ManifestPart& part : files_.parts) {
        const auto found = there.find(parts_folder + part.name);
        if (found != there.end() && found->second == part.stored_size) continue;
        return Status(
            Kind::kUnavailable,
            "object " + quoted(parts_folder + part.name) + " was " + (found == there.end() ? "removed" : "replaced") +
                " before the backup was complete",
            "Look for another server, program or rule that writes or deletes there; the backup is made again.");
    }
    return {};
}

// A delta without its parents could not be restored, and one that is kept for ever needs parents that are.
Status Engine::secure_chain() {
    FORGE_TRY(parent_->check_still_there(*repository_, call()));
    if (!start_.permanent) return {};
    for (const std::string& backup : parent_->chain())
        FORGE_TRY(repository::mark_permanent(*repository_, backup, true, call()));
    return {};
}

Result<BackupReport> Engine::finish(const BackupStop& stop) {
    if (!copied_ || ended_) return Status(Kind::kInternal, "the files of the backup were not copied");
    FORGE_TRY(find_wal(stop));
    FORGE_CRASH_POINT("backup-before-label");
    FORGE_TRY(write_label(stop));
    const layout::Sentinel sentinel = make_sentinel(stop);
    const std::string json = layout::sentinel_json(sentinel);
    FORGE_CRASH_POINT("backup-before-manifest");
    FORGE_TRY(write_manifest_object(json));
    FORGE_TRY(write_metadata(sentinel));
    FORGE_TRY(check_parts_are_there());
    if (parent_) FORGE_TRY(secure_chain());
    FORGE_CRASH_POINT("backup-before-sentinel");
    FORGE_TRY(write_sentinel(json));
    FORGE_CRASH_POINT("backup-after-sentinel");
    ended_ = true;
    return make_report(sentinel);
}

void Engine::abandon() {
    if (ended_) return;
    ended_ = true;
    store::CallContext context;
    context.deadline = Deadline::after(kAbandonTime);
    context.max_attempts = 2;
    if (sentinel_attempted_) {
        const auto sentinel = repository_->store().head(layout::sentinel_key(name_), context);
        if (!sentinel.status().is(Kind::kNotFound)) return;  // it may be complete, or another's
    }
    const Status removed = remove_objects(context);
    if (!removed.ok())
        logger_.warning("could not remove what was stored of the unfinished backup " + quoted(name_) + ": " +
                        removed.to_string());
}

Status check_start(BackupStart& start) {
    FORGE_ASSIGN(start.data_directory, real_path(start.data_directory));
    for (const char* name : {"PG_VERSION", "global/pg_control"})
        if (!path_exists(join_path(start.data_directory, name)))
            return Status(Kind::kInvalid, "directory " + quoted(start.data_directory) +
                                              " is not a data directory: it has no file " + quoted(name));
    if (!layout::is_valid_segment_size(start.segment_size))
        return Status(Kind::kInvalid, "WAL segment size " + std::to_string(start.segment_size) + " is not valid");
    if (start.timeline == 0 || start.start_lsn == 0)
        return Status(Kind::kInvalid, "the start point of the backup is not known");
    return {};
}

}  // namespace

Result<std::unique_ptr<BackupEngine>> begin_backup(std::shared_ptr<repository::Repository> repository,
                                                   BackupStart start, Progress& progress, const CancelToken& cancel,
                                                   Logger& logger) {
    FORGE_TRY(check_start(start));
    FORGE_ASSIGN(const int major, read_major_version(start.data_directory));
    FORGE_ASSIGN(ControlFile control, read_control_file(start.data_directory));
    if (control.segment_size != start.segment_size)
        return Status(Kind::kInvalid, "the cluster has WAL segments of " + std::to_string(control.segment_size) +
                                          " bytes, not of " + std::to_string(start.segment_size));
    auto engine = std::make_unique<Engine>(std::move(repository), std::move(start), std::move(control), major, progress,
                                           cancel, logger);
    FORGE_TRY(engine->prepare());
    return std::unique_ptr<BackupEngine>(std::move(engine));
}

}  // namespace forge::backup
