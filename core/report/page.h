// The report: one self-contained HTML page. It needs no script, no network and no other file, and its policy allows
// none: whatever hostile text slipped through could not run or call home.
#pragma once

#include "core/report/facts.h"

namespace forge::report {

// Of bounded size, whatever the facts are.
std::string page(const Facts& facts);

// Rows that a table shows; it says how many there are more.
inline constexpr std::size_t kMostRows = 60;

}  // namespace forge::report
