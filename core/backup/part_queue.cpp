#include "core/backup/part_queue.h"

#include <algorithm>

namespace forge::backup {
namespace {

constexpr std::uint64_t kLarge = 16ULL << 20;

}  // namespace

PartQueue::PartQueue(std::vector<ScanEntry> files) : files_(std::move(files)) {
    const auto small =
        std::stable_partition(files_.begin(), files_.end(), [](const ScanEntry& file) { return file.size >= kLarge; });
    std::stable_sort(files_.begin(), small, [](const ScanEntry& a, const ScanEntry& b) { return a.size > b.size; });
}

bool PartQueue::next(ScanEntry& entry) {
    const std::lock_guard lock(mutex_);
    if (at_ == files_.size()) return false;
    entry = std::move(files_[at_++]);
    return true;
}

}  // namespace forge::backup
