// forge-backup wal-verify [integrity] [timeline]: whether the archive leads to where the server is, as WAL-G prints it
// (walg-format 9.7), but with an exit code that says so (W10).
#include <algorithm>
#include <cstdio>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/server_connection.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "core/wal/integrity.h"

namespace forge::cli {

namespace {

constexpr std::uint64_t kLongestWalk = 1ULL << 28;  // segments; nobody keeps more, a wrong position would

struct Order {
    std::string first, second;  // "integrity", "timeline"
    std::string timeline, position, backup, most_delayed;
    bool json = false;
    bool wants(std::string_view check) const { return first.empty() || first == check || second == check; }
};

// Where the server is.
struct Place {
    Timeline timeline = 0;
    Lsn position = 0;
    std::optional<std::uint64_t> segment_size;
};

Result<Place> ask_server() {
    FORGE_ASSIGN(ServerConnection server, ServerConnection::open());
    // A standby has no current position; what it has replayed is on the timeline it last saw a checkpoint of, or
    // receives.
    FORGE_ASSIGN(
        const auto rows,
        server.query("SELECT CASE WHEN pg_is_in_recovery()"
                     " THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), c.timeline_id)::text"
                     " ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int::text END,"
                     " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,"
                     " (SELECT setting FROM pg_settings WHERE name = 'wal_segment_size')"
                     " FROM pg_control_checkpoint() c"));
    if (rows.empty() || !rows[0][0] || !rows[0][1])
        return Status(Kind::kUnavailable, "the server does not know its position in the WAL yet",
                      "Try again when it has replayed some, or give --timeline and --lsn.");
    Place place;
    place.timeline = parse_number<Timeline>(*rows[0][0]).value_or(0);
    place.position = parse_lsn(*rows[0][1]).value_or(0);
    if (rows[0][2]) place.segment_size = parse_number<std::uint64_t>(*rows[0][2]);
    return place;
}

// What is wrong with the words; empty = nothing.
std::string wrong_words(const Order& order, Place& place) {
    for (const std::string& word : {order.first, order.second})
        if (!word.empty() && word != "integrity" && word != "timeline")
            return quoted(word) + " is neither \"integrity\" nor \"timeline\"";
    if (order.timeline.empty() != order.position.empty()) return "--timeline and --lsn belong together";
    if (!order.most_delayed.empty() && !parse_number<std::uint64_t>(order.most_delayed))
        return "--max-delayed-wals: " + quoted(order.most_delayed) + " is not a number";
    if (order.timeline.empty()) return {};
    const auto timeline = parse_number<Timeline>(order.timeline);
    const auto position = parse_lsn(order.position);
    if (!timeline || *timeline == 0) return "--timeline: " + quoted(order.timeline) + " is not a timeline";
    if (!position || *position == 0) return "--lsn: " + quoted(order.position) + " is not a position";
    place.timeline = *timeline;
    place.position = *position;
    return {};
}

Result<std::map<layout::Segment, Instant>>
archived_segments(repository::Repository& repository, std::uint64_t segment_size, const store::CallContext& context) {
    std::map<layout::Segment, Instant> segments;
    FORGE_TRY(repository.store().list(
        std::string(layout::kWalFolder),
        [&](const store::ObjectInfo& object) {
            const auto file = layout::parse_wal_key(object.key);
            if (!file || file->kind != layout::WalKind::kSegment) return true;
            if (const auto segment = layout::parse_segment(file->name, segment_size))
                segments[*segment] = object.modified;
            return true;
        },
        context));
    return segments;
}

// Number of the segment from which on all WAL must be there: of the backup named, or of the earliest one that is not
// permanent and leads to where the server is.
Result<std::uint64_t> first_needed(const Order& order, const std::vector<repository::BackupEntry>& backups,
                                   const wal::Histories& histories, const wal::IntegrityOptions& options,
                                   const std::map<layout::Segment, Instant>& archived, Logger& logger) {
    std::optional<std::uint64_t> first;
    bool found = false;
    for (const repository::BackupEntry& backup : backups) {
        if (!order.backup.empty() && backup.name != order.backup) continue;
        found = true;
        if (order.backup.empty() && backup.sentinel.is_permanent) continue;
        if (!wal::leads_to(histories.of, options.timeline, backup, options.segment_size)) continue;
        const auto begin = layout::parse_segment(backup.start_segment, options.segment_size);
        if (begin) first = std::min(first.value_or(begin->number), begin->number);
    }
    if (first) return *first;
    if (!order.backup.empty())
        return Status(
            Kind::kInvalid,
            "backup " + quoted(order.backup) +
                (found ? " does not lead to timeline " + std::to_string(options.timeline) : " does not exist"),
            "Choose one of those that \"backup-list\" shows.");
    logger.warning("no backup leads to timeline " + std::to_string(options.timeline) +
                   ": looking from the first archived segment on");
    std::uint64_t lowest = (options.position - 1) / options.segment_size;
    for (const auto& [segment, stored] : archived) lowest = std::min(lowest, segment.number);
    return lowest;
}

void print_integrity(const wal::IntegrityReport& report, std::uint64_t segment_size) {
    std::vector<Cells> rows;
    for (const wal::IntegrityRow& row : report.rows)
        rows.push_back({std::to_string(row.timeline), layout::segment_name({row.timeline, row.first}, segment_size),
                        layout::segment_name({row.timeline, row.last}, segment_size), std::to_string(row.count()),
                        std::string(wal::state_name(row.state))});
    std::printf(
        "[wal-verify] integrity check status: %s\n[wal-verify] integrity check details:\n%s",
        std::string(wal::status_name(report.status)).c_str(),
        framed_table({"TLI", "START", "END", "SEGMENTS COUNT", "STATUS"}, rows, {true, false, false, true, true})
            .c_str());
}

void print_timeline(const wal::TimelineReport& report) {
    std::printf("[wal-verify] timeline check status: %s\n[wal-verify] timeline check details:\n"
                "Highest timeline found in storage: %u\nCurrent cluster timeline: %u\n",
                std::string(wal::status_name(report.status)).c_str(), report.highest, report.current);
}

std::string integrity_json(const wal::IntegrityReport& report, std::uint64_t segment_size) {
    std::string rows;
    for (const wal::IntegrityRow& row : report.rows)
        rows += std::string(rows.empty() ? "" : ",") + "{\"timeline_id\":" + std::to_string(row.timeline) +
                ",\"start_segment\":\"" + layout::segment_name({row.timeline, row.first}, segment_size) +
                "\",\"end_segment\":\"" + layout::segment_name({row.timeline, row.last}, segment_size) +
                "\",\"segments_count\":" + std::to_string(row.count()) + ",\"status\":\"" +
                std::string(wal::state_name(row.state)) + "\"}";
    return "\"integrity\":{\"status\":\"" + std::string(wal::status_name(report.status)) + "\",\"details\":[" + rows +
           "]}";
}

std::string timeline_json(const wal::TimelineReport& report) {
    return "\"timeline\":{\"status\":\"" + std::string(wal::status_name(report.status)) +
           "\",\"details\":{\"current_timeline_id\":" + std::to_string(report.current) +
           ",\"highest_storage_timeline_id\":" + std::to_string(report.highest) + "}}";
}

// What the two checks found; each only if it was wanted.
struct Findings {
    std::optional<wal::IntegrityReport> integrity;
    std::optional<wal::TimelineReport> timeline;
    std::uint64_t segment_size = 0;
};

Result<Findings> verify(const Order& order, const Place& place, repository::Repository& repository,
                        std::uint64_t most_uploading, Session& session) {
    const store::CallContext context = session.context();
    FORGE_ASSIGN(const repository::WalListing listing, repository.list_wal(context));
    FORGE_ASSIGN(const auto backups, repository.list_backups(context));
    Findings findings;
    if (order.wants("timeline")) findings.timeline = wal::check_timeline(listing, place.timeline);
    if (!order.wants("integrity")) return findings;
    FORGE_ASSIGN(findings.segment_size, wal::archive_segment_size(repository, backups, listing.segments, context));
    findings.segment_size = place.segment_size.value_or(findings.segment_size);
    FORGE_ASSIGN(const wal::Histories histories, wal::read_histories(repository, listing.histories, context));
    for (const std::string& problem : histories.problems) session.log().warning(problem);
    for (const repository::BackupEntry& backup : backups)
        if (!backup.problem.empty()) session.log().warning("backup " + quoted(backup.name) + ": " + backup.problem);
    FORGE_ASSIGN(const auto archived, archived_segments(repository, findings.segment_size, context));
    wal::IntegrityOptions options{.timeline = place.timeline,
                                  .position = place.position,
                                  .segment_size = findings.segment_size,
                                  .most_delayed = parse_number<std::uint64_t>(order.most_delayed).value_or(0),
                                  .most_uploading = most_uploading,
                                  .now = SystemClock().now()};
    FORGE_ASSIGN(options.first, first_needed(order, backups, histories, options, archived, session.log()));
    if (const std::uint64_t head = place.position / options.segment_size;
        head > options.first && head - options.first > kLongestWalk)
        return Status(Kind::kInvalid, "position " + format_lsn(place.position) + " is too far from the first backup",
                      "Check --lsn.");
    findings.integrity = wal::check_integrity(archived, histories, options);
    return findings;
}

int print(const Findings& findings, bool json) {
    if (json) {
        const std::string integrity =
            findings.integrity ? integrity_json(*findings.integrity, findings.segment_size) : "";
        const std::string timeline = findings.timeline ? timeline_json(*findings.timeline) : "";
        std::printf("{%s%s%s}\n", integrity.c_str(), integrity.empty() || timeline.empty() ? "" : ",",
                    timeline.c_str());
    } else {
        if (findings.integrity) print_integrity(*findings.integrity, findings.segment_size);
        if (findings.timeline) print_timeline(*findings.timeline);
    }
    const bool failed = (findings.integrity && findings.integrity->status == wal::CheckStatus::kFailure) ||
                        (findings.timeline && findings.timeline->status == wal::CheckStatus::kFailure);
    return failed ? kExitFailure : kExitOk;
}

// As many segments as archiving uploads at a time, where somebody set that; WAL-G's default otherwise.
std::uint64_t most_uploading(const settings::Settings& settings) {
    constexpr std::uint64_t kDefault = 16;
    for (const auto& origin : settings.origins)
        if (origin.name == "upload_concurrency" && origin.source != "default")
            return static_cast<std::uint64_t>(std::max(1, settings.upload_concurrency));
    return kDefault;
}

}  // namespace

int run_wal_verify(CommandLine& line) {
    Order order;
    line.positional("CHECK", order.first, "integrity or timeline; both without", false);
    line.positional("CHECK2", order.second, "the other one", false);
    line.flag("--json", order.json, "as one line of JSON");
    line.option("--timeline", order.timeline, "timeline of the server; without it the server is asked", "N");
    line.option("--lsn", order.position, "position of the server, with --timeline", "LSN");
    line.option("--backup-name", order.backup, "look from this backup on", "NAME");
    line.option("--max-delayed-wals", order.most_delayed,
                "newest segments that need not be there yet (WALG_INTEGRITY_MAX_DELAYED_WALS, 0)", "N");
    line.more_help(
        "integrity: every segment from the earliest backup that is not permanent to the one the server "
        "writes. Missing ones are DELAYED or UPLOADING\n"
        "(a warning) while they may be on their way, else LOST (a failure). timeline: the newest timeline in "
        "the archive is the server's.\n"
        "The server is found as psql finds it (PGHOST, PGPORT, PGUSER).\n\n"
        "Example:\n"
        "  forge-backup --env-dir /etc/forge_backup wal-verify integrity timeline\n\n"
        "Exit codes: 0 OK or WARNING, 1 FAILURE or failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (const char* value = std::getenv("WALG_INTEGRITY_MAX_DELAYED_WALS"); order.most_delayed.empty() && value)
        order.most_delayed = value;
    Place place;
    if (const std::string wrong = wrong_words(order, place); !wrong.empty()) return line.bad_usage(wrong);
    Session session(line, seconds(1));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    if (order.timeline.empty()) {
        const auto asked = ask_server();
        if (!asked.ok()) return session.fail(asked.status());
        place = *asked;
    }
    const auto findings = verify(order, place, *repository, most_uploading(repository->settings()), session);
    if (!findings.ok()) return session.fail(findings.status());
    return print(*findings, order.json);
}

}  // namespace forge::cli
