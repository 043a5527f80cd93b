#include "core/schedule/cron.h"

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "core/base/text.h"

namespace forge::schedule {

namespace {

constexpr std::int64_t kMinutesPerDay = 1440;
constexpr std::int64_t kSearchedDays = 4 * 366;
constexpr std::uint32_t kEveryHour = 0xFFFFFF;

struct Field {
    std::string_view name;
    int lowest;
    int highest;
    const std::string_view* names;  // three letters each, the first one for `lowest`
    int name_count;
};

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

constexpr Field kMinute{"minute", 0, 59, nullptr, 0};
constexpr Field kHour{"hour", 0, 23, nullptr, 0};
constexpr Field kDay{"day-of-month", 1, 31, nullptr, 0};
constexpr Field kMonth{"month", 1, 12, kMonths.data(), 12};
constexpr Field kWeekday{"day-of-week", 0, 7, kWeekdays.data(), 7};

struct Macro {
    std::string_view name;
    std::string_view expression;
};
constexpr std::array kMacros{
    Macro{"@hourly", "0 * * * *"},   Macro{"@daily", "0 0 * * *"},   Macro{"@midnight", "0 0 * * *"},
    Macro{"@weekly", "0 0 * * 0"},   Macro{"@monthly", "0 0 1 * *"}, Macro{"@yearly", "0 0 1 1 *"},
    Macro{"@annually", "0 0 1 1 *"},
};

Status field_error(const Field& field, const std::string& what) {
    return Status(
        Kind::kInvalid, std::string(field.name) + " field: " + what,
        "A schedule has five fields, as in \"0 */12 * * *\": minute, hour, day of month, month, day of week.");
}

Result<int> parse_value(const Field& field, std::string_view text) {
    const std::string word = to_lower(text);
    for (int i = 0; i < field.name_count; ++i) {
        if (word == field.names[i]) return field.lowest + i;
    }
    if (text.empty()) return field_error(field, "a value is missing");
    for (const char c : text) {
        if (c < '0' || c > '9') return field_error(field, "invalid value " + quoted(text));
    }
    const auto value = parse_number<int>(text);
    if (!value || *value < field.lowest || *value > field.highest) {
        return field_error(field, "value " + std::string(text) + " is out of range " + std::to_string(field.lowest) +
                                      " to " + std::to_string(field.highest));
    }
    return *value;
}

struct Range {
    int from;
    int to;
};

// "*", "5" or "1-5".
Result<Range> parse_range(const Field& field, std::string_view text) {
    if (text == "*") return Range{field.lowest, field.highest};
    const std::size_t dash = text.find('-');
    FORGE_ASSIGN(const int from, parse_value(field, text.substr(0, dash)));
    if (dash == std::string_view::npos) return Range{from, from};
    FORGE_ASSIGN(int to, parse_value(field, text.substr(dash + 1)));
    // "fri-sun": Sunday is the end of the week as well as its start.
    if (&field == &kWeekday && to == 0 && from > 0) to = 7;
    if (to < from) return field_error(field, "range " + quoted(text) + " runs backwards");
    return Range{from, to};
}

// One element of a list: a range with or without a step. Returns the bits of its values.
Result<std::uint64_t> parse_element(const Field& field, std::string_view text) {
    const std::size_t slash = text.find('/');
    const std::string_view base = text.substr(0, slash);
    FORGE_ASSIGN(const Range range, parse_range(field, base));
    int step = 1;
    if (slash != std::string_view::npos) {
        const std::string_view step_text = text.substr(slash + 1);
        const auto value = parse_number<int>(step_text);
        if (!value || *value < 1 || *value > field.highest) {
            return field_error(field,
                               "step " + quoted(step_text) + " is out of range 1 to " + std::to_string(field.highest));
        }
        if (range.from == range.to && base.find('-') == std::string_view::npos) {
            return field_error(field, "a step needs a range or \"*\" before it in " + quoted(text));
        }
        step = *value;
    }
    std::uint64_t bits = 0;
    for (int value = range.from; value <= range.to; value += step) bits |= std::uint64_t{1} << value;
    return bits;
}

Result<std::uint64_t> parse_field(const Field& field, std::string_view text) {
    std::uint64_t bits = 0;
    for (const std::string& element : split(text, ',')) {
        FORGE_ASSIGN(const std::uint64_t values, parse_element(field, element));
        bits |= values;
    }
    return bits;
}

// Pieces between spaces and tabs.
std::vector<std::string_view> split_words(std::string_view text) {
    constexpr std::string_view kBlank = " \t\n\r";
    std::vector<std::string_view> words;
    while (!text.empty()) {
        const std::size_t start = text.find_first_not_of(kBlank);
        if (start == std::string_view::npos) break;
        text.remove_prefix(start);
        const std::string_view word = text.substr(0, text.find_first_of(kBlank));
        words.push_back(word);
        text.remove_prefix(word.size());
    }
    return words;
}

// Only days of the month decide where the days of the week are not restricted or narrow them down.
bool has_a_day(const CronExpression& cron) {
    constexpr std::array<int, 12> kDaysOf{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (!cron.any_day && !cron.any_weekday) return true;
    for (int month = 1; month <= 12; ++month) {
        const std::uint32_t days = (2U << kDaysOf[static_cast<std::size_t>(month - 1)]) - 2U;
        if (((cron.months >> month) & 1U) != 0 && (cron.days & days) != 0) return true;
    }
    return false;
}

// The wall-clock minute counted from 1970 in the zone's own time. The zone is within a day of UTC, so the day of the
// week tells which day the local one is.
std::int64_t count_local(std::int64_t utc_minute, const LocalMinute& local) {
    const LocalMinute utc = utc_to_local(utc_minute);
    int days = (local.weekday - utc.weekday + 7) % 7;
    if (days == 6) days = -1;
    return utc_minute + days * kMinutesPerDay + (local.hour - utc.hour) * 60 + (local.minute - utc.minute);
}

bool same_day(const LocalMinute& a, const LocalMinute& b) { return a.day == b.day && a.month == b.month; }

bool matches_date(const CronExpression& cron, const LocalMinute& at) {
    const bool day = ((cron.days >> at.day) & 1U) != 0;
    const bool weekday = ((cron.weekdays >> at.weekday) & 1U) != 0;
    return ((cron.months >> at.month) & 1U) != 0 &&
           (cron.any_day || cron.any_weekday ? day && weekday : day || weekday);
}

bool any_match(const CronExpression& cron, std::int64_t after, std::int64_t last) {
    for (std::int64_t minute = after + 1; minute <= last; ++minute) {
        if (matches(cron, utc_to_local(minute))) return true;
    }
    return false;
}

}  // namespace

Result<CronExpression> parse_cron(std::string_view text) {
    text = trim(text);
    if (!text.empty() && text.front() == '@') {
        const std::string name = to_lower(text);
        for (const Macro& macro : kMacros) {
            if (macro.name == name) return parse_cron(macro.expression);
        }
        return Status(Kind::kInvalid, "unrecognized schedule " + quoted(text),
                      "Use \"@hourly\", \"@daily\", \"@weekly\", \"@monthly\", \"@yearly\" or five fields.");
    }
    const auto words = split_words(text);
    if (words.size() != 5) {
        return Status(Kind::kInvalid,
                      "schedule " + quoted(text) + " has " + std::to_string(words.size()) + " fields instead of 5",
                      "The fields are minute, hour, day of month, month and day of week.");
    }
    FORGE_ASSIGN(const std::uint64_t minutes, parse_field(kMinute, words[0]));
    FORGE_ASSIGN(const std::uint64_t hours, parse_field(kHour, words[1]));
    FORGE_ASSIGN(const std::uint64_t days, parse_field(kDay, words[2]));
    FORGE_ASSIGN(const std::uint64_t months, parse_field(kMonth, words[3]));
    FORGE_ASSIGN(const std::uint64_t weekdays, parse_field(kWeekday, words[4]));
    CronExpression cron;
    cron.minutes = minutes;
    cron.hours = static_cast<std::uint32_t>(hours);
    cron.days = static_cast<std::uint32_t>(days);
    cron.months = static_cast<std::uint16_t>(months);
    cron.weekdays = static_cast<std::uint8_t>((weekdays | (weekdays >> 7)) & 0x7F);
    cron.any_day = words[2].front() == '*';
    cron.any_weekday = words[4].front() == '*';
    if (!has_a_day(cron)) return field_error(kDay, "no chosen month has such a day");
    return cron;
}

bool matches(const CronExpression& cron, const LocalMinute& at) {
    return ((cron.minutes >> at.minute) & 1U) != 0 && ((cron.hours >> at.hour) & 1U) != 0 && matches_date(cron, at);
}

LocalMinute utc_to_local(std::int64_t minute) {
    const std::int64_t days = minute / kMinutesPerDay - (minute % kMinutesPerDay < 0 ? 1 : 0);
    const int in_day = static_cast<int>(minute - days * kMinutesPerDay);
    const std::chrono::sys_days day{std::chrono::days(days)};
    const std::chrono::year_month_day date{day};
    return {in_day % 60, in_day / 60, static_cast<int>(static_cast<unsigned>(date.day())),
            static_cast<int>(static_cast<unsigned>(date.month())),
            static_cast<int>(std::chrono::weekday(day).c_encoding())};
}

ClockProgress clock_progress(std::int64_t last_minute, std::int64_t now_minute) {
    constexpr std::int64_t kMuch = 180;
    constexpr std::int64_t kFew = 5;
    const std::int64_t passed = now_minute - last_minute;
    if (passed == 0) return ClockProgress::kSameMinute;
    if (passed > kMuch || passed <= -kMuch) return ClockProgress::kChanged;
    if (passed < 0) return ClockProgress::kJumpedBack;
    return passed > kFew ? ClockProgress::kJumpedAhead : ClockProgress::kProgressed;
}

bool CronClock::due(const CronExpression& cron, std::int64_t now_utc_minute, const ToLocal& to_local) {
    const LocalMinute local = to_local(now_utc_minute);
    const std::int64_t now = count_local(now_utc_minute, local);
    if (!last_) {
        last_ = now;
        return false;
    }
    const std::int64_t last = *last_;
    const bool fixed_times = cron.hours != kEveryHour;
    switch (clock_progress(last, now)) {
        case ClockProgress::kSameMinute: return false;
        case ClockProgress::kProgressed: last_ = now; return any_match(cron, last, now);
        case ClockProgress::kJumpedAhead:
            last_ = now;
            return fixed_times ? any_match(cron, last, now) : matches(cron, local);
        case ClockProgress::kJumpedBack:
            // The last minute stays what it was until the clock has caught up with it.
            if (fixed_times) return false;
            break;
        case ClockProgress::kChanged: break;
    }
    last_ = now;
    return matches(cron, local);
}

std::optional<std::int64_t> next_run(const CronExpression& cron, std::int64_t from_utc_minute,
                                     const ToLocal& to_local) {
    const std::int64_t end = from_utc_minute + kSearchedDays * kMinutesPerDay;
    for (std::int64_t at = from_utc_minute + 1; at <= end;) {
        const LocalMinute local = to_local(at);
        if (matches(cron, local)) return at;
        if (matches_date(cron, local)) {
            ++at;
            continue;
        }
        // On to the next local day. Where daylight saving makes this one shorter the step goes past its start, so it is
        // walked back; where it makes it longer the step stays in it and is repeated.
        at += kMinutesPerDay - (local.hour * 60 + local.minute);
        const LocalMinute landed = to_local(at);
        while (!same_day(landed, local) && same_day(to_local(at - 1), landed)) --at;
    }
    return std::nullopt;
}

}  // namespace forge::schedule
