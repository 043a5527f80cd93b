// Facts as JSON: all of them for programs (`report --json`), and those of the server as forge_backup.report_facts()
// gives them, on the way in.
#pragma once

#include "core/base/status.h"
#include "core/report/facts.h"

namespace forge::report {

// One line; times as RFC 3339, null where they are not known. The verdict comes first.
std::string facts_json(const Facts& facts);

// Members that are missing or of another type count as not known: the server may be older or newer. kInvalid for what
// is no JSON object.
Result<Server> parse_server(std::string_view json);

}  // namespace forge::report
