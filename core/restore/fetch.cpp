#include "core/restore/fetch.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>

#include "core/backup/control_file.h"
#include "core/backup/manifest.h"
#include "core/backup/worker_group.h"
#include "core/base/crash_point.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/repository/owner.h"
#include "core/restore/fetch_extract.h"

namespace forge::restore {
namespace {

constexpr mode_t kPrivateFile = 0600;
constexpr std::size_t kNamedMissing = 3;
constexpr std::size_t kReadBuffer = 256 * 1024;

constexpr long kZfsMagic = 0x2fc12fc1;

// A file system, as far as the room in it matters.
struct Disk {
    std::uint64_t device = 0;
    std::uint64_t free = 0;  // bytes
    // What takes less room than it has bytes: nobody can say beforehand whether a restore fits.
    bool compresses = false;
};

// Where `path` is, or would be when it was made; nothing when that cannot be found out.
std::optional<Disk> disk_of(std::string path) {
    while (!path_exists(path) && path != "/" && path != ".") path = parent_path(path);
    struct ::stat st {};
    struct ::statfs info {};
    if (::stat(path.c_str(), &st) != 0 || ::statfs(path.c_str(), &info) != 0) return std::nullopt;
    Disk disk;
    disk.device = st.st_dev;
    disk.free = static_cast<std::uint64_t>(info.f_bavail) * static_cast<std::uint64_t>(info.f_bsize);
    disk.compresses = info.f_type == BTRFS_SUPER_MAGIC || info.f_type == kZfsMagic;
    return disk;
}

std::uint64_t free_bytes(const std::string& directory) {
    const auto disk = disk_of(directory);
    return disk ? disk->free : 0;
}

// "START WAL LOCATION: 0/3000028 (file 000000010000000000000003)"
std::optional<Lsn> label_start(const std::string& label) {
    constexpr std::string_view kPrefix = "START WAL LOCATION: ";
    if (!label.starts_with(kPrefix)) return std::nullopt;
    const std::size_t end = label.find(' ', kPrefix.size());
    if (end == std::string::npos) return std::nullopt;
    return parse_lsn(std::string_view(label).substr(kPrefix.size(), end - kPrefix.size()));
}

class Fetch {
public:
    Fetch(repository::Repository& repository, const repository::BackupEntry& backup, const FetchOptions& options,
          FetchProgress& progress, const CancelToken& cancel, Logger& logger)
        : repository_(repository), backup_(backup), options_(options), progress_(progress), cancel_(cancel),
          logger_(logger) {}

    // Everything that can be refused without touching the target.
    Status prepare();
    // In place: the last word of the caller.
    Status ask();
    // Leaves an incomplete directory behind when it fails.
    Status run();
    const std::string& target() const { return places_.target; }

private:
    Status check_room() const;
    Status check_room(const std::string& directory, std::uint64_t needed, std::uint64_t freed) const;
    Status open_target();
    Status extract_levels();
    Status extract_parts(Level& level);
    Status read_control_part();
    Status read_label_part();
    Status check_label(const std::string& label) const;
    Status write_label_files();
    Status write_manifest();
    Status checksum_assembled_files();
    Status check_complete() const;
    Status write_file(const std::string& name, std::string_view content);
    Status put_control_file();
    const BackupContents& contents() const { return *chain_.front(); }  // of the backup itself
    ExtractContext context_for(Level& level, const CancelToken& stop) {
        return {repository_, level, *tree_, *journal_, progress_, stop, logger_};
    }

    repository::Repository& repository_;
    const repository::BackupEntry& backup_;
    const FetchOptions& options_;
    FetchProgress& progress_;
    const CancelToken& cancel_;
    Logger& logger_;
    Places places_;
    std::vector<std::unique_ptr<BackupContents>> chain_;
    std::unique_ptr<Sources> sources_;
    std::unique_ptr<Journal> journal_;
    std::unique_ptr<TargetTree> tree_;
    std::map<std::string, std::string> label_files_;
    std::vector<std::string> set_aside_;
    std::string control_text_;
    backup::ControlFile control_;
};

Status Fetch::prepare() {
    if (!backup_.readable)
        return Status(Kind::kCorrupt, "backup " + quoted(backup_.name) + " cannot be read: " + backup_.problem);
    store::CallContext call;
    call.cancel = &cancel_;
    const ExamineOptions examine{options_.allow_unlisted};
    FORGE_ASSIGN(chain_, examine_chain(repository_, backup_, examine, call, logger_));
    FORGE_ASSIGN(places_, find_places(contents().sentinel, options_));
    FORGE_ASSIGN(sources_, find_sources(chain_));
    std::uint32_t parts = contents().label_part ? 2 : 1;
    for (const auto& level : sources_->levels) {
        parts += static_cast<std::uint32_t>(level->parts.size());
        if (!level->parts.empty()) progress_.bytes_total += level->contents->sentinel.uncompressed_size;
    }
    progress_.parts_total = parts;
    return check_room();
}

// What does not fit is refused while nothing is touched. One that is taken up has part of it there already, and finds
// out.
Status Fetch::check_room() const {
    if (Journal::is_there(places_.target)) return {};
    std::map<std::string, std::uint64_t> needed;  // by directory
    needed[places_.target] = 0;
    for (const ListedFile& file : contents().files) {
        std::string directory = places_.target;
        for (const TablespacePlace& place : places_.tablespaces)
            if (file.name.starts_with("pg_tblspc/" + place.oid + "/")) directory = place.location;
        needed[directory] += file.size.value_or(0);
    }
    // A backup of another program does not say how long its files are; all of it lies in one place then.
    if (!contents().manifest && places_.tablespaces.empty())
        needed[places_.target] = chain_.back()->sentinel.uncompressed_size;
    std::map<std::uint64_t, std::pair<std::string, std::uint64_t>> by_device;
    for (const auto& [directory, size] : needed) {
        const auto disk = disk_of(directory);
        if (!disk) continue;
        auto& [first, sum] = by_device[disk->device];
        if (first.empty()) first = directory;
        sum += size;
    }
    std::map<std::uint64_t, std::uint64_t> freed;
    if (options_.in_place)
        for (const auto& [directory, size] : options_.in_place->bytes)
            if (const auto disk = disk_of(directory)) freed[disk->device] += size;
    for (const auto& [device, place] : by_device) FORGE_TRY(check_room(place.first, place.second, freed[device]));
    return {};
}

Status Fetch::check_room(const std::string& directory, std::uint64_t needed, std::uint64_t freed) const {
    const auto disk = disk_of(directory);
    if (!disk) return {};
    const std::uint64_t free = disk->free + freed;
    if (free >= needed) return {};
    const std::string text = "the backup needs " + format_size(needed) + ", and only " + format_size(free) +
                             " are free in the file system of " + quoted(directory);
    if (!disk->compresses)
        return Status(Kind::kExhausted, text, "Make room there, or restore to another place. Nothing was touched.");
    logger_.warning(text);
    return {};
}

Status Fetch::ask() {
    if (!options_.in_place) return {};
    std::set<std::string> names;
    for (const ListedFile& file : contents().files) names.insert(file.name.substr(0, file.name.find('/')));
    set_aside_ = to_set_aside(*options_.in_place, names);
    return options_.before_replacing ? options_.before_replacing(set_aside_) : Status();
}

Status Fetch::open_target() {
    FORGE_TRY(create_target(places_));
    FORGE_ASSIGN(journal_, Journal::open(places_, backup_.name, contents().sentinel_sha256));
    if (journal_->resumed())
        logger_.log(LogLevel::kNotice, "an earlier restore into " + quoted(places_.target) + " is taken up, " +
                                           std::to_string(journal_->done_count()) + " of " +
                                           std::to_string(progress_.parts_total.load()) + " parts are there");
    FORGE_TRY(create_places(places_));
    FORGE_TRY(forget_making_way(places_.target));
    FORGE_ASSIGN(tree_, TargetTree::open(places_, journal_->resumed() || options_.in_place));
    return {};
}

Status Fetch::run() {
    if (options_.in_place) FORGE_TRY(make_way(*options_.in_place, set_aside_));
    FORGE_TRY(open_target());
    // The control file comes last of all: only the journal was left to remove.
    if (journal_->resumed() && path_exists(join_path(places_.target, kControlName))) return journal_->remove();
    FORGE_CRASH_POINT("restore-begun");
    FORGE_TRY(extract_levels());
    FORGE_TRY(read_control_part());
    FORGE_TRY(read_label_part());
    FORGE_TRY(check_complete());
    FORGE_TRY(write_label_files());
    if (contents().manifest) FORGE_TRY(write_manifest());
    FORGE_ASSIGN(const int major, backup::read_major_version(places_.target));
    FORGE_TRY(tree_->finish(major));
    if (options_.before_startable) FORGE_TRY(options_.before_startable(places_.target, control_));
    if (options_.sync) FORGE_TRY(tree_->sync());
    FORGE_TRY(cancel_.check());
    FORGE_CRASH_POINT("restore-before-control");
    FORGE_TRY(put_control_file());
    FORGE_CRASH_POINT("restore-after-control");
    return journal_->remove();
}

// One backup after the other, the newest first; the parts of each side by side.
Status Fetch::extract_levels() {
    for (const auto& level : sources_->levels) FORGE_TRY(extract_parts(*level));
    return {};
}

Status Fetch::extract_parts(Level& level) {
    std::atomic<std::size_t> next{0};
    backup::WorkerGroup workers(cancel_);
    ExtractContext context = context_for(level, workers.stop());
    const auto job = [&]() -> Status {
        Extractor extractor(context);
        for (std::size_t i = next++; i < level.parts.size(); i = next++) {
            FORGE_TRY(workers.stop().check());
            FORGE_TRY(extractor.extract(*level.parts[i]));
        }
        return {};
    };
    const std::size_t wanted = static_cast<std::size_t>(std::max(1, options_.concurrency));
    const std::size_t threads = std::min(wanted, std::max<std::size_t>(1, level.parts.size()));
    for (std::size_t i = 0; i < threads; ++i)
        if (!workers.start(job)) break;
    return workers.wait();
}

// Objects are not bound to their keys by encryption: a control file of another cluster shows here.
Status Fetch::read_control_part() {
    ExtractContext context = context_for(*sources_->levels.front(), cancel_);
    FORGE_ASSIGN(auto files, Extractor(context).read_small(*contents().control_part));
    const std::string& key = contents().control_part->key;
    if (files.size() != 1 || !files.contains(std::string(kControlName)))
        return Status(Kind::kCorrupt, "object " + quoted(key) + " does not hold the control file and nothing else");
    control_text_ = std::move(files.begin()->second);
    auto control = backup::parse_control_file(as_bytes(control_text_));
    if (!control.ok()) return control.status().with_context("object " + quoted(key));
    control_ = std::move(control).value();
    const std::uint64_t expected = contents().sentinel.system_identifier;
    if (expected != 0 && control_.system_identifier != expected)
        return Status(Kind::kCorrupt, "object " + quoted(key) + " is of the cluster with system identifier " +
                                          std::to_string(control_.system_identifier) + ", the backup is of " +
                                          std::to_string(expected));
    return {};
}

Status Fetch::read_label_part() {
    if (!contents().label_part) {
        // Backups taken over the replication protocol have the label among the data.
        const std::string path = join_path(places_.target, kLabelName);
        if (!path_exists(path))
            return Status(Kind::kCorrupt, "backup " + quoted(backup_.name) + " has no backup_label");
        FORGE_ASSIGN(const std::string label, forge::read_file(path, 1 << 20));
        return check_label(label);
    }
    ExtractContext context = context_for(*sources_->levels.front(), cancel_);
    FORGE_ASSIGN(label_files_, Extractor(context).read_small(*contents().label_part));
    for (const auto& [name, content] : label_files_)
        if (name != kLabelName && name != kMapName)
            return Status(Kind::kCorrupt,
                          "object " + quoted(contents().label_part->key) + " holds file " + quoted(name));
    const auto label = label_files_.find(std::string(kLabelName));
    if (label == label_files_.end())
        return Status(Kind::kCorrupt, "object " + quoted(contents().label_part->key) + " has no backup_label");
    return check_label(label->second);
}

Status Fetch::check_label(const std::string& label) const {
    const auto start = label_start(label);
    if (!start)
        return Status(Kind::kCorrupt, "backup_label of backup " + quoted(backup_.name) + " has no start location");
    if (contents().sentinel.start_lsn && *contents().sentinel.start_lsn != *start)
        return Status(Kind::kCorrupt, "backup_label says that the backup starts at " + format_lsn(*start) +
                                          ", its sentinel says " + format_lsn(*contents().sentinel.start_lsn));
    return {};
}

Status Fetch::check_complete() const {
    std::vector<std::string> missing;
    for (const auto& level : sources_->levels)
        for (const Claim& claim : level->claims)
            if (!claim.seen) missing.emplace_back(claim.name);
    if (missing.empty()) return {};
    std::sort(missing.begin(), missing.end());
    std::string names;
    for (std::size_t i = 0; i < std::min(missing.size(), kNamedMissing); ++i)
        names += (i > 0 ? ", " : "") + quoted(missing[i]);
    return Status(Kind::kCorrupt, "backup " + quoted(backup_.name) + " lacks " + std::to_string(missing.size()) +
                                      (missing.size() == 1 ? " file: " : " files, among them ") + names);
}

Status Fetch::write_file(const std::string& name, std::string_view content) {
    TargetTree::Cursor cursor;
    FORGE_ASSIGN(const Fd fd, tree_->create_file(name, kPrivateFile, cursor));
    return write_fd(fd.get(), as_bytes(content), join_path(places_.target, name));
}

// The server makes the links of tablespace_map again when it starts: they must lead to where the tablespaces are now.
Status Fetch::write_label_files() {
    for (auto& [name, content] : label_files_) {
        if (name == kMapName) {
            FORGE_ASSIGN(content, rewrite_tablespace_map(content, places_));
        }
        FORGE_TRY(write_file(name, content));
    }
    if (contents().label_part) return {};
    const std::string path = join_path(places_.target, kMapName);
    if (!path_exists(path)) return {};
    FORGE_ASSIGN(const std::string map, forge::read_file(path, 16 << 20));
    FORGE_ASSIGN(const std::string rewritten, rewrite_tablespace_map(map, places_));
    return write_file_durably(path, as_bytes(rewritten));
}

// backup_manifest, for pg_verifybackup; the map may have changed above.
Status Fetch::write_manifest() {
    FileList& files = chain_.front()->files;
    for (const auto& [name, content] : label_files_) {
        ListedFile* const file = files.find(name);
        if (file == nullptr) continue;
        file->size = content.size();
        file->checksum = backup::file_checksum(as_bytes(content));
    }
    FORGE_TRY(checksum_assembled_files());
    TargetTree::Cursor cursor;
    const std::string path = join_path(places_.target, "backup_manifest");
    FORGE_ASSIGN(const Fd fd, tree_->create_file("backup_manifest", kPrivateFile, cursor));
    FdSink sink(fd.get(), path);
    const auto next = [at = files.begin(), end = files.end()](backup::ManifestFile& file) mutable {
        if (at == end) return false;
        file = {at->name, at->size.value_or(0), at->mtime.seconds(), at->checksum};
        ++at;
        return true;
    };
    return backup::write_file_manifest(contents().manifest->files, next, sink);
}

Result<backup::FileChecksum> checksum_file(TargetTree& tree, const std::string& name, TargetTree::Cursor& cursor) {
    FORGE_ASSIGN(Fd fd, tree.open_for_reading(name, cursor));
    FileSource source(std::move(fd), name);
    backup::FileHash hash;
    Bytes buffer(kReadBuffer);
    while (true) {
        FORGE_ASSIGN(const std::size_t size, source.read(buffer));
        if (size == 0) return hash.finish();
        hash.update(ByteView(buffer).first(size));
    }
}

// Of files that were put together no backup has a checksum. What went into them was compared with the digests of the
// parts.
Status Fetch::checksum_assembled_files() {
    std::vector<ListedFile*> open;
    for (ListedFile& file : chain_.front()->files)
        if (!file.checksum) open.push_back(&file);
    std::atomic<std::size_t> next{0};
    backup::WorkerGroup workers(cancel_);
    const auto job = [&]() -> Status {
        TargetTree::Cursor cursor;
        for (std::size_t i = next++; i < open.size(); i = next++) {
            FORGE_TRY(workers.stop().check());
            FORGE_ASSIGN(open[i]->checksum, checksum_file(*tree_, open[i]->name, cursor));
        }
        return {};
    };
    for (int i = 0; i < std::max(1, options_.concurrency) && !open.empty(); ++i)
        if (!workers.start(job)) break;
    return workers.wait();
}

// The last step: with this file the directory can be started.
Status Fetch::put_control_file() {
    const std::string path = join_path(places_.target, kControlName);
    // A run that was killed just here has left its file under the name that it had until then.
    FORGE_ASSIGN(const auto names, list_directory(parent_path(path)));
    for (const std::string& name : names)
        if (name.starts_with("pg_control.tmp.")) FORGE_TRY(remove_file(join_path(parent_path(path), name)));
    FORGE_TRY(write_file_durably(path, as_bytes(control_text_), kPrivateFile));
    FORGE_TRY(sync_directory(places_.target));
    return sync_directory(parent_path(places_.target));
}

Status explain_failure(Status failure, const std::string& target, const layout::Sentinel& sentinel) {
    std::string hint = failure.hint();
    if (failure.is(Kind::kExhausted))
        hint += (hint.empty() ? "" : " ") + std::string("The backup needs ") + format_size(sentinel.uncompressed_size) +
                ", " + format_size(free_bytes(target)) + " are free in the file system of the directory.";
    hint += (hint.empty() ? "" : " ") + std::string("Directory ") + quoted(target) +
            " is incomplete and cannot be started; the same command, given again, goes on there.";
    return std::move(failure).with_hint(std::move(hint));
}

}  // namespace

std::optional<std::string> unfinished_backup(const std::string& directory) { return Journal::backup_in(directory); }

Status fetch_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                    const FetchOptions& options, FetchProgress& progress, const CancelToken& cancel, Logger& logger) {
    store::CallContext context;
    context.cancel = &cancel;
    FORGE_TRY(repository::owner_for_reading(repository.store(), context).status());
    Fetch fetch(repository, backup, options, progress, cancel, logger);
    FORGE_TRY(fetch.prepare());
    FORGE_TRY(fetch.ask());
    Status result = fetch.run();
    if (!result.ok()) return explain_failure(std::move(result), fetch.target(), backup.sentinel);
    return {};
}

}  // namespace forge::restore
