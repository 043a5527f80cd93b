#include "core/backup/delta_plan.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <string_view>
#include <unordered_set>

#include "core/backup/changed_pages.h"
#include "core/base/file.h"
#include "core/layout/increment.h"

namespace forge::backup {
namespace {

std::string_view directory_of(const ScanEntry& file) {
    return std::string_view(file.name).substr(0, file.name.rfind('/'));
}

// Databases whose directory was made since the parent began. Another database may have had the same OID then, and the
// pages that CREATE DATABASE copies from a template keep their old positions in the WAL: they would pass for unchanged.
std::unordered_set<std::string> find_young_databases(const ScanEntries& entries, const DeltaParent& parent) {
    std::unordered_set<std::string> young;
    for (const ScanEntry& entry : entries)
        if (base_name(entry.name) == "PG_VERSION" && parent.is_newer(entry)) young.emplace(directory_of(entry));
    return young;
}

bool may_be_increment(const ScanEntry& file, const DeltaParent& parent,
                      const std::unordered_set<std::string>& young_databases) {
    return file.is_paged && file.size > 0 && file.size % kPageSize == 0 && parent.has(file) &&
           !young_databases.contains(std::string(directory_of(file)));
}

// A file that vanished or became something else is left to the packer.
Status look_for_changes(ScanEntry& file, const DeltaParent& parent, PackContext& context) {
    const std::string path = source_path(context.sources, file);
    FORGE_ASSIGN(const std::optional<Fd> fd, open_source(path));
    struct stat info {};
    if (!fd || ::fstat(fd->get(), &info) != 0 || !S_ISREG(info.st_mode)) {
        context.progress.bytes_done += file.size;
        return {};
    }
    // Up to the size of the walk, or less: what was added since is in the WAL of this backup.
    std::optional<PageChecker> checker = page_checker(context, file, fd->get());
    const PageSearch search{parent.start_lsn(), context.limit, context.stop, context.progress.bytes_done};
    FORGE_ASSIGN(auto pages, find_changed_pages(fd->get(), path, file.size, checker ? &*checker : nullptr, search));
    if (pages) file.changed = std::make_shared<const ChangedPages>(std::move(*pages));
    return {};
}

}  // namespace

std::uint64_t member_size(const ScanEntry& file) {
    return file.changed ? layout::increment_size(file.changed->count) : file.size;
}

Result<DeltaPlan> plan_delta(ScanEntries entries, const DeltaParent& parent, PackContext& context, WorkerGroup& workers,
                             std::uint64_t worker_count) {
    DeltaPlan plan;
    plan.entries = std::move(entries);
    const auto young = find_young_databases(plan.entries, parent);
    std::vector<ScanEntry*> candidates;
    std::uint64_t to_read = 0;
    for (ScanEntry& entry : plan.entries) {
        if (entry.type != ScanEntry::Type::kFile) continue;
        plan.stored_bytes += entry.size;
        if (!may_be_increment(entry, parent, young)) continue;
        candidates.push_back(&entry);
        to_read += entry.size;
    }
    context.progress.bytes_total = to_read + plan.stored_bytes;
    std::atomic<std::size_t> next{0};
    const auto job = [&]() -> Status {
        for (std::size_t i = next++; i < candidates.size(); i = next++) {
            FORGE_TRY(context.stop.check());
            FORGE_TRY(look_for_changes(*candidates[i], parent, context));
        }
        return {};
    };
    for (std::uint64_t i = 0; i < worker_count; ++i)
        if (!workers.start(job)) break;
    FORGE_TRY(workers.wait());
    for (const ScanEntry* file : candidates) {
        if (!file->changed) continue;
        ++plan.incremented;
        plan.stored_bytes -= file->size - member_size(*file);
    }
    return plan;
}

}  // namespace forge::backup
