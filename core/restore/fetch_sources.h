// Which backup of a chain each file of the restored directory comes from, decided before anything is written.
//
// The chain is applied newest first, so that every page is written once: the increment of the newest backup goes into
// the new file, each older one fills only blocks that are still open, and the whole file at the end of the chain fills
// the rest. Which blocks are done is remembered; looking for zero pages instead would bring back old versions of pages
// that really are zero (walg-format 12, W6).
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "core/restore/fetch_contents.h"

namespace forge::restore {

// A file that is put together from an increment and what lies below it. One thread at a time uses it: a file is in a
// backup once, and the backups are gone through one after the other.
struct AssembledFile {
    bool sized = false;       // the newest increment was read
    std::uint64_t size = 0;   // bytes, of the restored file
    std::uint64_t limit = 0;  // older backups have nothing to say behind it: the file was shorter in between
    std::vector<bool> done;   // by block
    // Marks the block as done; false when it was, or when it lies behind the limit.
    bool take(std::uint32_t block);
};

// What to do with a member of a backup's parts.
struct Claim {
    enum class Role : std::uint8_t {
        kWhole,      // becomes the file
        kIncrement,  // its pages go into the file
        kBase,       // the whole file below one or more increments
    };
    std::string_view name;               // of the list of a backup
    const ListedFile* listed = nullptr;  // what its backup says about it; null: nothing
    AssembledFile* assembled = nullptr;
    Role role = Role::kWhole;
    bool seen = false;  // by see(), until all threads have ended
    // False when it was before. Thread-safe.
    bool see() { return !std::atomic_ref(seen).exchange(true); }
};

// One backup of the chain.
struct Level {
    const BackupContents* contents = nullptr;
    bool is_target = false;  // the newest
    // By name: what is needed of this backup. Of the target everything it lists, else files only.
    std::vector<Claim> claims;
    std::vector<const Part*> parts;  // those that may hold something that is needed
    // Null: the member is not needed.
    Claim* find(std::string_view name);
};

struct Sources {
    std::vector<std::unique_ptr<Level>> levels;  // newest first
    std::deque<AssembledFile> assembled;
};

// kCorrupt: a file is said to be in a parent that does not have it, or two backups contradict each other about it. The
// chain outlives the result.
Result<std::unique_ptr<Sources>> find_sources(const std::vector<std::unique_ptr<BackupContents>>& chain);

}  // namespace forge::restore
