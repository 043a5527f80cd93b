// One inline SVG. It is as wide as its place on the page: what lies along the width is given in percent, what lies
// along the height in pixels, so that texts keep their size. Colours come from the classes of the page's stylesheet.
#pragma once

#include <string>
#include <string_view>

#include "core/report/time_axis.h"

namespace forge::report {

class Picture {
public:
    // `title` names it for those who cannot see it, `description` says what it shows. Both, and all texts below, are
    // escaped here.
    Picture(std::string_view title, std::string_view description) : title_(title), description_(description) {}

    // `tip` is shown under the pointer; empty = none.
    void bar(std::string_view kind, double x, double y, double width, double height, std::string_view tip = {});
    void dot(std::string_view kind, double x, double y, double radius, std::string_view tip = {});
    // A square, a cross: `size` pixels wide, around the point.
    void square(std::string_view kind, double x, double y, double size, std::string_view tip = {});
    void cross(std::string_view kind, double x, double y, double size, std::string_view tip = {});
    void line(std::string_view kind, double x1, double y1, double x2, double y2);
    void text(std::string_view kind, double x, double y, std::string_view text);
    // A name on the left and a figure on the right, above what is drawn below `y`.
    void heading(double y, std::string_view name, std::string_view figure);
    // Vertical lines with their labels below, under everything else.
    void time_grid(const TimeAxis& axis, double bottom);

    std::string finish(double height) const;

private:
    void shape(std::string_view element, std::string_view kind, const std::string& attributes, std::string_view tip);

    std::string title_, description_;
    std::string behind_, body_;
};

}  // namespace forge::report
