// What a restored data directory says about where it comes from: a small text file of "name = value" lines.
#pragma once

#include <optional>
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
// Nothing for a text without a source or without the moment of the restore. Lines it does not know are ignored.
std::optional<Marker> parse_marker(std::string_view text);
// Nothing where there is none, or none that can be read.
std::optional<Marker> read_marker(const std::string& directory);
// The server with this cluster_name is another cluster than the one it was restored from. Unknown without two names.
// `storage` is where the server writes now: a source whose name is known by its prefix only has the site in front of it
// ("site-shop" for "shop"), which is told from another cluster's name by the server still writing there.
bool is_clone(const Marker& marker, std::string_view cluster_name, std::string_view storage);
// kInvalid: why a clone stores nothing, where forge_backup.clone_policy is "off".
Status unwanted_clone(const Marker& marker);
// Replaces one that came with the backup. Durable.
Status write_marker(const std::string& directory, const Marker& marker);

}  // namespace forge::restore
