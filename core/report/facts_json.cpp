#include "core/report/facts_json.h"

#include <nlohmann/json.hpp>

#include "core/layout/names.h"
#include "core/report/verdict.h"

namespace forge::report {

namespace {

using Json = nlohmann::ordered_json;

// --- out -------------------------------------------------------------------------------------------------------------

Json time_json(Instant at) { return at == Instant{} ? Json(nullptr) : Json(format_rfc3339(at)); }
Json text_json(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json verdict_json(const Verdict& verdict) {
    const auto answer = [](const Answer& one) { return Json{{"value", one.value}, {"detail", one.detail}}; };
    Json findings = Json::array();
    for (const Finding& finding : verdict.findings)
        findings.push_back(
            {{"level", level_name(finding.level)}, {"text", finding.text}, {"hint", text_json(finding.hint)}});
    return {{"level", level_name(verdict.level)},
            {"backup_good", answer(verdict.good)},
            {"how_far_back", answer(verdict.back)},
            {"loss_now", answer(verdict.loss)},
            {"findings", std::move(findings)}};
}

Json backups_json(const std::vector<Backup>& backups) {
    Json array = Json::array();
    for (const Backup& backup : backups)
        array.push_back({{"name", backup.name},
                         {"kind", backup.parent.empty() ? "full" : "delta"},
                         {"parent", text_json(backup.parent)},
                         {"start_time", time_json(backup.start)},
                         {"finish_time", time_json(backup.finish)},
                         {"timeline", backup.timeline},
                         {"uncompressed_size", backup.uncompressed},
                         {"compressed_size", backup.stored},
                         {"permanent", backup.permanent},
                         {"restorable", backup.problem.empty()},
                         {"problem", text_json(backup.problem)},
                         {"keep", backup.keep},
                         {"reason", text_json(backup.reason)},
                         {"user_data", text_json(backup.user_data)}});
    return array;
}

Json restore_points_json(const std::vector<RestorePoint>& points) {
    Json array = Json::array();
    for (const RestorePoint& point : points)
        array.push_back({{"name", point.name},
                         {"time", time_json(point.time)},
                         {"lsn", format_lsn(point.lsn)},
                         {"timeline", point.timeline},
                         {"backup", text_json(point.backup)}});
    return array;
}

Json wal_json(const Wal& wal) {
    Json runs = Json::array();
    for (const WalRun& run : wal.runs)
        runs.push_back({{"timeline", run.timeline},
                        {"first", layout::segment_name({run.timeline, run.first}, wal.segment_size)},
                        {"last", layout::segment_name({run.timeline, run.last}, wal.segment_size)},
                        {"first_stored", time_json(run.begin)},
                        {"last_stored", time_json(run.end)}});
    Json holes = Json::array();
    for (const WalHole& hole : wal.holes)
        holes.push_back({{"first", hole.first},
                         {"last", hole.last},
                         {"segments", hole.segments},
                         {"needed", hole.needed},
                         {"bridged_by", text_json(hole.bridge)}});
    Json pauses = Json::array();
    for (const Pause& pause : wal.pauses)
        pauses.push_back({{"from", time_json(pause.begin)}, {"to", time_json(pause.end)}, {"seconds", pause.seconds}});
    return {{"segments", wal.objects},
            {"bytes", wal.bytes},
            {"newest", text_json(wal.newest)},
            {"newest_stored", time_json(wal.newest_at)},
            {"run_count", wal.run_count},
            {"runs", std::move(runs)},
            {"hole_count", wal.hole_count},
            {"holes", std::move(holes)},
            {"open_segments", wal.open_segments},
            {"pauses", std::move(pauses)}};
}

Json server_json(const Server& server) {
    Json status = Json::array();
    for (const StatusRow& row : server.status)
        status.push_back({{"name", row.name}, {"value", text_json(row.value)}, {"detail", text_json(row.detail)}});
    Json events = Json::array();
    for (const Event& event : server.events)
        events.push_back({{"time", event.time},
                          {"kind", event.kind},
                          {"subject", text_json(event.subject)},
                          {"outcome", event.outcome},
                          {"detail", text_json(event.detail)}});
    Json gaps = Json::array();
    for (const Gap& gap : server.gaps)
        gaps.push_back({{"first_wal", gap.first}, {"last_wal", gap.last}, {"files", gap.files}, {"state", gap.state}});
    return {{"archive_state", text_json(server.archive_state)},
            {"archive_problem", text_json(server.archive_problem)},
            {"last_archived_time", time_json(server.last_archived_at)},
            {"backlog_files", server.backlog_files},
            {"backlog_bytes", server.backlog_bytes},
            {"risk_seconds", server.risk_seconds ? Json(*server.risk_seconds) : Json(nullptr)},
            {"risk_bytes", server.risk_bytes ? Json(*server.risk_bytes) : Json(nullptr)},
            {"status", std::move(status)},
            {"events", std::move(events)},
            {"gaps", std::move(gaps)}};
}

std::string_view state_name(Facts::State state) {
    return state == Facts::State::kOn ? "on" : state == Facts::State::kOff ? "off" : "error";
}

// --- in --------------------------------------------------------------------------------------------------------------

std::string text_of(const Json& object, const char* name) {
    const auto found = object.find(name);
    if (found == object.end() || found->is_null()) return {};
    return found->is_string() ? found->get<std::string>() : found->dump();
}
std::optional<double> figure_of(const Json& object, const char* name) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number()) return std::nullopt;
    return found->get<double>();
}
std::uint64_t count_of(const Json& object, const char* name) {
    constexpr double kMost = 9e15;
    return static_cast<std::uint64_t>(std::clamp(figure_of(object, name).value_or(0), 0.0, kMost));
}
Instant time_of(const Json& object, const char* name) {
    const auto parsed = parse_time(text_of(object, name));
    return parsed.ok() ? *parsed : Instant{};
}
// "2026-11-22 09:17:34", for the eye.
std::string moment_of(const Json& object, const char* name) {
    const std::string text = text_of(object, name);
    const auto parsed = parse_time(text);
    return parsed.ok() ? format_postgres(*parsed).substr(0, std::string_view("2026-11-22 09:17:34").size()) : text;
}

// The elements of an array that are objects, the last `most` of them.
template <typename Visit>
void each(const Json& object, const char* name, std::size_t most, Visit&& visit) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_array()) return;
    for (std::size_t i = found->size() - std::min(found->size(), most); i < found->size(); ++i)
        if ((*found)[i].is_object()) visit((*found)[i]);
}

}  // namespace

std::string facts_json(const Facts& facts) {
    Json settings = Json::array();
    for (const Setting& setting : facts.settings)
        settings.push_back({{"name", setting.name}, {"value", setting.value}, {"source", setting.source}});
    const Json json{{"verdict", verdict_json(judge(facts))},
                    {"program", facts.program},
                    {"time", time_json(facts.now)},
                    {"storage", text_json(facts.storage)},
                    {"owner", text_json(facts.owner)},
                    {"state", state_name(facts.state)},
                    {"problem", text_json(facts.problem)},
                    {"earliest", time_json(facts.earliest)},
                    {"latest", time_json(facts.latest)},
                    {"backups", backups_json(facts.backups)},
                    {"wal", wal_json(facts.wal)},
                    {"restore_point_count", facts.restore_point_count},
                    {"restore_points", restore_points_json(facts.restore_points)},
                    {"retain", facts.retain},
                    {"retention_held", text_json(facts.held)},
                    {"settings", std::move(settings)},
                    {"server", facts.server ? server_json(*facts.server) : Json(nullptr)},
                    {"server_problem", text_json(facts.server_problem)}};
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Server> parse_server(std::string_view json) {
    const Json parsed = Json::parse(json, nullptr, false);
    if (!parsed.is_object()) return Status(Kind::kInvalid, "the facts of the server are not a JSON object");
    Server server;
    const auto archive = parsed.find("archive_status");
    if (archive != parsed.end() && archive->is_object()) {
        server.archive_state = text_of(*archive, "state");
        server.archive_problem = text_of(*archive, "problem");
        server.archive_hint = text_of(*archive, "hint");
        server.breaker = text_of(*archive, "breaker");
        server.last_archived_at = time_of(*archive, "last_archived_time");
        server.backlog_files = count_of(*archive, "backlog_files");
        server.backlog_bytes = count_of(*archive, "backlog_bytes");
        server.dropped_files = count_of(*archive, "dropped_count");
    }
    const auto risk = parsed.find("data_at_risk");
    if (risk != parsed.end() && risk->is_object()) {
        server.risk_seconds = figure_of(*risk, "seconds");
        if (figure_of(*risk, "bytes")) server.risk_bytes = count_of(*risk, "bytes");
    }
    constexpr std::size_t kMostRowsOfStatus = 500;
    constexpr std::size_t kMostSamples = 500;
    each(parsed, "status", kMostRowsOfStatus, [&](const Json& row) {
        server.status.push_back({text_of(row, "name"), text_of(row, "value"), text_of(row, "detail")});
    });
    each(parsed, "events", kMostEvents, [&](const Json& row) {
        server.events.push_back({moment_of(row, "time"), text_of(row, "kind"), text_of(row, "subject"),
                                 text_of(row, "outcome"), text_of(row, "detail")});
    });
    each(parsed, "gaps", kMostHoles, [&](const Json& row) {
        server.gaps.push_back({text_of(row, "first_wal"), text_of(row, "last_wal"), text_of(row, "reason"),
                               moment_of(row, "since"), moment_of(row, "until"), text_of(row, "state"),
                               count_of(row, "files")});
    });
    each(parsed, "data_at_risk_history", kMostSamples, [&](const Json& row) {
        if (const Instant at = time_of(row, "time"); at != Instant{})
            server.risk_history.push_back({at, figure_of(row, "seconds").value_or(0), count_of(row, "bytes")});
    });
    return server;
}

}  // namespace forge::report
