// Hands out the files of a backup to the workers that pack them. Thread-safe.
#pragma once

#include <mutex>

#include "core/backup/scan.h"

namespace forge::backup {

class PartQueue {
public:
    // Large files come first, the largest first, so that none is left to run alone at the end; the others in the order
    // of the walk, which is the order of directories on disk.
    explicit PartQueue(ScanEntries entries);
    // Directories and symbolic links, which are not handed out, in the order of the walk.
    ScanEntries& headers() { return headers_; }
    // Moves the next file into `entry`; false when there is none left.
    bool next(ScanEntry& entry);
    // Every file that is still there; before the workers start.
    template <typename Visit>
    void visit(Visit each) const {
        for (const ScanEntry& file : large_) each(file);
        for (const ScanEntry& file : small_) each(file);
    }

private:
    std::mutex mutex_;
    ScanEntries headers_, large_, small_;
};

}  // namespace forge::backup
