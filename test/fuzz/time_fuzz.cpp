// Times in text: RFC 3339 and PostgreSQL's forms, and HTTP dates.
#include "core/base/time.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

void one_input(ByteView data) {
    const std::string_view text = as_text(data);
    if (const auto at = parse_http_date(text))
        require(parse_time(format_rfc3339(*at, 0)).value() == *at, "an HTTP date is a time");
    const auto at = parse_time(text);
    if (!at.ok()) return require(at.status().is(Kind::kInvalid), "what is no time is bad input");
    require(parse_time(format_rfc3339(*at, 9)).value() == *at, "a time is read as it is written");
    require(parse_time(format_postgres(*at)).value().micros() == at->micros(), "the server's form has microseconds");
    require(parse_time(format_human(*at)).value().seconds() == at->seconds(), "the form for people has seconds");
    require(Instant::from_micros(at->micros()).micros() == at->micros(), "microseconds stay what they are");
}

}  // namespace forge::fuzz
