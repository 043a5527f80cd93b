#include "core/backup/part_queue.h"

#include <algorithm>

namespace forge::backup {
namespace {

constexpr std::uint64_t kLarge = 16ULL << 20;

}  // namespace

PartQueue::PartQueue(ScanEntries entries) {
    for (; !entries.empty(); entries.pop_front()) {
        ScanEntry& entry = entries.front();
        if (entry.type != ScanEntry::Type::kFile)
            headers_.push_back(std::move(entry));
        else
            (entry.size >= kLarge ? large_ : small_).push_back(std::move(entry));
    }
    std::stable_sort(large_.begin(), large_.end(),
                     [](const ScanEntry& a, const ScanEntry& b) { return a.size > b.size; });
}

bool PartQueue::next(ScanEntry& entry) {
    const std::lock_guard lock(mutex_);
    ScanEntries& files = large_.empty() ? small_ : large_;
    if (files.empty()) return false;
    entry = std::move(files.front());
    files.pop_front();
    return true;
}

}  // namespace forge::backup
