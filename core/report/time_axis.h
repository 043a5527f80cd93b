// A span of time laid out from left to right, in percent of the width: pictures stretch with the page without a script.
#pragma once

#include <string>
#include <vector>

#include "core/base/time.h"

namespace forge::report {

class TimeAxis {
public:
    TimeAxis(Instant from, Instant to);
    Instant from() const { return from_; }
    Instant to() const { return to_; }
    // 0.5 … 99.5; what lies outside the span is put at its end.
    double place(Instant at) const;

    struct Tick {
        double place = 0;
        std::string label;   // "22 Nov", "14:00", in UTC
        bool minor = false;  // left out where there is little room
    };
    // At round moments, at most 10.
    std::vector<Tick> ticks() const;

private:
    Instant from_, to_;
};

}  // namespace forge::report
