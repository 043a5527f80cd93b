// Carries out a plan. Interrupted at any moment, every backup that is still listed is whole: sentinels go first, those
// of the backups that build on others before these; then the folders, then WAL. Planning and running again finishes
// what is left. Objects that the store refuses to remove (object lock, legal hold, a missing permission) are counted
// and skipped, and whatever a backup needs that stays listed because of that stays with it.
#pragma once

#include <atomic>

#include "core/retention/delete_plan.h"

namespace forge::retention {

struct DeleteResult {
    std::vector<std::string> backups;  // whose sentinel is gone, or that had none
    // These may be read by others meanwhile.
    std::atomic<std::uint64_t> objects{0};
    std::atomic<std::uint64_t> bytes{0};  // of the objects; a sentinel counts as nothing
    std::uint64_t refused = 0;
    struct Refusal {
        std::string key;
        Status status;
    };
    std::vector<Refusal> refusals;  // the first kMostRefusals of them
    std::uint64_t skipped =
        0;  // not asked for any more, since a backup that stays needs them, or everything is refused
};
inline constexpr std::size_t kMostRefusals = 20;
// Where that many are refused one after the other and none was removed, the rest is skipped without asking.
inline constexpr std::uint64_t kHopeless = 100;

// Fails when the store does not answer or somebody cancels; `result` says how far it came.
Status execute(store::ObjectStore& store, const Inventory& inventory, const DeletePlan& plan, DeleteResult& result,
               const store::CallContext& context);

// "2 backups, 48 objects, 1.2 GB"; empty when nothing was removed.
std::string summary_of(const DeleteResult& result);

// Removes what writers that were interrupted in the middle of an object left behind; their number.
Result<int> remove_leftovers(store::ObjectStore& store, const store::CallContext& context);

}  // namespace forge::retention
