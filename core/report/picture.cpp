#include "core/report/picture.h"

#include "core/report/markup.h"

namespace forge::report {

namespace {

std::string percent(std::string_view name, double value) {
    return " " + std::string(name) + "=\"" + coordinate(value) + "%\"";
}
std::string pixels(std::string_view name, double value) {
    return " " + std::string(name) + "=\"" + coordinate(value) + "\"";
}

}  // namespace

void Picture::shape(std::string_view element, std::string_view kind, const std::string& attributes,
                    std::string_view tip) {
    body_ += "<" + std::string(element) + " class=\"" + std::string(kind) + "\"" + attributes;
    if (tip.empty())
        body_ += "/>";
    else
        body_ += "><title>" + escaped(tip) + "</title></" + std::string(element) + ">";
}

void Picture::bar(std::string_view kind, double x, double y, double width, double height, std::string_view tip) {
    shape("rect", kind, percent("x", x) + pixels("y", y) + percent("width", width) + pixels("height", height), tip);
}

void Picture::dot(std::string_view kind, double x, double y, double radius, std::string_view tip) {
    shape("circle", kind, percent("cx", x) + pixels("cy", y) + pixels("r", radius), tip);
}

void Picture::square(std::string_view kind, double x, double y, double size, std::string_view tip) {
    shape("rect", kind,
          percent("x", x) + pixels("y", y - size / 2) + pixels("width", size) + pixels("height", size) +
              " transform=\"translate(-" + coordinate(size / 2) + " 0)\"",
          tip);
}

// Lines cannot mix percent and pixels: each is moved from the point.
void Picture::cross(std::string_view kind, double x, double y, double size, std::string_view tip) {
    const double half = size / 2;
    for (const double sign : {1.0, -1.0}) {
        const std::string at = percent("x", x) + pixels("y", y);
        body_ += "<svg class=\"mark\"" + at + " overflow=\"visible\"><path class=\"" + std::string(kind) + "\" d=\"M" +
                 coordinate(-half) + " " + coordinate(-half * sign) + "L" + coordinate(half) + " " +
                 coordinate(half * sign) + "\"/></svg>";
    }
    if (!tip.empty()) dot("tip", x, y, half, tip);
}

void Picture::line(std::string_view kind, double x1, double y1, double x2, double y2) {
    shape("line", kind, percent("x1", x1) + pixels("y1", y1) + percent("x2", x2) + pixels("y2", y2), {});
}

void Picture::text(std::string_view kind, double x, double y, std::string_view text) {
    body_ += "<text class=\"" + std::string(kind) + "\"" + percent("x", x) + pixels("y", y) + ">" + escaped(text) +
             "</text>";
}

void Picture::heading(double y, std::string_view name, std::string_view figure) {
    text("name", 0.5, y, name);
    text("figure", 99.5, y, figure);
}

void Picture::time_grid(const TimeAxis& axis, double bottom) {
    for (const TimeAxis::Tick& tick : axis.ticks()) {
        const std::string at = coordinate(tick.place) + "%\"";
        const std::string minor = tick.minor ? " minor" : "";
        // A label at the very edge would be cut off.
        const std::string end = tick.place < 4 ? " first" : tick.place > 96 ? " last" : "";
        behind_ += "<line class=\"grid" + minor + "\" x1=\"" + at + " y1=\"0\" x2=\"" + at + " y2=\"" +
                   coordinate(bottom) + "\"/><text class=\"tick" + minor + end + "\" x=\"" + at + " y=\"" +
                   coordinate(bottom + 13) + "\">" + escaped(tick.label) + "</text>";
    }
}

std::string Picture::finish(double height) const {
    const std::string title = escaped(title_);
    return "<svg class=\"picture\" width=\"100%\" height=\"" + coordinate(height) + "\" role=\"img\" aria-label=\"" +
           title + ". " + escaped(description_) + "\">" + behind_ + body_ + "</svg>\n";
}

}  // namespace forge::report
