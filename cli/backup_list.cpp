// forge-backup backup-list: WAL-G's listing, byte for byte (walg-format 9.1), since scripts read it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/list_rows.h"
#include "cli/table.h"

namespace forge::cli {

namespace {

using repository::BackupEntry;
using Json = nlohmann::ordered_json;

constexpr const char* kStorageName = "default";

// RFC 3339 without fraction, in this machine's time zone.
std::string local_time(Instant at) {
    if (at.nanos == 0) return "-";
    const std::time_t seconds_since = at.seconds();
    std::tm parts{};
    localtime_r(&seconds_since, &parts);
    std::array<char, 64> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    if (parts.tm_gmtoff == 0) return std::string(text.data()) + "Z";
    const auto digits = [](long value) { return (value < 10 ? "0" : "") + std::to_string(value); };
    const long minutes = std::labs(parts.tm_gmtoff) / 60;
    return text.data() + std::string(parts.tm_gmtoff < 0 ? "-" : "+") + digits(minutes / 60) + ":" +
           digits(minutes % 60);
}

std::string utc_time(Instant at) { return at.nanos == 0 ? "-" : format_rfc3339(at, 0); }

// "Sunday, 22-Nov-26 09:01:01 UTC" (RFC 850).
std::string pretty_time(Instant at) {
    if (at.nanos == 0) return "-";
    const std::time_t seconds_since = at.seconds();
    std::tm parts{};
    gmtime_r(&seconds_since, &parts);
    std::array<char, 64> text{};
    std::strftime(text.data(), text.size(), "%A, %d-%b-%y %H:%M:%S UTC", &parts);
    return text.data();
}

std::string lsn_text(const std::optional<Lsn>& lsn) { return format_lsn(lsn.value_or(0)); }

Cells cells_of(const BackupEntry& backup, bool detail, bool pretty) {
    const auto modified = pretty ? pretty_time : local_time;
    const auto stored = pretty ? pretty_time : utc_time;
    Cells cells{backup.name, modified(backup.modified), backup.start_segment, kStorageName};
    if (!detail) return cells;
    const layout::Sentinel& sentinel = backup.sentinel;
    cells.insert(cells.end(), {stored(sentinel.start_time), stored(sentinel.finish_time), sentinel.hostname,
                               sentinel.data_dir, std::to_string(sentinel.pg_version), lsn_text(sentinel.start_lsn),
                               lsn_text(sentinel.finish_lsn), sentinel.is_permanent ? "true" : "false"});
    return cells;
}

void print_plain(const std::vector<BackupEntry>& backups, bool detail) {
    Cells header{"backup_name", "modified", "wal_file_name", "storage_name"};
    if (detail)
        header.insert(header.end(), {"start_time", "finish_time", "hostname", "data_dir", "pg_version", "start_lsn",
                                     "finish_lsn", "is_permanent"});
    std::vector<Cells> rows;
    for (const BackupEntry& backup : backups) rows.push_back(cells_of(backup, detail, false));
    std::fputs(plain_table(header, rows).c_str(), stdout);
}

void print_pretty(const std::vector<BackupEntry>& backups, bool detail) {
    Cells header{"#", "BACKUP NAME", "MODIFIED", "WAL FILE NAME", "STORAGE NAME"};
    if (detail)
        header.insert(header.end(), {"START TIME", "FINISH TIME", "HOSTNAME", "DATADIR", "PG VERSION", "START LSN",
                                     "FINISH LSN", "PERMANENT"});
    std::vector<Cells> rows;
    for (const BackupEntry& backup : backups) {
        Cells cells = cells_of(backup, detail, true);
        cells.insert(cells.begin(), std::to_string(rows.size()));
        rows.push_back(std::move(cells));
    }
    std::fputs(framed_table(header, rows).c_str(), stdout);
}

void print_json(const std::vector<BackupEntry>& backups, bool detail, bool pretty) {
    std::string json;
    for (const BackupEntry& backup : backups) json += (json.empty() ? "[" : ",") + backup_json(backup, detail);
    json += json.empty() ? "[]" : "]";
    // Texts come out as they are; numbers in user data that no double holds do so only in one line.
    if (pretty) json = Json::parse(json).dump(4, ' ', false, Json::error_handler_t::replace);
    std::printf("%s\n", json.c_str());
}

// By start time where every backup has one; the listing comes by modification time.
void sort_for_detail(std::vector<BackupEntry>& backups) {
    const auto has_start = [](const BackupEntry& backup) { return backup.sentinel.start_time.nanos != 0; };
    if (!std::all_of(backups.begin(), backups.end(), has_start)) return;
    std::stable_sort(backups.begin(), backups.end(), [](const BackupEntry& a, const BackupEntry& b) {
        return a.sentinel.start_time < b.sentinel.start_time;
    });
}

}  // namespace

int run_backup_list(CommandLine& line) {
    bool detail = false;
    bool json = false;
    bool pretty = false;
    line.flag("--detail", detail, "times, host, directory, version and positions as well");
    line.flag("--json", json, "as one line of JSON");
    line.flag("--pretty", pretty, "a framed table, or indented JSON");
    line.more_help("One line a backup, by the time it was finished: name, when, and the WAL segment it starts in. "
                   "Nothing is printed where there is\n"
                   "no backup.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup backup-list --detail --pretty\n\n"
                   "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1), Session::Patience::kShort);
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    Result<std::vector<BackupEntry>> listed = repository->list_backups(session.context());
    if (!listed.ok()) return session.fail(listed.status());
    std::vector<BackupEntry>& backups = *listed;
    if (detail) sort_for_detail(backups);
    for (const BackupEntry& backup : backups)
        if (!backup.problem.empty()) session.log().warning("backup \"" + backup.name + "\": " + backup.problem);
    if (json)
        print_json(backups, detail, pretty);
    else if (backups.empty())
        session.log().info("there is no backup");
    else if (pretty)
        print_pretty(backups, detail);
    else
        print_plain(backups, detail);
    return kExitOk;
}

}  // namespace forge::cli
