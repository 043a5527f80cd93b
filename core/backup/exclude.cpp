#include "core/backup/exclude.h"

#include <algorithm>
#include <array>

#include "core/base/text.h"

namespace forge::backup {
namespace {

constexpr std::array<std::string_view, 8> kLeftOut{
    "postgresql.auto.conf.tmp", "current_logfiles.tmp", "backup_label",    "tablespace_map",
    "backup_manifest",          "postmaster.pid",       "postmaster.opts", ".DS_Store"};
constexpr std::array<std::string_view, 2> kLeftOutPrefixes{"pg_internal.init", "pgsql_tmp"};
constexpr std::array<std::string_view, 7> kEmptied{"pg_stat_tmp", "pg_replslot",  "pg_dynshmem", "pg_notify",
                                                   "pg_serial",   "pg_snapshots", "pg_subtrans"};
constexpr std::size_t kMaxOidDigits = 10;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
// Takes the digits at the start of `text` off it.
std::string_view take_digits(std::string_view& text) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
    const auto count = static_cast<std::size_t>(end - text.begin());
    const std::string_view digits = text.substr(0, count);
    text.remove_prefix(count);
    return digits;
}
// Takes "_fsm", "_vm" or "_init" off; nothing when another suffix follows.
std::optional<Fork> take_fork(std::string_view& text) {
    if (text.empty() || text.front() != '_') return Fork::kMain;
    constexpr std::pair<std::string_view, Fork> kForks[] = {
        {"_fsm", Fork::kFsm}, {"_vm", Fork::kVisibilityMap}, {"_init", Fork::kInit}};
    for (const auto& [suffix, fork] : kForks) {
        if (!text.starts_with(suffix)) continue;
        text.remove_prefix(suffix.size());
        return fork;
    }
    return std::nullopt;
}

std::optional<std::uint32_t> parse_plain_number(std::string_view digits) {
    if (digits.empty() || digits.front() == '0') return std::nullopt;
    return parse_number<std::uint32_t>(digits);
}

}  // namespace

std::optional<RelationFile> parse_relation_file(std::string_view base_name) {
    RelationFile file;
    const auto number = parse_plain_number(take_digits(base_name));
    if (!number) return std::nullopt;
    file.number = *number;
    const auto fork = take_fork(base_name);
    if (!fork) return std::nullopt;
    file.fork = *fork;
    if (base_name.empty()) return file;
    if (base_name.front() != '.') return std::nullopt;
    const auto segment = parse_plain_number(base_name.substr(1));
    if (!segment) return std::nullopt;
    file.segment = *segment;
    return file;
}

bool is_temporary_relation(std::string_view base_name) {
    if (base_name.empty() || base_name.front() != 't') return false;
    base_name.remove_prefix(1);
    if (take_digits(base_name).empty()) return false;
    if (base_name.empty() || base_name.front() != '_') return false;
    base_name.remove_prefix(1);
    const std::string_view number = take_digits(base_name);
    if (number.empty() || number.size() > kMaxOidDigits) return false;
    if (!take_fork(base_name)) return false;
    if (base_name.empty()) return true;
    if (base_name.front() != '.') return false;
    base_name.remove_prefix(1);
    return !take_digits(base_name).empty() && base_name.empty();
}

bool is_left_out(std::string_view base_name) {
    if (base_name.empty()) return false;
    if (std::find(kLeftOut.begin(), kLeftOut.end(), base_name) != kLeftOut.end()) return true;
    return std::any_of(kLeftOutPrefixes.begin(), kLeftOutPrefixes.end(),
                       [&](std::string_view prefix) { return base_name.starts_with(prefix); });
}

bool is_emptied(std::string_view base_name) {
    return std::find(kEmptied.begin(), kEmptied.end(), base_name) != kEmptied.end();
}

bool is_database_directory(std::string_view directory, std::string_view version_directory) {
    const std::size_t slash = directory.rfind('/');
    if (slash == std::string_view::npos) return false;
    std::string_view name = directory.substr(slash + 1);
    if (take_digits(name).empty() || !name.empty()) return false;
    const std::string_view parent = directory.substr(0, slash);
    if (parent == "/base") return true;
    return parent.starts_with("/pg_tblspc/") && parent.ends_with(version_directory) &&
           parent[parent.size() - version_directory.size() - 1] == '/';
}

bool is_relation_directory(std::string_view directory, std::string_view version_directory) {
    return directory == "/global" || is_database_directory(directory, version_directory);
}

}  // namespace forge::backup
