#include "cli/server_settings.h"

#include <algorithm>
#include <optional>

#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

constexpr std::size_t kMaxFile = 8U << 20;
constexpr int kMaxDepth = 10;  // the server's own limit for nested includes
constexpr std::string_view kPrefix = "forge_backup.";

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'; }

// One quoted value from after its opening quote: '' and \' are a quote, \n and the like what they are in C.
std::optional<std::string> take_quoted(std::string_view& rest) {
    std::string value;
    for (std::size_t i = 0; i < rest.size(); ++i) {
        if (rest[i] == '\'') {
            if (i + 1 == rest.size() || rest[i + 1] != '\'') {
                rest.remove_prefix(i + 1);
                return value;
            }
            value += rest[++i];
        } else if (rest[i] == '\\' && i + 1 < rest.size()) {
            const char next = rest[++i];
            constexpr std::string_view kNames = "bfnrt";
            constexpr std::string_view kValues = "\b\f\n\r\t";
            const std::size_t known = kNames.find(next);
            value += known == std::string_view::npos ? next : kValues[known];
        } else {
            value += rest[i];
        }
    }
    return std::nullopt;
}

struct Assignment {
    std::string name;  // lower case; empty = blank line or comment
    std::string value;
};

// `name [=] value [# comment]`; nothing = no such line.
std::optional<Assignment> parse_line(std::string_view line) {
    std::string_view rest = trim(line);
    if (rest.empty() || rest[0] == '#') return Assignment{};
    const auto name_end =
        std::find_if(rest.begin(), rest.end(), [](char c) { return is_blank(c) || c == '=' || c == '\'' || c == '#'; });
    Assignment found{to_lower(std::string_view(rest.begin(), name_end)), {}};
    rest.remove_prefix(static_cast<std::size_t>(name_end - rest.begin()));
    rest = trim(rest);
    if (!rest.empty() && rest[0] == '=') rest = trim(rest.substr(1));
    if (found.name.empty() || rest.empty()) return std::nullopt;
    if (rest[0] == '\'') {
        rest.remove_prefix(1);
        std::optional<std::string> value = take_quoted(rest);
        if (!value) return std::nullopt;
        found.value = std::move(*value);
        rest = trim(rest);
    } else {
        const auto end = std::find_if(rest.begin(), rest.end(), [](char c) { return is_blank(c) || c == '#'; });
        found.value = std::string(rest.begin(), end);
        rest = trim(rest.substr(found.value.size()));
    }
    if (!rest.empty() && rest[0] != '#') return std::nullopt;
    return found;
}

class Reader {
public:
    Status read(const std::string& path, int depth) {
        if (depth > kMaxDepth)
            return {Kind::kInvalid, "configuration file " + quoted(path) + " is included too deeply"};
        FORGE_ASSIGN(const std::string content, read_file(path, kMaxFile));
        int number = 0;
        for (const std::string& line : split(content, '\n')) {
            ++number;
            const std::optional<Assignment> found = parse_line(line);
            if (!found)
                return {Kind::kInvalid, "syntax error in file " + quoted(path) + " line " + std::to_string(number),
                        "Correct the line."};
            FORGE_TRY(apply(*found, path, depth));
        }
        return {};
    }
    std::map<std::string, std::string> values;
    std::string cluster_name;

private:
    Status apply(const Assignment& found, const std::string& path, int depth) {
        if (found.name.starts_with(kPrefix)) {
            values[found.name.substr(kPrefix.size())] = found.value;
            return {};
        }
        if (found.name == "cluster_name") cluster_name = found.value;
        if (found.name != "include" && found.name != "include_if_exists" && found.name != "include_dir") return {};
        const std::string target =
            found.value.starts_with('/') ? found.value : join_path(parent_path(path), found.value);
        if (found.name == "include") return read(target, depth + 1);
        if (found.name == "include_if_exists") return path_exists(target) ? read(target, depth + 1) : Status();
        FORGE_ASSIGN(const std::vector<std::string> names, list_directory(target));
        for (const std::string& name : names)
            if (name.ends_with(".conf") && !name.starts_with('.')) FORGE_TRY(read(join_path(target, name), depth + 1));
        return {};
    }
};

// The value of "-c NAME=VALUE" or "--NAME=VALUE" among the quoted words of postmaster.opts, the last one; empty = not
// there.
std::string option_of_last_start(const std::string& data_directory, std::string_view name) {
    const Result<std::string> content = read_file(join_path(data_directory, "postmaster.opts"), kMaxFile);
    if (!content.ok()) return {};
    std::string value;
    const std::vector<std::string> pieces = split(*content, '"');  // every second one is a word
    for (std::size_t i = 1; i < pieces.size(); i += 2) {
        std::string_view word = pieces[i];
        if (word.starts_with("--")) word.remove_prefix(2);
        const std::size_t equals = word.find('=');
        if (equals == word.npos) continue;
        std::string given(word.substr(0, equals));
        std::replace(given.begin(), given.end(), '-', '_');
        if (given == name) value = word.substr(equals + 1);
    }
    return value;
}

Result<Reader> read_files(const std::string& data_directory) {
    if (!path_exists(join_path(data_directory, "PG_VERSION")))
        return Status(Kind::kInvalid, "directory " + quoted(data_directory) + " is not a data directory",
                      "Give the directory that holds the file \"PG_VERSION\".");
    Reader reader;
    std::string main_file = join_path(data_directory, "postgresql.conf");
    if (!path_exists(main_file)) main_file = option_of_last_start(data_directory, "config_file");
    if (!main_file.empty() && path_exists(main_file)) FORGE_TRY(reader.read(main_file, 0));
    const std::string automatic = join_path(data_directory, "postgresql.auto.conf");
    if (path_exists(automatic)) FORGE_TRY(reader.read(automatic, 0));
    return reader;
}

}  // namespace

Result<std::map<std::string, std::string>> read_server_settings(const std::string& data_directory) {
    FORGE_ASSIGN(Reader reader, read_files(data_directory));
    return std::move(reader.values);
}

std::string read_cluster_name(const std::string& data_directory) {
    std::string name = option_of_last_start(data_directory, "cluster_name");
    if (!name.empty()) return name;
    const auto reader = read_files(data_directory);
    return reader.ok() ? reader->cluster_name : std::string();
}

}  // namespace forge::cli
