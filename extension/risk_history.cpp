#include "extension/risk_history.h"

#include "extension/durability.h"
#include "extension/kept_file.h"
#include "extension/wall_clock.h"

namespace forge::server {

namespace {

constexpr const char* kFile = "forge_backup/data_at_risk";

// The caller holds the lock. True if this begins a span.
bool add(RiskHistoryInfo& history, const RiskSpan& measured) {
    if (history.count > 0) {
        RiskSpan& newest = history.spans[(history.count - 1) % kRiskSpans];
        if (newest.from == measured.from) {
            newest.seconds = std::max(newest.seconds, measured.seconds);
            newest.bytes = std::max(newest.bytes, measured.bytes);
            return false;
        }
    }
    history.spans[history.count++ % kRiskSpans] = measured;
    return true;
}

std::string format(const RiskHistoryInfo& history) {
    std::string text;
    for_each_risk_span(history, [&](const RiskSpan& span) {
        text += std::to_string(unix_micros(span.from)) + " " + std::to_string(span.seconds) + " " +
                std::to_string(span.bytes) + "\n";
    });
    return text;
}

std::optional<RiskSpan> parse_line(std::string_view line) {
    const std::size_t first = line.find(' ');
    const std::size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
    if (second == line.npos) return std::nullopt;
    const auto from = parse_number<std::int64_t>(line.substr(0, first));
    const auto seconds = parse_number<std::uint64_t>(line.substr(first + 1, second - first - 1));
    const auto bytes = parse_number<std::uint64_t>(line.substr(second + 1));
    if (!from || !seconds || !bytes) return std::nullopt;
    return RiskSpan{from_unix_micros(*from), *seconds, *bytes};
}

}  // namespace

void load_risk_history() {
    const std::string text = read_kept_file(kFile);
    update_state([&](SharedState& state) {
        if (std::exchange(state.risk_history.is_loaded, true)) return;
        std::string_view rest(text);
        for (std::size_t end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
            if (const auto span = parse_line(rest.substr(0, end))) add(state.risk_history, *span);
            rest.remove_prefix(end + 1);
        }
    });
}

void note_risk(const SharedState& state) {
    const AtRisk risk = data_at_risk(&state);
    if (risk.state != AtRisk::State::kDurable && risk.state != AtRisk::State::kAtRisk) return;
    const TimestampTz now = GetCurrentTimestamp();
    const RiskSpan measured{now - now % (kRiskSpan.count() * USECS_PER_SEC), risk.seconds, risk.bytes};
    bool begins = false;
    update_state([&](SharedState& shared) { begins = add(shared.risk_history, measured); });
    if (begins) keep_risk_history();
}

void keep_risk_history() {
    const auto state = copy_state();
    // Not before the file has been read.
    if (state != nullptr && state->risk_history.is_loaded) replace_kept_file(kFile, format(state->risk_history));
}

}  // namespace forge::server
