// Timeline history files under the names that the code around WAL uses.
#pragma once

#include "core/layout/history.h"

namespace forge::wal {

using layout::history_name;
using layout::HistoryEntry;
using layout::HistoryMap;
using layout::parse_history;

}  // namespace forge::wal
