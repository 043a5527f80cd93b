// What a restored data directory says about where it comes from: a small text file, "name = value" lines, which the
// server reads without any library.
#pragma once

#include <string>

#include "core/base/status.h"
#include "core/base/time.h"

namespace forge::restore {

inline constexpr std::string_view kMarkerFile = "forge_backup.restored";

struct Marker {
    std::string source;          // URL of the prefix
    std::string source_cluster;  // name of the cluster it belongs to, as far as known
    std::uint64_t system_identifier = 0;
    std::string backup;
    std::string target;   // asked for
    std::string reached;  // what recovery will really reach, as far as known
    Instant restored_at;
};
std::string marker_text(const Marker& marker);
// Replaces one that came with the backup. Durable.
Status write_marker(const std::string& directory, const Marker& marker);

}  // namespace forge::restore
