#include "core/restore/fetch.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "core/backup/control_file.h"
#include "core/backup/manifest.h"
#include "core/backup/worker_group.h"
#include "core/base/file.h"
#include "core/base/text.h"
#include "core/restore/fetch_contents.h"
#include "core/restore/fetch_extract.h"
#include "core/restore/fetch_places.h"
#include "core/restore/fetch_tree.h"

namespace forge::restore {
namespace {

constexpr mode_t kPrivateFile = 0600;
constexpr std::size_t kNamedMissing = 3;

std::uint64_t free_bytes(const std::string& directory) {
    struct statvfs info {};
    if (::statvfs(directory.c_str(), &info) != 0) return 0;
    return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

Status refuse_delta(const repository::BackupEntry& backup) {
    const layout::Sentinel& sentinel = backup.sentinel;
    if (!sentinel.is_delta() && backup.name.find("_D_") == std::string::npos) return {};
    return Status(Kind::kInvalid,
                  "backup " + quoted(backup.name) + " is a delta backup, which this version cannot restore",
                  sentinel.delta_full_name.empty() ? "Choose a full backup."
                                                   : "Restore the full backup " + quoted(sentinel.delta_full_name) +
                                                         " and let recovery replay the WAL since then.");
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
    // Leaves an incomplete directory behind when it fails.
    Status run();
    const std::string& target() const { return places_.target; }

private:
    Status extract_data_parts();
    Status read_control_part();
    Status read_label_part();
    Status check_label(const std::string& label) const;
    Status write_label_files();
    Status write_manifest();
    Status check_complete() const;
    Status write_file(const std::string& name, std::string_view content);
    Status put_control_file();

    repository::Repository& repository_;
    const repository::BackupEntry& backup_;
    const FetchOptions& options_;
    FetchProgress& progress_;
    const CancelToken& cancel_;
    Logger& logger_;
    Places places_;
    std::unique_ptr<BackupContents> contents_;
    std::unique_ptr<TargetTree> tree_;
    std::map<std::string, std::string> label_files_;
    std::string control_file_;
};

Status Fetch::prepare() {
    if (!backup_.problem.empty())
        return Status(Kind::kCorrupt, "backup " + quoted(backup_.name) + " cannot be read: " + backup_.problem);
    FORGE_TRY(refuse_delta(backup_));
    FORGE_ASSIGN(places_, find_places(backup_.sentinel, options_));
    store::CallContext call;
    call.cancel = &cancel_;
    FORGE_ASSIGN(contents_, examine_backup(repository_, backup_, call, logger_));
    progress_.bytes_total = backup_.sentinel.uncompressed_size;
    progress_.parts_total =
        static_cast<std::uint32_t>(contents_->data_parts.size() + 1 + (contents_->label_part ? 1 : 0));
    return {};
}

Status Fetch::run() {
    FORGE_TRY(create_places(places_));
    const std::uint64_t there = free_bytes(places_.target);
    if (places_.tablespaces.empty() && there < backup_.sentinel.uncompressed_size)
        logger_.warning("the backup has " + format_size(backup_.sentinel.uncompressed_size) + ", and only " +
                        format_size(there) + " are free in the file system of " + quoted(places_.target));
    FORGE_ASSIGN(tree_, TargetTree::open(places_));
    FORGE_TRY(extract_data_parts());
    FORGE_TRY(read_control_part());
    FORGE_TRY(read_label_part());
    FORGE_TRY(check_complete());
    FORGE_TRY(write_label_files());
    if (contents_->manifest) FORGE_TRY(write_manifest());
    FORGE_ASSIGN(const int major, backup::read_major_version(places_.target));
    FORGE_TRY(tree_->finish(major));
    if (options_.sync) FORGE_TRY(tree_->sync());
    FORGE_TRY(cancel_.check());
    return put_control_file();
}

Status Fetch::extract_data_parts() {
    std::atomic<std::size_t> next{0};
    backup::WorkerGroup workers(cancel_);
    ExtractContext context{repository_, *contents_, *tree_, progress_, workers.stop(), logger_};
    const auto job = [&]() -> Status {
        Extractor extractor(context);
        for (std::size_t i = next++; i < contents_->data_parts.size(); i = next++) {
            FORGE_TRY(workers.stop().check());
            FORGE_TRY(extractor.extract(contents_->data_parts[i]));
        }
        return {};
    };
    const std::size_t wanted = static_cast<std::size_t>(std::max(1, options_.concurrency));
    const std::size_t threads = std::min(wanted, std::max<std::size_t>(1, contents_->data_parts.size()));
    for (std::size_t i = 0; i < threads; ++i)
        if (!workers.start(job)) break;
    return workers.wait();
}

// Objects are not bound to their keys by encryption: a control file of another cluster shows here.
Status Fetch::read_control_part() {
    ExtractContext context{repository_, *contents_, *tree_, progress_, cancel_, logger_};
    FORGE_ASSIGN(auto files, Extractor(context).read_small(*contents_->control_part));
    const std::string& key = contents_->control_part->key;
    if (files.size() != 1 || !files.contains(std::string(kControlName)))
        return Status(Kind::kCorrupt, "object " + quoted(key) + " does not hold the control file and nothing else");
    control_file_ = std::move(files.begin()->second);
    auto control = backup::parse_control_file(as_bytes(control_file_));
    if (!control.ok()) return control.status().with_context("object " + quoted(key));
    const std::uint64_t expected = backup_.sentinel.system_identifier;
    if (expected != 0 && control->system_identifier != expected)
        return Status(Kind::kCorrupt, "object " + quoted(key) + " is of the cluster with system identifier " +
                                          std::to_string(control->system_identifier) + ", the backup is of " +
                                          std::to_string(expected));
    return {};
}

Status Fetch::read_label_part() {
    if (!contents_->label_part) {
        // Backups taken over the replication protocol have the label among the data.
        const std::string path = join_path(places_.target, kLabelName);
        if (!path_exists(path))
            return Status(Kind::kCorrupt, "backup " + quoted(backup_.name) + " has no backup_label");
        FORGE_ASSIGN(const std::string label, forge::read_file(path, 1 << 20));
        return check_label(label);
    }
    ExtractContext context{repository_, *contents_, *tree_, progress_, cancel_, logger_};
    FORGE_ASSIGN(label_files_, Extractor(context).read_small(*contents_->label_part));
    for (const auto& [name, content] : label_files_)
        if (name != kLabelName && name != kMapName)
            return Status(Kind::kCorrupt,
                          "object " + quoted(contents_->label_part->key) + " holds file " + quoted(name));
    const auto label = label_files_.find(std::string(kLabelName));
    if (label == label_files_.end())
        return Status(Kind::kCorrupt, "object " + quoted(contents_->label_part->key) + " has no backup_label");
    return check_label(label->second);
}

Status Fetch::check_label(const std::string& label) const {
    const auto start = label_start(label);
    if (!start)
        return Status(Kind::kCorrupt, "backup_label of backup " + quoted(backup_.name) + " has no start location");
    if (backup_.sentinel.start_lsn && *backup_.sentinel.start_lsn != *start)
        return Status(Kind::kCorrupt, "backup_label says that the backup starts at " + format_lsn(*start) +
                                          ", its sentinel says " + format_lsn(*backup_.sentinel.start_lsn));
    return {};
}

Status Fetch::check_complete() const {
    std::vector<std::string> missing;
    for (const auto& [name, file] : contents_->files)
        if (!file.seen) missing.push_back(name);
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
    if (contents_->label_part) return {};
    const std::string path = join_path(places_.target, kMapName);
    if (!path_exists(path)) return {};
    FORGE_ASSIGN(const std::string map, forge::read_file(path, 16 << 20));
    FORGE_ASSIGN(const std::string rewritten, rewrite_tablespace_map(map, places_));
    return write_file_durably(path, as_bytes(rewritten));
}

// backup_manifest, for pg_verifybackup; the map may have changed above.
Status Fetch::write_manifest() {
    backup::FileManifest& manifest = contents_->manifest->files;
    for (backup::ManifestFile& file : manifest.files) {
        const auto written = label_files_.find(file.path);
        if (written == label_files_.end()) continue;
        file.size = written->second.size();
        file.sha256 = backup::sha256(as_bytes(written->second));
    }
    TargetTree::Cursor cursor;
    const std::string path = join_path(places_.target, "backup_manifest");
    FORGE_ASSIGN(const Fd fd, tree_->create_file("backup_manifest", kPrivateFile, cursor));
    FdSink sink(fd.get(), path);
    return backup::write_file_manifest(manifest, sink);
}

// The last step: with this file the directory can be started.
Status Fetch::put_control_file() {
    FORGE_TRY(write_file_durably(join_path(places_.target, kControlName), as_bytes(control_file_), kPrivateFile));
    FORGE_TRY(sync_directory(places_.target));
    return sync_directory(parent_path(places_.target));
}

Status explain_failure(Status failure, const std::string& target, const layout::Sentinel& sentinel) {
    std::string hint = failure.hint();
    if (failure.is(Kind::kExhausted))
        hint += (hint.empty() ? "" : " ") + std::string("The backup needs ") + format_size(sentinel.uncompressed_size) +
                ", " + format_size(free_bytes(target)) + " are free in the file system of the directory.";
    hint += (hint.empty() ? "" : " ") + std::string("Directory ") + quoted(target) +
            " is incomplete and cannot be started; delete it before the next attempt.";
    return std::move(failure).with_hint(std::move(hint));
}

}  // namespace

Status fetch_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                    const FetchOptions& options, FetchProgress& progress, const CancelToken& cancel, Logger& logger) {
    Fetch fetch(repository, backup, options, progress, cancel, logger);
    FORGE_TRY(fetch.prepare());
    Status result = fetch.run();
    if (!result.ok()) return explain_failure(std::move(result), fetch.target(), backup.sentinel);
    return {};
}

}  // namespace forge::restore
