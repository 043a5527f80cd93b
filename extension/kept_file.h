// Small files below forge_backup/ in the data directory that keep over restarts what shared memory holds: replaced as a
// whole, without fsync, as the server keeps its own statistics. Paths are relative to the data directory.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// The first 32 KiB; nothing where there is no such file.
std::string read_kept_file(const char* path);
// Raises nothing. Where it fails the old file stays.
void replace_kept_file(const char* path, const std::string& text);

}  // namespace forge::server
