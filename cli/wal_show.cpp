// forge-backup wal-show: the archived WAL by timeline, as WAL-G prints it (walg-format 9.6).
#include <cstdio>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/list_rows.h"
#include "cli/table.h"
#include "core/wal/timelines.h"

namespace forge::cli {

namespace {

using wal::TimelineSummary;

std::string name_of(const TimelineSummary& summary, std::uint64_t number, std::uint64_t segment_size) {
    return layout::segment_name({summary.timeline, number}, segment_size);
}

std::string status_of(const TimelineSummary& summary) { return summary.complete() ? "OK" : "LOST_SEGMENTS"; }

void print_table(const std::vector<TimelineSummary>& summaries, std::uint64_t segment_size, bool with_backups) {
    Cells header{"TLI",         "PARENT TLI",    "SWITCHPOINT LSN", "START SEGMENT",
                 "END SEGMENT", "SEGMENT RANGE", "SEGMENTS COUNT",  "STATUS"};
    std::vector<bool> to_the_right{true, true, true, false, false, true, true, false};
    if (with_backups) {
        header.emplace_back("BACKUPS COUNT");
        to_the_right.push_back(true);
    }
    std::vector<Cells> rows;
    for (const TimelineSummary& summary : summaries) {
        Cells cells{std::to_string(summary.timeline),
                    std::to_string(summary.parent),
                    format_lsn(summary.switch_point),
                    name_of(summary, summary.first, segment_size),
                    name_of(summary, summary.last, segment_size),
                    std::to_string(summary.range()),
                    std::to_string(summary.count),
                    status_of(summary)};
        if (with_backups) cells.push_back(std::to_string(summary.backups.size()));
        rows.push_back(std::move(cells));
    }
    std::fputs(framed_table(header, rows, to_the_right).c_str(), stdout);
}

std::string json_of(const TimelineSummary& summary, std::uint64_t segment_size, bool with_backups) {
    std::string json = "{\"id\":" + std::to_string(summary.timeline) +
                       ",\"parent_id\":" + std::to_string(summary.parent) +
                       ",\"switch_point_lsn\":" + std::to_string(summary.switch_point) + ",\"start_segment\":\"" +
                       name_of(summary, summary.first, segment_size) + "\",\"end_segment\":\"" +
                       name_of(summary, summary.last, segment_size) +
                       "\",\"segments_count\":" + std::to_string(summary.count) + ",\"missing_segments\":[";
    std::string separator;
    for (const std::uint64_t number : summary.missing) {
        json += separator + "\"" + name_of(summary, number, segment_size) + "\"";
        separator = ",";
    }
    json += "]";
    if (with_backups && !summary.backups.empty()) {
        json += ",\"backups\":[";
        separator.clear();
        for (const repository::BackupEntry* backup : summary.backups) {
            json += separator + backup_json(*backup, true);
            separator = ",";
        }
        json += "]";
    }
    return json + ",\"segment_range_size\":" + std::to_string(summary.range()) + ",\"status\":\"" + status_of(summary) +
           "\"}";
}

// One line without an end, as WAL-G.
void print_json(const std::vector<TimelineSummary>& summaries, std::uint64_t segment_size, bool with_backups) {
    std::string json;
    for (const TimelineSummary& summary : summaries)
        json += (json.empty() ? "" : ",") + json_of(summary, segment_size, with_backups);
    std::printf("[%s]", json.c_str());
}

}  // namespace

int run_wal_show(CommandLine& line) {
    bool without_backups = false;
    bool json = false;
    line.flag("--without-backups", without_backups, "leave the backups out, which saves reading them");
    line.flag("--detailed-json", json, "as JSON, with the missing segments and the backups");
    line.more_help("One row a timeline: where it left its parent, the lowest and the highest archived segment, and "
                   "whether all between are there.\n\n"
                   "Example:\n"
                   "  forge-backup --env-dir /etc/forge_backup wal-show\n\n"
                   "Exit codes: 0 done, whatever the status; 1 failed, 2 wrong usage. (wal-verify fails on a gap.)\n");
    if (const auto code = line.parse()) return *code;
    Session session(line, seconds(1));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const store::CallContext context = session.context();
    const auto listing = repository->list_wal(context);
    if (!listing.ok()) return session.fail(listing.status());
    Result<std::vector<repository::BackupEntry>> backups = std::vector<repository::BackupEntry>();
    if (!without_backups) backups = repository->list_backups(context);
    if (!backups.ok()) return session.fail(backups.status());
    for (const repository::BackupEntry& backup : *backups)
        if (!backup.problem.empty()) session.log().warning("backup \"" + backup.name + "\": " + backup.problem);
    const auto size = wal::archive_segment_size(*repository, *backups, listing->segments, context);
    if (!size.ok()) return session.fail(size.status());
    const auto histories = wal::read_histories(*repository, listing->histories, context);
    if (!histories.ok()) return session.fail(histories.status());
    for (const std::string& problem : histories->problems) session.log().warning(problem);
    const auto summaries = wal::summarize_timelines(listing->segments, *size, *histories, *backups);
    if (json)
        print_json(summaries, *size, !without_backups);
    else
        print_table(summaries, *size, !without_backups);
    return kExitOk;
}

}  // namespace forge::cli
