// Restore commands live for one file; what they measured stays in the data directory they worked for.
#pragma once

#include <string>

namespace forge::cli {

// Adds what this process has measured to the statistics there. Never in the way of a restore: whatever does not work is
// left out, and nothing is said.
void keep_restore_statistics(const std::string& data_directory);

}  // namespace forge::cli
