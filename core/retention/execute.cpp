#include "core/retention/execute.h"

#include <algorithm>

#include "core/base/crash_point.h"

namespace forge::retention {

namespace {

constexpr std::size_t kBatch = 1000;

// The store answered, and said no.
bool is_refusal(const Status& status) {
    return status.is(Kind::kDenied) || status.is(Kind::kInvalid) || status.is(Kind::kConflict);
}

class Execution {
public:
    Execution(store::ObjectStore& store, const Inventory& inventory, const DeletePlan& plan, DeleteResult& result,
              const store::CallContext& context)
        : store_(store), inventory_(inventory), plan_(plan), result_(result), context_(context) {}

    Status run() {
        FORGE_TRY(remove_sentinels());
        for (const BackupRemoval& backup : plan_.backups) {
            if (stays_.contains(backup.name))
                result_.skipped += backup.objects.size();
            else
                FORGE_TRY(remove_folder(backup));
        }
        // The restore points of WAL that is gone are nobody's.
        FORGE_TRY(remove_unneeded(plan_.wal));
        return remove_unneeded(plan_.restore_points);
    }

private:
    Status remove_unneeded(const Going& objects) {
        Going going;
        for (const StoredObject* object : objects)
            if (!is_needed(place_of_wal(object->key))) going.push_back(object);
        result_.skipped += objects.size() - going.size();
        return remove_objects(going);
    }

    // The plan has whatever builds on a backup before it.
    Status remove_sentinels() {
        for (const BackupRemoval& backup : plan_.backups) {
            if (!stays_.contains(backup.name)) {
                bool removed = true;
                if (backup.has_sentinel) {
                    FORGE_ASSIGN(removed, remove_one({layout::sentinel_key(backup.name), 0, {}}));
                }
                if (removed) {
                    FORGE_CRASH_POINT("delete-backup-unlisted");
                    result_.backups.push_back(backup.name);
                    continue;
                }
            } else {
                ++result_.skipped;
            }
            stays_.insert(backup.name);
            stays_.insert(backup.parent);
            needs_.insert(needs_.end(), backup.needs.begin(), backup.needs.end());
        }
        return {};
    }

    // The mark of an unfinished deletion is metadata.json without the part of pg_control (state_of).
    Status remove_folder(const BackupRemoval& backup) {
        Going first;
        Going middle;
        Going last;
        const std::string parts = layout::parts_folder(backup.name);
        for (const StoredObject* object : backup.objects) {
            if (object->key == layout::metadata_key(backup.name))
                last.push_back(object);
            else if (object->key.starts_with(parts) &&
                     layout::is_pg_control_part(std::string_view(object->key).substr(parts.size())))
                first.push_back(object);
            else
                middle.push_back(object);
        }
        for (const auto* objects : {&first, &middle, &last}) {
            FORGE_TRY(remove_objects(*objects));
            FORGE_CRASH_POINT("delete-in-folder");
        }
        return {};
    }

    bool is_needed(const std::string& place) const {
        return !place.empty() && std::any_of(needs_.begin(), needs_.end(),
                                             [&](const Need& need) { return need.covers(inventory_, place); });
    }

    Status remove_objects(const Going& objects) {
        for (std::size_t at = 0; at < objects.size(); at += kBatch) {
            std::vector<std::string> keys;
            for (std::size_t i = at; i < std::min(objects.size(), at + kBatch); ++i) keys.push_back(objects[i]->key);
            const Status status = hopeless() ? Status(Kind::kDenied, "refused") : store_.remove(keys, context_);
            if (!status.ok() && !is_refusal(status)) return status;
            for (std::size_t i = at; i < at + keys.size(); ++i) {
                // Which of them were refused is only known one by one.
                if (status.ok())
                    count(*objects[i]);
                else
                    FORGE_TRY(remove_one(*objects[i]).status());
            }
        }
        return {};
    }

    // False when it was refused.
    Result<bool> remove_one(const StoredObject& object) {
        if (hopeless()) {
            ++result_.skipped;
            return false;
        }
        Status status = store_.remove({object.key}, context_);
        if (status.ok()) {
            count(object);
            return true;
        }
        if (!is_refusal(status)) return status;
        ++result_.refused;
        if (result_.refusals.size() < kMostRefusals) result_.refusals.push_back({object.key, std::move(status)});
        return false;
    }

    void count(const StoredObject& object) {
        ++result_.objects;
        result_.bytes += object.size;
    }
    bool hopeless() const { return result_.objects == 0 && result_.refused >= kHopeless; }

    store::ObjectStore& store_;
    const Inventory& inventory_;
    const DeletePlan& plan_;
    DeleteResult& result_;
    const store::CallContext& context_;
    std::set<std::string> stays_;  // backups whose sentinel is still there, and what they build on
    std::vector<Need> needs_;
};

}  // namespace

Status execute(store::ObjectStore& store, const Inventory& inventory, const DeletePlan& plan, DeleteResult& result,
               const store::CallContext& context) {
    return Execution(store, inventory, plan, result, context).run();
}

std::string summary_of(const DeleteResult& result) {
    if (result.backups.empty() && result.objects == 0) return {};
    const auto counted = [](std::uint64_t count, const char* what) {
        return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
    };
    return counted(result.backups.size(), "backup") + ", " + counted(result.objects, "object") + ", " +
           format_size(result.bytes);
}

Result<int> remove_leftovers(store::ObjectStore& store, const store::CallContext& context) {
    int removed = 0;
    for (const std::string_view folder : {layout::kBackupsFolder, layout::kWalFolder, layout::kRestorePointsFolder}) {
        FORGE_ASSIGN(const int here, store.remove_leftovers(std::string(folder), kUnfinishedAge, context));
        removed += here;
    }
    return removed;
}

}  // namespace forge::retention
