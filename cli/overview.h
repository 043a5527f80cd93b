// "forge-backup --help", and the answer to a verb that does not exist.
#pragma once

#include <string>
#include <string_view>

namespace forge::cli {

void print_overview();
// What stands in it below the commands: examples, where settings come from, exit codes.
std::string_view overview_notes();
// On standard error, with the nearest verb as hint.
void complain_about_verb(const std::string& name);

}  // namespace forge::cli
