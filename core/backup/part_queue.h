// Hands out the files of a backup to the workers that pack them. Thread-safe.
#pragma once

#include <mutex>
#include <vector>

#include "core/backup/scan.h"

namespace forge::backup {

class PartQueue {
public:
    // Large files come first, the largest first, so that none is left to run alone at the end; the others in the order
    // of the walk, which is the order of directories on disk.
    explicit PartQueue(std::vector<ScanEntry> files);
    // Moves the next file into `entry`; false when there is none left.
    bool next(ScanEntry& entry);
    // Every file that is still there; before the workers start.
    template <typename Visit>
    void visit(Visit each) const {
        for (std::size_t i = at_; i < files_.size(); ++i) each(files_[i]);
    }

private:
    std::mutex mutex_;
    std::vector<ScanEntry> files_;
    std::size_t at_ = 0;
};

}  // namespace forge::backup
