// "forge-backup --help", and the answer to a verb that does not exist.
#pragma once

#include <string>

namespace forge::cli {

void print_overview();
// On standard error, with the nearest verb as hint.
void complain_about_verb(const std::string& name);

}  // namespace forge::cli
