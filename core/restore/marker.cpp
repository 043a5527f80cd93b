#include "core/restore/marker.h"

#include "core/base/file.h"
#include "core/base/text.h"

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

std::optional<Marker> parse_marker(std::string_view text) {
    constexpr std::string_view kEquals = " = ";
    Marker marker;
    for (const std::string& line : split(text, '\n')) {
        const std::size_t at = line.find(kEquals);
        if (at == line.npos) continue;
        const std::string name = line.substr(0, at);
        std::string value = line.substr(at + kEquals.size());
        if (name == "source") marker.source = std::move(value);
        else if (name == "source_cluster") marker.source_cluster = std::move(value);
        else if (name == "system_identifier") marker.system_identifier = parse_number<std::uint64_t>(value).value_or(0);
        else if (name == "backup") marker.backup = std::move(value);
        else if (name == "target") marker.target = std::move(value);
        else if (name == "reached") marker.reached = std::move(value);
        else if (name == "restored_at") {
            if (const auto at_time = parse_time(value); at_time.ok()) marker.restored_at = *at_time;
        }
    }
    if (marker.source.empty() || marker.restored_at == Instant()) return std::nullopt;
    return marker;
}

std::optional<Marker> read_marker(const std::string& directory) {
    constexpr std::size_t kLongest = 64 << 10;
    const auto text = read_file(join_path(directory, std::string(kMarkerFile)), kLongest);
    if (!text.ok()) return std::nullopt;
    return parse_marker(*text);
}

bool is_clone(const Marker& marker, std::string_view cluster_name, std::string_view storage) {
    const std::string& source = marker.source_cluster;
    if (cluster_name.empty() || source.empty() || source == cluster_name) return false;
    const bool may_be_site = source.ends_with("-" + std::string(cluster_name));
    return !(may_be_site && storage == marker.source);
}

Status unwanted_clone(const Marker& marker) {
    return Status(Kind::kInvalid,
                  "this server is a copy of cluster " + quoted(marker.source_cluster) +
                      ", and forge_backup.clone_policy is \"off\": nothing is stored",
                  "Set forge_backup.clone_policy to \"on\" or \"warn\" to have backups of it.");
}

Status write_marker(const std::string& directory, const Marker& marker) {
    return write_file_durably(join_path(directory, std::string(kMarkerFile)), as_bytes(marker_text(marker)));
}

}  // namespace forge::restore
