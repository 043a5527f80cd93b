#include "core/restore/marker.h"

#include "core/base/file.h"

namespace forge::restore {

std::string marker_text(const Marker& marker) {
    std::string text = "# this directory was restored by forge-backup\n";
    const auto add = [&text](std::string_view name, std::string value) {
        for (char& c : value)
            if (c == '\n' || c == '\r') c = ' ';
        text += std::string(name) + " = " + value + "\n";
    };
    add("source", marker.source);
    add("source_cluster", marker.source_cluster);
    add("system_identifier", std::to_string(marker.system_identifier));
    add("backup", marker.backup);
    add("target", marker.target);
    add("reached", marker.reached);
    add("restored_at", format_rfc3339(marker.restored_at));
    return text;
}

Status write_marker(const std::string& directory, const Marker& marker) {
    return write_file_durably(join_path(directory, std::string(kMarkerFile)), as_bytes(marker_text(marker)));
}

}  // namespace forge::restore
