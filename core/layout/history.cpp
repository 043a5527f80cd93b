#include "core/layout/history.h"

#include <array>
#include <cstdio>

#include "core/base/text.h"

namespace forge::layout {

namespace {

// Takes the next word off the front of `line`.
std::string_view next_word(std::string_view& line) {
    line = trim(line);
    const std::size_t length = std::min(line.find_first_of(" \t"), line.size());
    const std::string_view word = line.substr(0, length);
    line.remove_prefix(length);
    return word;
}

Status malformed(std::string_view line) {
    return Status(Kind::kCorrupt, "syntax error in timeline history: " + quoted(line));
}

}  // namespace

// The rules of the server's readTimeLineHistory().
Result<std::vector<HistoryEntry>> parse_history(std::string_view text) {
    std::vector<HistoryEntry> entries;
    for (const std::string& raw : split(text, '\n')) {
        std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#') continue;
        HistoryEntry entry;
        const auto timeline = parse_number<Timeline>(next_word(line));
        const auto switch_point = parse_lsn(next_word(line));
        if (!timeline || *timeline == 0 || !switch_point) return malformed(trim(raw));
        entry.timeline = *timeline;
        entry.switch_point = *switch_point;
        entry.reason = trim(line);
        if (!entries.empty() && entry.timeline <= entries.back().timeline) {
            return Status(Kind::kCorrupt,
                          "timeline IDs in a timeline history must be in increasing sequence: " + quoted(trim(raw)));
        }
        if (!entries.empty() && entry.switch_point < entries.back().switch_point) {
            return Status(Kind::kCorrupt, "switch points in a timeline history must not go back: " + quoted(trim(raw)));
        }
        entries.push_back(std::move(entry));
    }
    return entries;
}

std::string history_name(Timeline timeline) {
    std::array<char, 24> name{};
    std::snprintf(name.data(), name.size(), "%08X.history", timeline);
    return name.data();
}

}  // namespace forge::layout
