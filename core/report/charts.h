// The pictures of the page. Each has a bounded number of marks: what would lie on top of each other is drawn once.
#pragma once

#include "core/report/facts.h"
#include "core/report/time_axis.h"

namespace forge::report {

// From the first thing the store still has to now.
TimeAxis axis_of(const Facts& facts);

// The recovery window, base backups with their chains, and archived WAL with its holes, over one time axis.
std::string draw_timeline(const Facts& facts, const TimeAxis& axis);
// How old the newest WAL in the store was, over time; by the server's own measurements where there are any.
std::string draw_risk(const Facts& facts, const TimeAxis& axis);
// Stored sizes and durations of the newest backups, side by side.
std::string draw_sizes(const Facts& facts);
std::string draw_durations(const Facts& facts);
inline constexpr std::size_t kMostBars = 60;

}  // namespace forge::report
