// Timeline history files ("00000003.history"): which timeline branched off which, and where.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/lsn.h"
#include "core/base/status.h"

namespace forge::layout {

struct HistoryEntry {
    Timeline timeline = 0;  // an ancestor
    Lsn switch_point = 0;   // where it ended
    std::string reason;
};
// By the timeline whose history it is.
using HistoryMap = std::map<Timeline, std::vector<HistoryEntry>>;
// Oldest ancestor first. Comments and blank lines ignored; anything else malformed is kCorrupt.
Result<std::vector<HistoryEntry>> parse_history(std::string_view text);
std::string history_name(Timeline timeline);  // "00000002.history"

}  // namespace forge::layout
