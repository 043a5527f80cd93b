// Timeline histories: what is accepted ascends, and is read again from the server's form.
#include "core/layout/history.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

void one_input(ByteView data) {
    const auto entries = layout::parse_history(as_text(data));
    if (!entries.ok()) {
        require(entries.status().is(Kind::kCorrupt), "what is no history is damage");
        return;
    }
    std::string text;
    for (const layout::HistoryEntry& entry : *entries)
        text += std::to_string(entry.timeline) + "\t" + format_lsn(entry.switch_point) + "\t" + entry.reason + "\n";
    const auto again = layout::parse_history(text);
    require(again.ok() && again->size() == entries->size(), "a history is read as it is written");
    for (std::size_t i = 0; i < entries->size(); ++i) {
        const layout::HistoryEntry& entry = (*entries)[i];
        const layout::HistoryEntry& same = (*again)[i];
        require(entry.timeline == same.timeline && entry.switch_point == same.switch_point &&
                    entry.reason == same.reason,
                "an entry is read as it is written");
        require(entry.timeline > 0 && (i == 0 || entry.timeline > (*entries)[i - 1].timeline), "timelines ascend");
        require(i == 0 || entry.switch_point >= (*entries)[i - 1].switch_point, "switch points do not go back");
    }
}

}  // namespace forge::fuzz
