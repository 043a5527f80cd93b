// The three answers at the top of the page, and what stands behind them. Decisions over facts, without a store.
#pragma once

#include "core/report/facts.h"

namespace forge::report {

enum class Level : std::uint8_t { kGood, kWarning, kBad, kUnknown };
std::string_view level_name(Level level);  // "good", "warning", "bad", "unknown"

struct Finding {
    Level level = Level::kWarning;
    std::string text;
    std::string hint;
};

struct Answer {
    std::string value;   // "Yes", "4 d 3 h"
    std::string detail;  // one or two sentences
};

struct Verdict {
    Level level = Level::kGood;
    Answer good;                    // is my backup good?
    Answer back;                    // how far back can I go?
    Answer loss;                    // what would be lost now?
    std::vector<Finding> findings;  // the worst first
};

Verdict judge(const Facts& facts);

// The newest backup that can be restored; null = there is none.
const Backup* newest_restorable(const Facts& facts);

}  // namespace forge::report
