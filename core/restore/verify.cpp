#include "core/restore/verify.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "core/backup/worker_group.h"
#include "core/base/text.h"
#include "core/restore/verify_inventory.h"
#include "core/store/metered_store.h"
#include "core/restore/verify_part.h"
#include "core/restore/verify_wal.h"

namespace forge::restore {
namespace {

class Verification {
public:
    Verification(repository::Repository& repository, const VerifyOptions& options,
                 const std::function<void(const VerifyFinding&)>& report, VerifyProgress& progress,
                 const CancelToken& cancel, Logger& logger)
        : options_(options), unmetered_(repository), workers_(cancel), limit_(options.rate_limit),
          metered_(store::metered(repository.store(), {limit_, progress.bytes_done, cancel}), repository.settings()),
          report_(report, progress), progress_(progress), context_{metered_, report_, 0, 0, {}, logger},
          cancel_(cancel) {
        context_.call.cancel = &cancel_;
    }

    Status run(const std::vector<repository::BackupEntry>& backups) {
        for (const repository::BackupEntry& backup : backups) known_.emplace(backup.name, backup);
        for (const repository::BackupEntry& backup : backups) FORGE_TRY(take_chain(backup));
        FORGE_TRY(check_small_parts());
        for (const auto& [name, backup] : inventories_)
            if (!backup->entry.sentinel.delta_from.empty()) check_link(*backup, backup->entry.sentinel.delta_from);
        FORGE_TRY(wal_.list());
        for (const auto& [name, backup] : inventories_)
            FORGE_TRY(wal_.add(*backup, options_.all_wal && known_.contains(name)));
        progress_.objects_total = context_.objects;
        progress_.bytes_total = context_.bytes;
        FORGE_TRY(run_jobs(all_jobs()));
        FORGE_TRY(conclude());
        for (const repository::BackupEntry& backup : backups) FORGE_TRY(ask_restore(backup));
        return {};
    }

private:
    // The backup and those it builds on.
    Status take_chain(repository::BackupEntry entry) {
        Inventory* child = nullptr;
        std::set<std::string> chain;
        for (;;) {
            if (!chain.insert(entry.name).second) {
                child->problems.error("builds on itself");
                return {};
            }
            const auto known = inventories_.find(entry.name);
            if (known != inventories_.end()) {
                if (child != nullptr) child->parent = known->second.get();
                return {};
            }
            FORGE_ASSIGN(auto taken, take_inventory(context_, entry));
            Inventory* backup = taken.get();
            inventories_[entry.name] = std::move(taken);
            if (child != nullptr) child->parent = backup;
            const std::string parent = backup->entry.sentinel.delta_from;
            if (parent.empty()) return {};
            auto found = find(parent);
            if (!found.ok()) {
                if (!concerns_object(found.status())) return found.status();
                context_.report.missing(layout::sentinel_key(parent), VerifyFinding::Level::kError,
                                        "is missing; backup " + quoted(backup->name()) + " builds on it");
                return {};
            }
            entry = std::move(found).value();
            child = backup;
        }
    }
    Result<repository::BackupEntry> find(const std::string& name) {
        if (const auto entry = known_.find(name); entry != known_.end()) return entry->second;
        return unmetered_.find_backup(name, context_.call);
    }

    // What the judgement of the rest depends on.
    Status check_small_parts() {
        for (const auto& [name, backup] : inventories_) {
            if (backup->control_part) FORGE_TRY(check_part(context_, *backup, *backup->control_part));
            if (backup->label_part) FORGE_TRY(check_part(context_, *backup, *backup->label_part));
        }
        return {};
    }

    std::vector<VerifyJob> all_jobs() {
        std::vector<VerifyJob> jobs = wal_.jobs();
        for (const auto& [name, backup] : inventories_)
            for (InventoryPart& part : backup->data_parts)
                jobs.push_back(
                    {part.stored_size, [this, &owner = *backup, &part] { return check_part(context_, owner, part); }});
        // The largest first, so that the last ones to be ready are small.
        std::stable_sort(jobs.begin(), jobs.end(),
                         [](const VerifyJob& a, const VerifyJob& b) { return a.weight > b.weight; });
        return jobs;
    }

    Status run_jobs(const std::vector<VerifyJob>& jobs) {
        std::atomic<std::size_t> next{0};
        context_.call.cancel = &workers_.stop();
        for (int i = 0; i < std::max(1, options_.concurrency); ++i) {
            const bool started = workers_.start([&]() -> Status {
                for (std::size_t at = next++; at < jobs.size(); at = next++) {
                    FORGE_TRY(workers_.stop().check());
                    FORGE_TRY(jobs[at].run());
                }
                return {};
            });
            if (!started) break;
        }
        Status status = workers_.wait();
        context_.call.cancel = &cancel_;
        return status;
    }

    Status conclude() {
        for (const auto& [name, backup] : inventories_) {
            FORGE_ASSIGN(const std::uint64_t segment_size, wal_.segment_size(*backup));
            check_completeness(*backup, segment_size);
            if (!backup->problems.empty())
                context_.report.other(name, backup->problems.level(), backup->problems.text());
        }
        return {};
    }

    // Nobody shall be told that all is well who is refused by a restore.
    Status ask_restore(const repository::BackupEntry& backup) {
        if (report_.errors() > 0) return {};
        ExamineOptions options;
        options.allow_unlisted = true;
        NullLogger quiet;
        const auto chain = examine_chain(unmetered_, backup, options, context_.call, quiet);
        if (chain.ok()) return {};
        if (!concerns_object(chain.status())) return chain.status();
        context_.report.other(backup.name, VerifyFinding::Level::kError,
                              "would be refused by a restore: " + chain.status().message());
        return {};
    }

    const VerifyOptions& options_;
    repository::Repository& unmetered_;
    backup::WorkerGroup workers_;
    RateLimiter limit_;
    repository::Repository metered_;
    FindingReport report_;
    VerifyProgress& progress_;
    VerifyContext context_;
    const CancelToken& cancel_;
    WalCheck wal_{context_, unmetered_};
    std::map<std::string, repository::BackupEntry> known_;  // what was asked for
    std::map<std::string, std::unique_ptr<Inventory>> inventories_;
};

}  // namespace

Status verify_backups(repository::Repository& repository, const std::vector<repository::BackupEntry>& backups,
                      const VerifyOptions& options, const std::function<void(const VerifyFinding&)>& report,
                      VerifyProgress& progress, const CancelToken& cancel, Logger& logger) {
    return Verification(repository, options, report, progress, cancel, logger).run(backups);
}

Status verify_backup(repository::Repository& repository, const repository::BackupEntry& backup,
                     const VerifyOptions& options, const std::function<void(const VerifyFinding&)>& report,
                     VerifyProgress& progress, const CancelToken& cancel, Logger& logger) {
    return verify_backups(repository, {backup}, options, report, progress, cancel, logger);
}

}  // namespace forge::restore
