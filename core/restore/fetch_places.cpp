#include "core/restore/fetch_places.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <set>

#include "core/base/file.h"
#include "core/base/text.h"
#include "core/restore/fetch_journal.h"

namespace forge::restore {
namespace {

constexpr mode_t kPrivate = 0700;

// Without trailing slashes, relative paths below the working directory.
std::string absolute(const std::string& path) {
    std::string result = path;
    if (!result.starts_with('/')) {
        std::string working(PATH_MAX, '\0');
        if (::getcwd(working.data(), working.size()) != nullptr) result = join_path(working.c_str(), result);
    }
    while (result.size() > 1 && result.ends_with('/')) result.pop_back();
    return result;
}

bool is_oid(const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// `leaving`: what is there now and will not be.
Status check_free(const std::string& directory, bool resume, const std::string& leaving, const std::string& hint) {
    if (!path_exists(directory)) return {};
    if (!is_directory(directory)) return Status(Kind::kInvalid, quoted(directory) + " is not a directory", hint);
    FORGE_ASSIGN(auto names, list_directory(directory));
    std::erase(names, leaving);
    if (names.empty() || resume) return {};
    return Status(Kind::kInvalid, "directory " + quoted(directory) + " is not empty", hint);
}

Status check_mapping(const layout::Sentinel& sentinel, const FetchOptions& options) {
    for (const auto& [from, to] : options.tablespace_mapping) {
        if (!to.starts_with('/'))
            return Status(Kind::kInvalid,
                          "new location " + quoted(to) + " of tablespace " + quoted(from) + " is not absolute");
        const bool known =
            std::any_of(sentinel.tablespaces.begin(), sentinel.tablespaces.end(), [&](const auto& tablespace) {
                return tablespace.oid == from || absolute(tablespace.location) == absolute(from);
            });
        if (!known)
            return Status(Kind::kInvalid, "the backup has no tablespace " + quoted(from),
                          "Name a tablespace by its OID or by the directory it had.");
    }
    return {};
}

std::optional<std::string> mapped_location(const layout::Tablespace& tablespace, const FetchOptions& options) {
    for (const auto& [from, to] : options.tablespace_mapping)
        if (from == tablespace.oid || absolute(from) == absolute(tablespace.location)) return absolute(to);
    return std::nullopt;
}

// The directory in a tablespace's place that a server which makes way has there; empty = none.
std::string leaving_from(const std::string& location, const FetchOptions& options) {
    if (!options.in_place) return {};
    for (const std::string& place : options.in_place->tablespaces)
        if (parent_path(place) == location) return base_name(place);
    return {};
}

Result<TablespacePlace> find_place(const layout::Tablespace& tablespace, const FetchOptions& options, bool resume) {
    if (!is_oid(tablespace.oid) || !tablespace.location.starts_with('/'))
        return Status(Kind::kCorrupt, "the sentinel of the backup has a tablespace " + quoted(tablespace.oid) + " at " +
                                          quoted(tablespace.location));
    const auto mapped = mapped_location(tablespace, options);
    TablespacePlace place{tablespace.oid, tablespace.location, mapped.value_or(absolute(tablespace.location))};
    const std::string hint = mapped ? "Give it an empty directory, or one that does not exist yet."
                                    : "Give tablespace " + tablespace.oid +
                                          " another place with --tablespace-mapping " + tablespace.oid + "=NEWDIR.";
    Status free = check_free(place.location, resume, leaving_from(place.location, options), hint);
    if (!free.ok()) return std::move(free).with_context("tablespace " + tablespace.oid);
    return place;
}

bool is_link_to(const std::string& link, const std::string& target) {
    std::string found(PATH_MAX, '\0');
    const int error = errno;  // of the caller, who reports it
    const ssize_t size = ::readlink(link.c_str(), found.data(), found.size());
    errno = error;
    return size >= 0 && std::string_view(found).substr(0, static_cast<std::size_t>(size)) == target;
}

std::string escape_map_path(const std::string& path) {
    std::string escaped;
    for (const char c : path) {
        if (c == '\n' || c == '\r' || c == '\\') escaped += '\\';
        escaped += c;
    }
    return escaped;
}

// The map's lines; a newline after a backslash belongs to the path.
std::vector<std::string> map_lines(const std::string& map) {
    std::vector<std::string> lines(1);
    for (std::size_t i = 0; i < map.size(); ++i) {
        if (map[i] == '\\' && i + 1 < map.size())
            lines.back() += map[++i];
        else if (map[i] == '\n')
            lines.emplace_back();
        else
            lines.back() += map[i];
    }
    std::erase(lines, "");
    return lines;
}

}  // namespace

Result<Places> find_places(const layout::Sentinel& sentinel, const FetchOptions& options) {
    Places places;
    if (options.target_directory.empty()) return Status(Kind::kInvalid, "no target directory was given");
    places.target = absolute(options.target_directory);
    const bool resume = Journal::is_there(places.target);
    if (!options.in_place)
        FORGE_TRY(
            check_free(places.target, resume, {}, "Restore into an empty directory, or one that does not exist yet."));
    FORGE_TRY(check_mapping(sentinel, options));
    std::set<std::string> used{places.target};
    for (const layout::Tablespace& tablespace : sentinel.tablespaces) {
        FORGE_ASSIGN(TablespacePlace place, find_place(tablespace, options, resume));
        if (!used.insert(place.location).second)
            return Status(Kind::kInvalid, "directory " + quoted(place.location) + " is to be used twice",
                          "Give each tablespace a directory of its own.");
        places.tablespaces.push_back(std::move(place));
    }
    return places;
}

Status create_target(const Places& places) { return make_directories(places.target, kPrivate); }

Status create_places(const Places& places) {
    const std::string links = join_path(places.target, "pg_tblspc");
    FORGE_TRY(make_directories(links, kPrivate));
    for (const TablespacePlace& place : places.tablespaces) {
        FORGE_TRY(make_directories(place.location, kPrivate));
        const std::string link = join_path(links, place.oid);
        if (::symlink(place.location.c_str(), link.c_str()) != 0 && !is_link_to(link, place.location))
            return errno_status(errno, "could not create symbolic link", link);
    }
    return {};
}

Result<std::string> rewrite_tablespace_map(const std::string& map, const Places& places) {
    std::string result;
    for (const std::string& line : map_lines(map)) {
        const std::string oid = line.substr(0, line.find(' '));
        const auto place = std::find_if(places.tablespaces.begin(), places.tablespaces.end(),
                                        [&](const TablespacePlace& candidate) { return candidate.oid == oid; });
        if (place == places.tablespaces.end())
            return Status(Kind::kCorrupt, "tablespace_map names tablespace " + quoted(oid) +
                                              ", which the backup's sentinel does not have");
        result += oid + " " + escape_map_path(place->location) + "\n";
    }
    return result;
}

}  // namespace forge::restore
