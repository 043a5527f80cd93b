#include "core/base/time.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "core/base/text.h"

namespace forge {

namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;
constexpr std::int64_t kSecondsPerDay = 86400;
constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::int64_t floor_divide(std::int64_t value, std::int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

struct CivilTime {
    int year = 0;
    unsigned month = 0, day = 0;
    int hour = 0, minute = 0, second = 0;
    int nanos = 0;
};

CivilTime to_civil(Instant at) {
    const std::int64_t seconds = at.seconds();
    const std::int64_t days = floor_divide(seconds, kSecondsPerDay);
    const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
    const int in_day = static_cast<int>(seconds - days * kSecondsPerDay);
    return {static_cast<int>(date.year()),
            static_cast<unsigned>(date.month()),
            static_cast<unsigned>(date.day()),
            in_day / 3600,
            in_day / 60 % 60,
            in_day % 60,
            static_cast<int>(at.nanos - seconds * kNanosPerSecond)};
}

// Nothing for a date that does not exist (February 30), a time of day beyond 23:59:60, or an instant out of range.
std::optional<Instant> from_civil(const CivilTime& civil, std::int64_t offset_seconds) {
    const std::chrono::year_month_day date{std::chrono::year(civil.year), std::chrono::month(civil.month),
                                           std::chrono::day(civil.day)};
    if (!date.ok() || civil.hour > 23 || civil.minute > 59 || civil.second > 60) return std::nullopt;
    const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    const std::int64_t seconds =
        days * kSecondsPerDay + civil.hour * 3600 + civil.minute * 60 + civil.second - offset_seconds;
    Instant at;
    if (__builtin_mul_overflow(seconds, kNanosPerSecond, &at.nanos) ||
        __builtin_add_overflow(at.nanos, static_cast<std::int64_t>(civil.nanos), &at.nanos)) {
        return std::nullopt;
    }
    return at;
}

// "2026-11-22T09:17:34" with the separator given.
std::string format_seconds(const CivilTime& civil, char separator) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%04d-%02u-%02u%c%02d:%02d:%02d", civil.year, civil.month, civil.day,
                  separator, civil.hour, civil.minute, civil.second);
    return text.data();
}

// ".365927" without trailing zeros, or nothing.
std::string format_fraction(int nanos, int digits) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), ".%09d", nanos);
    std::string fraction(text.data(), static_cast<std::size_t>(digits) + 1);
    while (fraction.size() > 1 && fraction.back() == '0') fraction.pop_back();
    return fraction.size() > 1 ? fraction : std::string();
}

// Takes tokens off the front of a text.
class Scanner {
public:
    explicit Scanner(std::string_view text) : rest_(text) {}
    bool done() const { return rest_.empty(); }
    bool next_is_digit() const { return !rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9'; }
    bool take(std::string_view expected) {
        if (rest_.substr(0, expected.size()) != expected) return false;
        rest_.remove_prefix(expected.size());
        return true;
    }
    // Exactly `digits` digits.
    template <typename T>
    bool number(std::size_t digits, T& value) {
        if (rest_.size() < digits || !next_is_digit()) return false;
        const auto parsed = parse_number<T>(rest_.substr(0, digits));
        if (!parsed) return false;
        value = *parsed;
        rest_.remove_prefix(digits);
        return true;
    }
    // 1 to 9 digits after the point, as nanoseconds.
    bool fraction(int& nanos) {
        int scale = 100'000'000;
        if (!next_is_digit()) return false;
        for (nanos = 0; next_is_digit() && scale > 0; scale /= 10) {
            nanos += (rest_.front() - '0') * scale;
            rest_.remove_prefix(1);
        }
        return !next_is_digit();
    }
    std::string_view word(std::size_t size) {
        const std::string_view result = rest_.substr(0, size);
        rest_.remove_prefix(result.size());
        return result;
    }

private:
    std::string_view rest_;
};

bool scan_date_time(Scanner& scanner, CivilTime& civil) {
    if (!scanner.number(4, civil.year) || !scanner.take("-") || !scanner.number(2, civil.month) || !scanner.take("-") ||
        !scanner.number(2, civil.day)) {
        return false;
    }
    if (!scanner.take("T") && !scanner.take("t") && !scanner.take(" ")) return false;
    if (!scanner.number(2, civil.hour) || !scanner.take(":") || !scanner.number(2, civil.minute)) return false;
    // PostgreSQL reads a time without seconds, too.
    if (scanner.take(":") && !scanner.number(2, civil.second)) return false;
    return !scanner.take(".") || scanner.fraction(civil.nanos);
}

// Seconds east of Greenwich; the whole rest must be a zone.
bool scan_zone(Scanner& scanner, std::int64_t& offset) {
    scanner.take(" ");
    offset = 0;
    if (scanner.take("Z") || scanner.take("z") || scanner.take("UTC") || scanner.take("utc") || scanner.take("GMT")) {
        return scanner.done();
    }
    const bool west = scanner.take("-");
    if (!west && !scanner.take("+")) return false;
    int hours = 0;
    int minutes = 0;
    int seconds = 0;
    if (!scanner.number(2, hours)) return false;
    if (!scanner.done()) {
        scanner.take(":");
        if (!scanner.number(2, minutes)) return false;
        // Zones of before 1900 as PostgreSQL prints them: +00:53:28.
        if (scanner.take(":") && !scanner.number(2, seconds)) return false;
    }
    offset = (hours * 3600 + minutes * 60 + seconds) * (west ? -1 : 1);
    return scanner.done() && hours <= 15 && minutes <= 59 && seconds <= 59;
}

Status bad_time(std::string_view text) {
    return Status(Kind::kInvalid, "invalid time \"" + std::string(text) + "\"",
                  "Write the time as in \"2026-11-22 09:17:34+00\".");
}

}  // namespace

std::int64_t Instant::seconds() const { return floor_divide(nanos, kNanosPerSecond); }
std::int64_t Instant::micros() const { return floor_divide(nanos, 1000); }

Instant SystemClock::now() const {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::nanoseconds>(since).count()};
}

std::string format_rfc3339(Instant at, int digits) {
    const CivilTime civil = to_civil(at);
    return format_seconds(civil, 'T') + format_fraction(civil.nanos, digits) + "Z";
}

std::string format_postgres(Instant at) {
    const CivilTime civil = to_civil(at);
    return format_seconds(civil, ' ') + format_fraction(civil.nanos, 6) + "+00";
}

std::string format_human(Instant at) { return format_seconds(to_civil(at), ' ') + " UTC"; }

Result<Instant> parse_time(std::string_view text) {
    const std::string_view trimmed = trim(text);
    Scanner scanner(trimmed);
    CivilTime civil;
    if (!scan_date_time(scanner, civil)) return bad_time(trimmed);
    if (scanner.done()) {
        return Status(Kind::kInvalid, "time \"" + std::string(trimmed) + "\" has no time zone",
                      "Add one, as in \"" + std::string(trimmed) + "+00\" for UTC.");
    }
    std::int64_t offset = 0;
    if (!scan_zone(scanner, offset)) return bad_time(trimmed);
    const auto at = from_civil(civil, offset);
    if (!at) return Status(Kind::kInvalid, "time \"" + std::string(trimmed) + "\" is out of range");
    return *at;
}

std::optional<Instant> parse_http_date(std::string_view text) {
    Scanner scanner(text);
    CivilTime civil;
    scanner.word(3);  // the day of the week says nothing that the date does not
    if (!scanner.take(", ") || !scanner.number(2, civil.day) || !scanner.take(" ")) return std::nullopt;
    const std::string_view month = scanner.word(3);
    for (unsigned i = 0; i < kMonths.size(); ++i) {
        if (kMonths[i] == month) civil.month = i + 1;
    }
    if (!scanner.take(" ") || !scanner.number(4, civil.year) || !scanner.take(" ") || !scanner.number(2, civil.hour) ||
        !scanner.take(":") || !scanner.number(2, civil.minute) || !scanner.take(":") ||
        !scanner.number(2, civil.second) || !scanner.take(" GMT") || !scanner.done()) {
        return std::nullopt;
    }
    return from_civil(civil, 0);
}

std::string format_size(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes) + (bytes == 1 ? " byte" : " bytes");
    constexpr std::array<std::string_view, 5> kUnits{"kB", "MB", "GB", "TB", "PB"};
    double value = static_cast<double>(bytes) / 1024;
    std::size_t unit = 0;
    // 1023.5 would be printed as 1024.
    while (value >= 1023.5 && unit + 1 < kUnits.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), value < 9.95 ? "%.1f %s" : "%.0f %s", value, kUnits[unit].data());
    return text.data();
}

std::string format_duration(double seconds) {
    std::array<char, 64> text{};
    const double sane = std::isfinite(seconds) && seconds > 0 ? std::fmin(seconds, 1e9) : 0;
    if (sane < 9.95) {
        std::snprintf(text.data(), text.size(), "%.1f s", sane);
        return text.data();
    }
    const long whole = std::lround(sane);
    if (whole < 60) {
        std::snprintf(text.data(), text.size(), "%ld s", whole);
    } else if (whole < 3600) {
        std::snprintf(text.data(), text.size(), "%ld min %ld s", whole / 60, whole % 60);
    } else if (whole < kSecondsPerDay) {
        std::snprintf(text.data(), text.size(), "%ld h %ld min", whole / 3600, whole / 60 % 60);
    } else {
        std::snprintf(text.data(), text.size(), "%ld d %ld h", whole / kSecondsPerDay, whole / 3600 % 24);
    }
    return text.data();
}

}  // namespace forge
