#include "core/backup/delta_parent.h"

#include <algorithm>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/repository/chain.h"
#include "core/repository/server_history.h"
#include "core/repository/user_data.h"

namespace forge::backup {
namespace {

constexpr std::size_t kLargestSentinel = 1ULL << 30;
// The clock of files ticks some hundred times a second: one that was written twice in a tick looks the same, and the
// parent may have read it in between. Only what had been left alone for a while when the parent began is sure to be
// what the parent has. The margin covers clocks of two hosts that differ a little as well.
constexpr std::int64_t kSettledNanos = 60LL * 1'000'000'000;
// By as much the clock of files may be behind ours, generously.
constexpr std::int64_t kTickNanos = 100'000'000;

bool concerns_store(const Status& status) { return status.retryable() || status.is(Kind::kCancelled); }

// Why a backup cannot be built on.
Status cannot_serve(std::string reason) { return Status(Kind::kInvalid, std::move(reason)); }

class Chooser {
public:
    Chooser(repository::Repository& repository, const BackupStart& start, std::uint64_t system_identifier,
            const store::CallContext& context)
        : repository_(repository), settings_(repository.settings()), start_(start),
          system_identifier_(system_identifier), context_(context) {}

    bool is_named_by_caller() const { return !start_.delta_from_name.empty() || !start_.delta_from_user_data.empty(); }

    Result<std::unique_ptr<DeltaParent>> run() {
        FORGE_ASSIGN(const repository::BackupEntry candidate, find_candidate());
        const int count = candidate.sentinel.is_delta() ? candidate.sentinel.delta_count + 1 : 1;
        if (count > settings_.delta_max_steps)
            return cannot_serve("backup " + quoted(candidate.name) + " ends a chain of " + std::to_string(count - 1) +
                                " deltas, and delta_max_steps is " + std::to_string(settings_.delta_max_steps));
        const bool from_full = settings_.delta_origin == settings::DeltaOrigin::kLatestFull;
        if (candidate.sentinel.is_permanent && !start_.permanent && !from_full)
            return cannot_serve("backup " + quoted(candidate.name) + " is permanent, and the new one is not");
        FORGE_ASSIGN(const std::vector<repository::BackupEntry> backups, repository_.list_backups(context_));
        FORGE_ASSIGN(const auto chain, repository::chain_of(backups, candidate));
        DeltaParent::Content content;
        content.root = chain.back()->name;
        content.entry = from_full ? *chain.back() : candidate;
        content.count = count;
        for (auto it = from_full ? chain.end() - 1 : chain.begin(); it != chain.end(); ++it)
            content.chain.push_back((*it)->name);
        FORGE_TRY(check(content.entry));
        FORGE_TRY(read(content));
        return std::make_unique<DeltaParent>(std::move(content));
    }

private:
    Result<repository::BackupEntry> find_candidate() {
        if (!start_.delta_from_name.empty()) return repository_.find_backup(start_.delta_from_name, context_);
        if (!start_.delta_from_user_data.empty())
            return repository::find_by_user_data(repository_, start_.delta_from_user_data, context_);
        if (!settings_.delta_from_name.empty()) return repository_.find_backup(settings_.delta_from_name, context_);
        if (!settings_.delta_from_user_data.empty())
            return repository::find_by_user_data(repository_, settings_.delta_from_user_data, context_);
        return repository_.find_backup(std::string(repository::kLatest), context_);
    }

    Status check(const repository::BackupEntry& parent) {
        const layout::Sentinel& sentinel = parent.sentinel;
        const std::string subject = "backup " + quoted(parent.name);
        if (!parent.readable || !parent.problem.empty())
            return cannot_serve(subject + " cannot be read: " + parent.problem);
        if (!sentinel.start_lsn || !sentinel.finish_lsn) return cannot_serve(subject + " does not say where it began");
        if (sentinel.system_identifier != system_identifier_)
            return cannot_serve(subject + " was made of another cluster");
        if (sentinel.pg_version / 10000 != start_.pg_version / 10000)
            return cannot_serve(subject + " was made of another major version of the server");
        if (*sentinel.finish_lsn > start_.start_lsn)
            return cannot_serve(subject + " ended at " + format_lsn(*sentinel.finish_lsn) +
                                ", after this backup begins at " + format_lsn(start_.start_lsn));
        if (sentinel.files_metadata_disabled) return cannot_serve(subject + " was made without a list of its files");
        return check_lineage(parent);
    }

    // The parent must lie on the way to our timeline: what was written after another branch left is in none of our
    // pages, and looks as if it were.
    Status check_lineage(const repository::BackupEntry& parent) {
        const Timeline timeline = parent.finish_timeline();
        if (timeline == start_.timeline) return {};
        const std::string subject = "backup " + quoted(parent.name) + " on timeline " + std::to_string(timeline);
        if (timeline > start_.timeline)
            return cannot_serve(subject + " is not on the way to timeline " + std::to_string(start_.timeline));
        const auto history = repository::read_history(repository_, start_.data_directory, start_.timeline, context_);
        if (!history.ok() && concerns_store(history.status())) return history.status();
        if (!history.ok())
            return cannot_serve("the history of timeline " + std::to_string(start_.timeline) +
                                " is not known: " + history.status().message());
        const auto found = std::find_if(history->begin(), history->end(),
                                        [&](const layout::HistoryEntry& entry) { return entry.timeline == timeline; });
        if (found == history->end() || found->switch_point < *parent.sentinel.finish_lsn)
            return cannot_serve(subject + " is not on the way to timeline " + std::to_string(start_.timeline));
        return {};
    }

    Status read(DeltaParent::Content& content) {
        const std::string& name = content.entry.name;
        const std::string key = layout::sentinel_key(name);
        FORGE_ASSIGN(const auto source, repository_.store().get(key, std::nullopt, context_));
        FORGE_ASSIGN(const std::string sentinel, read_all_text(*source, kLargestSentinel));
        content.sentinel_sha256 = sha256(as_bytes(sentinel));
        FORGE_TRY(read_files(content));
        if (content.entry.sentinel.manifest.empty()) return {};
        return read_manifest(content);
    }

    Status read_files(DeltaParent::Content& content) {
        const std::string key = layout::files_metadata_key(content.entry.name);
        FORGE_ASSIGN(const auto source, repository_.store().get(key, std::nullopt, context_));
        const Status status =
            layout::each_file_entry(*source, [&](const std::string& name, const layout::FileEntry& entry) {
                // As ours are: what has another form of name is not found.
                if (name.starts_with('/')) content.files.add({.name = name.substr(1), .mtime = entry.mtime});
                return Status();
            });
        if (!status.ok()) return Status(status).with_context(key);
        if (const std::string* const twice = content.files.sort())
            return cannot_serve(key + " lists file " + quoted(*twice) + " twice");
        return {};
    }

    Status read_manifest(DeltaParent::Content& content) {
        const std::string& name = content.entry.name;
        const auto method = manifest_method(content.entry.sentinel.manifest);
        if (!method) return cannot_serve("backup " + quoted(name) + " names a manifest of an unknown form");
        FORGE_ASSIGN(const auto source, repository_.open_object(manifest_key(name, *method), *method, context_));
        const auto manifest = backup::read_manifest(*source, [&](const ManifestFile& file) {
            if (ListedFile* const listed = content.files.find(file.path)) {
                listed->size = file.size;
                listed->checksum = file.checksum;
            }
            return Status();
        });
        if (!manifest.ok()) return Status(manifest.status()).with_context(manifest_key(name, *method));
        if (manifest->backup != name || manifest->sentinel_sha256 != content.sentinel_sha256)
            return cannot_serve("the manifest of backup " + quoted(name) + " does not belong to its sentinel");
        content.has_manifest = true;
        return {};
    }

    repository::Repository& repository_;
    const settings::Settings& settings_;
    const BackupStart& start_;
    std::uint64_t system_identifier_;
    store::CallContext context_;
};

}  // namespace

// Null: the parent has no such file.
const ListedFile* DeltaParent::find(const ScanEntry& file) const {
    const ListedFile* const listed = content_.files.find(std::string_view(file.name).substr(1));
    return listed != nullptr && content_.has_manifest && !listed->size ? nullptr : listed;
}

bool DeltaParent::has(const ScanEntry& file) const { return find(file) != nullptr; }

bool DeltaParent::is_newer(const ScanEntry& file) const {
    return file.mtime.nanos > content_.entry.sentinel.start_time.nanos - kTickNanos;
}

const ListedFile* DeltaParent::find_unchanged(const ScanEntry& file) const {
    const ListedFile* const listed = find(file);
    if (listed == nullptr || listed->mtime != file.mtime) return nullptr;
    if (file.mtime.nanos > content_.entry.sentinel.start_time.nanos - kSettledNanos) return nullptr;
    return !content_.has_manifest || listed->size == file.size ? listed : nullptr;
}

Status DeltaParent::check_still_there(repository::Repository& repository, const store::CallContext& context) const {
    for (const std::string& backup : content_.chain) {
        const Status there = repository.store().head(layout::sentinel_key(backup), context).status();
        if (there.is(Kind::kNotFound))
            return Status(Kind::kInvalid, "backup " + quoted(backup) + ", which this one builds on, was removed",
                          "Make the backup again.");
        FORGE_TRY(there);
    }
    const std::string key = layout::sentinel_key(name());
    FORGE_ASSIGN(const auto source, repository.store().get(key, std::nullopt, context));
    FORGE_ASSIGN(const std::string sentinel, read_all_text(*source, kLargestSentinel));
    if (sha256(as_bytes(sentinel)) == content_.sentinel_sha256) return {};
    return Status(Kind::kInvalid, "backup " + quoted(name()) + ", which this one builds on, was replaced",
                  "Make the backup again.");
}

Result<std::unique_ptr<DeltaParent>> choose_parent(repository::Repository& repository, const BackupStart& start,
                                                   std::uint64_t system_identifier, const store::CallContext& context,
                                                   Logger& logger) {
    if (start.full) return std::unique_ptr<DeltaParent>();
    Chooser chooser(repository, start, system_identifier, context);
    const bool named = chooser.is_named_by_caller();
    if (repository.settings().delta_max_steps == 0) {
        if (!named) return std::unique_ptr<DeltaParent>();
        return Status(Kind::kInvalid, "there are no delta backups: delta_max_steps is 0",
                      "Set delta_max_steps, or WALG_DELTA_MAX_STEPS, to the number of deltas that may follow a full "
                      "backup.");
    }
    auto parent = chooser.run();
    if (parent.ok() || concerns_store(parent.status())) return parent;
    if (named) return parent.status().with_context("no delta backup can be made");
    logger.log(LogLevel::kNotice, "the backup is a full one: " + parent.status().message());
    return std::unique_ptr<DeltaParent>();
}

}  // namespace forge::backup
