// The functions of the SQL schema forge_backup. Who may call them is decided by grants in the install script.
//
// Questions about the store go to a short-lived helper with a deadline, never over the network from the backend itself;
// everything else comes from shared memory.
#include "bgworker/job.h"
#include "extension/backlog.h"
#include "extension/boundary.h"
#include "extension/durability.h"
#include "extension/events.h"
#include "extension/gaps.h"
#include "extension/helper_link.h"
#include "extension/restored.h"
#include "extension/server_check.h"
#include "extension/operations.h"
#include "extension/settings.h"
#include "extension/shared_state.h"
#include "extension/statistics.h"
#include "extension/window.h"

namespace forge::server {

namespace {

using protocol::Frame;
using protocol::FrameType;
using protocol::Tag;
using std::chrono::milliseconds;
using std::chrono::seconds;

using Cell = std::optional<std::string>;
using CellView = std::optional<std::string_view>;
using Row = std::vector<Cell>;

constexpr seconds kQueryPatience{30};
// For what reads or removes whole backups: ends when it is done or cancelled.
constexpr std::chrono::hours kUnhurried{24 * 365};
constexpr std::string_view kPreloadHint = "Add forge_backup to shared_preload_libraries and restart the server.";

// --- rows ------------------------------------------------------------------------------------------------------------

// Turns texts into the columns of a set-returning function: texts as they are, others by the input functions of their
// types.
class RowSink {
public:
    explicit RowSink(FunctionCallInfo fcinfo) {
        // The caller has looked up what the columns are.
        call_server([fcinfo] { InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC); });
        result_ = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
        TupleDesc const shape = result_->setDesc;
        width_ = static_cast<std::size_t>(shape->natts);
        cells_.resize(width_);
        recoded_.resize(width_);
        values_.resize(width_);
        nulls_ = std::make_unique<bool[]>(width_);
        bool only_texts = true;
        for (int i = 0; i < shape->natts; ++i) only_texts = only_texts && TupleDescAttr(shape, i)->atttypid == TEXTOID;
        if (!only_texts) attributes_ = call_server([shape] { return TupleDescGetAttInMetadata(shape); });
    }
    void add(std::span<const CellView> row) {
        if (row.size() < width_)
            throw_status(Status(Kind::kInternal, "the helper process sent a row with too few columns",
                                "Install the same version of the server library and of the executable forge-backup."));
        for (std::size_t i = 0; i < width_; ++i) {
            cells_[i] = row[i];
            if (row[i] && !is_plain(*row[i])) cells_[i] = recoded_[i] = in_server_encoding(std::string(*row[i]));
        }
        call_server([this] { put(); });
    }
    void add(const Row& row) { add(std::vector<CellView>(row.begin(), row.end())); }

private:
    // Called by call_server.
    void put() {
        for (std::size_t i = 0; i < width_; ++i) {
            nulls_[i] = !cells_[i];
            values_[i] = cells_[i] ? datum(static_cast<int>(i), *cells_[i]) : Datum{0};
        }
        tuplestore_putvalues(result_->setResult, result_->setDesc, values_.data(), nulls_.get());
    }
    Datum datum(int column, std::string_view text) {
        if (TupleDescAttr(result_->setDesc, column)->atttypid == TEXTOID)
            return PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size())));
        return InputFunctionCall(&attributes_->attinfuncs[column], pnstrdup(text.data(), text.size()),
                                 attributes_->attioparams[column], attributes_->atttypmods[column]);
    }

    ReturnSetInfo* result_ = nullptr;
    AttInMetadata* attributes_ = nullptr;  // null when all columns are texts
    std::size_t width_ = 0;
    // Of the row that is being put.
    std::vector<CellView> cells_;
    std::vector<std::string> recoded_;
    std::vector<Datum> values_;
    std::unique_ptr<bool[]> nulls_;
};

std::string number(std::uint64_t value) { return std::to_string(value); }
Cell text_or_null(std::string_view text) {
    if (text.empty()) return std::nullopt;
    return std::string(text);
}
CellView view_or_null(std::string_view text) {
    if (text.empty()) return std::nullopt;
    return text;
}
Cell lsn_or_null(XLogRecPtr lsn) {
    if (lsn == InvalidXLogRecPtr) return std::nullopt;
    return format_lsn(lsn);
}
Cell time_or_null(TimestampTz at) {
    if (at == 0) return std::nullopt;
    return std::string(call_server([at] { return timestamptz_to_str(at); }));
}
// With offset and without any setting of the session, as the helper reads it.
std::string utc_text(TimestampTz at) {
    if (TIMESTAMP_NOT_FINITE(at))
        throw_status(
            Status(Kind::kInvalid, "target time must be finite", "Leave the target out to go to the end of the WAL."));
    std::array<char, 64> text{};
    char* const data = text.data();
    const std::size_t size = text.size();
    call_server([=] {
        pg_tm parts{};
        fsec_t micros = 0;
        if (timestamp2tm(at, nullptr, &parts, &micros, nullptr, nullptr) != 0)
            ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
        pg_snprintf(data, size, "%04d-%02d-%02d %02d:%02d:%02d.%06d+00", parts.tm_year, parts.tm_mon, parts.tm_mday,
                    parts.tm_hour, parts.tm_min, parts.tm_sec, micros);
    });
    return text.data();
}

// --- questions to a helper -------------------------------------------------------------------------------------------

// One question; each row of the answer goes to `take`. Interruptible; the helper is gone afterwards, whatever happens.
void ask_helper(const Frame& question, seconds patience, const std::function<void(Row)>& take,
                Operation* shown = nullptr) {
    HelperLink link(HelperRole::kQuery);
    const Deadline deadline = deadline_in(patience);
    throw_if_error(link.start(deadline));
    const Frame configured = value_or_throw(link.configure(1, settings_snapshot(), deadline));
    // These are there to say what is wrong with the settings; the others cannot do without.
    if (question.type != FrameType::kCheck && question.type != FrameType::kReport) {
        if (configured.text(Tag::kState) == "off")
            throw_status(Status(Kind::kInvalid, "there is no storage configured",
                                "Set forge_backup.storage, or the variables in forge_backup.env_dir."));
        if (configured.text(Tag::kState) != "on") throw_status(status_of(configured));
    }
    throw_if_error(link.send(question, deadline));
    for (;;) {
        const Frame frame = value_or_throw(link.receive(deadline));
        if (frame.type == FrameType::kFailed) throw_status(status_of(frame));
        if (frame.type == FrameType::kDone) return;
        if (frame.type == FrameType::kProgress && shown != nullptr) shown->note(frame);
        if (frame.type != FrameType::kRow) continue;
        Row row;
        for (const Frame::Field& field : frame.fields) {
            if (field.tag == Tag::kValue) row.emplace_back(field.value);
            if (field.tag == Tag::kNull) row.emplace_back(std::nullopt);
        }
        take(std::move(row));
    }
}

void answer_by_helper(RowSink& sink, const Frame& question, seconds patience = kQueryPatience) {
    ask_helper(question, patience, [&sink](Row row) { sink.add(std::move(row)); });
}

void answer_by_helper(FunctionCallInfo fcinfo, const Frame& question, seconds patience = kQueryPatience) {
    RowSink sink(fcinfo);
    answer_by_helper(sink, question, patience);
}

// --- restore_config --------------------------------------------------------------------------------------------------

std::string text_argument(FunctionCallInfo fcinfo, int index) {
    return call_server([=] { return text_to_cstring(PG_GETARG_TEXT_PP(index)); });
}

Frame plan_question(FunctionCallInfo fcinfo) {
    Frame question(FrameType::kPlan);
    std::vector<std::pair<std::string_view, std::string>> targets;
    if (!PG_ARGISNULL(0)) targets.emplace_back("time", utc_text(PG_GETARG_TIMESTAMPTZ(0)));
    if (!PG_ARGISNULL(1)) targets.emplace_back("lsn", format_lsn(PG_GETARG_LSN(1)));
    if (!PG_ARGISNULL(2)) targets.emplace_back("xid", text_argument(fcinfo, 2));
    if (!PG_ARGISNULL(3)) targets.emplace_back("name", text_argument(fcinfo, 3));
    if (targets.size() > 1)
        throw_status(Status(Kind::kInvalid, "more than one recovery target given",
                            "Give at most one of target_time, target_lsn, target_xid and target_name."));
    if (targets.empty()) targets.emplace_back("latest", "");
    question.add(Tag::kTargetType, targets.front().first).add(Tag::kTargetValue, targets.front().second);
    if (!PG_ARGISNULL(4)) question.add(Tag::kTargetTimeline, text_argument(fcinfo, 4));
    question.add_number(Tag::kInclusive, 1).add_number(Tag::kAllowNearest, 1);
    return question;
}

void write_backup_list(FunctionCallInfo fcinfo) { answer_by_helper(fcinfo, Frame(FrameType::kList)); }

void write_restore_points(FunctionCallInfo fcinfo) { answer_by_helper(fcinfo, Frame(FrameType::kRestorePoints)); }

// As this server remembers it: WAL may be read elsewhere, commit times are the server's alone. Empty where it does not
// know: track_commit_timestamp is off, or the transaction aborted or is too long ago.
std::string commit_time_of(std::string_view xid_text) {
    const auto xid = parse_number<TransactionId>(xid_text);
    if (!xid || !TransactionIdIsNormal(*xid)) return {};
    return call_server([&] {
        TimestampTz at = 0;
        if (!track_commit_timestamp || !TransactionIdGetCommitTsData(*xid, &at, nullptr) || at == 0) return "";
        return timestamptz_to_str(at);
    });
}

void write_restore_config(FunctionCallInfo fcinfo) {
    const Frame question = plan_question(fcinfo);
    RowSink sink(fcinfo);
    answer_by_helper(sink, question);
    if (PG_ARGISNULL(2)) return;
    if (std::string at = commit_time_of(question.text(Tag::kTargetValue)); !at.empty())
        sink.add({"commit_time", std::move(at)});
}

// What the server knows by itself first; with quick => true nobody else is asked.
void write_check(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    for (const ServerFinding& found : check_server())
        sink.add({found.check, found.level, found.detail, text_or_null(found.hint)});
    const bool quick = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
    if (!quick) answer_by_helper(sink, Frame(FrameType::kCheck));
}

// --- verify_backup, mark_backup, delete_backup -----------------------------------------------------------------------

Frame about_backup(FunctionCallInfo fcinfo, FrameType type) {
    if (PG_ARGISNULL(0))
        throw_status(Status(Kind::kInvalid, "the name of the backup is null", "See backup_list() for the names."));
    Frame question(type);
    question.add(Tag::kName, text_argument(fcinfo, 0));
    return question;
}

// An event for the whole of it; what is wrong stands in the rows.
void write_verify_backup(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const Frame question = about_backup(fcinfo, FrameType::kVerify);
    std::uint64_t objects = 0;
    std::uint64_t problems = 0;
    Operation shown("verify", question.text(Tag::kName));
    ask_helper(question, kUnhurried, [&](Row row) {
        ++objects;
        if (row.size() > 1 && row[1] != "ok") ++problems;
        sink.add(std::move(row));
    }, &shown);
    add_event("verification", question.text(Tag::kName), problems == 0 ? "good" : "bad",
              number(objects) + " objects, " + number(problems) + " problems");
}

void write_mark_backup(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const bool permanent = PG_ARGISNULL(1) || PG_GETARG_BOOL(1);
    Frame question = about_backup(fcinfo, FrameType::kMarkBackup);
    ask_helper(question.add_number(Tag::kPermanent, permanent ? 1 : 0), kQueryPatience, [&](Row row) {
        if (!row.empty() && row[0]) add_event("backup", *row[0], permanent ? "permanent" : "not permanent");
        sink.add(std::move(row));
    });
}

void write_delete_backup(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    Frame question = about_backup(fcinfo, FrameType::kDeleteBackup);
    question.add_number(Tag::kForce, !PG_ARGISNULL(1) && PG_GETARG_BOOL(1) ? 1 : 0);
    Operation shown("delete", question.text(Tag::kName));
    ask_helper(question, kUnhurried, [&](Row row) {
        if (!row.empty() && row[0]) add_event("backup", *row[0], "deleted", "delete_backup()");
        sink.add(std::move(row));
    }, &shown);
}

// Whose retention is judged: that of the server's own timeline, by its schedule.
Frame question_of_this_server(FrameType type) {
    const TimeLineID timeline = call_server([] {
        TimeLineID replayed = 0;
        if (!RecoveryInProgress()) return GetWALInsertionTimeLine();
        (void)GetXLogReplayRecPtr(&replayed);
        return replayed;
    });
    Frame question(type);
    question.add_number(Tag::kTimeline, timeline).add(Tag::kSchedule, settings.schedule);
    return question;
}

void write_retention_plan(FunctionCallInfo fcinfo) {
    answer_by_helper(fcinfo, question_of_this_server(FrameType::kRetain), kUnhurried);
}

// --- report_html -----------------------------------------------------------------------------------------------------

// The facts come as the argument: what SQL can tell needs no second way out of shared memory.
std::string report_html(FunctionCallInfo fcinfo) {
    Frame question = question_of_this_server(FrameType::kReport);
    if (!PG_ARGISNULL(0))
        question.add(Tag::kValue, call_server([fcinfo] {
                         Jsonb* const facts = PG_GETARG_JSONB_P(0);
                         char* const text = JsonbToCString(nullptr, &facts->root, VARSIZE(facts));
                         return pg_server_to_any(text, static_cast<int>(std::strlen(text)), PG_UTF8);
                     }));
    std::string page;
    ask_helper(question, kUnhurried, [&page](const Row& row) {
        if (!row.empty() && row.front()) page += *row.front();
    });
    return page;
}

// --- adopt_prefix ----------------------------------------------------------------------------------------------------

void write_adopt_prefix(FunctionCallInfo fcinfo) {
    answer_by_helper(fcinfo, Frame(FrameType::kAdoptPrefix));
    add_event("owner", {}, "adopted");
    // The archiver sleeps for a minute after a refusal, the scheduler for longer.
    PgArchWakeup();
    wake_scheduler();
}

// --- trigger_basebackup ----------------------------------------------------------------------------------------------

struct RequestView {
    RequestState state = RequestState::kFree;
    std::string backup;
    Status problem;
};

RequestView look_at_request(std::uint64_t wanted) {
    const StateLock lock(shared_state(), LW_SHARED);
    RequestView view;
    for (const Request& request : shared_requests()->rows) {
        if (request.number != wanted) continue;
        view.state = request.state;
        view.backup = request.backup.view();
        if (!request.problem.empty())
            view.problem =
                Status(kind_from_name(request.problem.kind.view()), std::string(request.problem.message.view()),
                       std::string(request.problem.hint.view()));
    }
    return view;
}

std::uint64_t count_queued_requests() {
    const StateLock lock(shared_state(), LW_SHARED);
    std::uint64_t queued = 0;
    for (const Request& request : shared_requests()->rows) queued += request.state == RequestState::kQueued ? 1U : 0U;
    return queued;
}

std::string wait_for_request(std::uint64_t request) {
    SharedState* const state = shared_state();
    ConditionVariablePrepareToSleep(&state->changed);
    const Failure failure = run_caught([&] {
        for (;;) {
            const RequestState now = look_at_request(request).state;
            if (now != RequestState::kQueued && now != RequestState::kRunning) return;
            call_server([state] {
                constexpr long kPauseMs = 1000;
                ConditionVariableTimedSleep(&state->changed, kPauseMs, wait_event());
                CHECK_FOR_INTERRUPTS();
            });
        }
    });
    ConditionVariableCancelSleep();
    if (failure.server_error != nullptr) throw ServerError{failure.server_error};
    RequestView end = look_at_request(request);
    if (end.state == RequestState::kDone) return std::move(end.backup);
    if (end.state == RequestState::kFailed) throw_status(std::move(end.problem).with_context("base backup failed"));
    throw_status(Status(Kind::kInternal, "the result of request " + number(request) + " is no longer known",
                        "Look at forge_backup.backups."));
}

std::string trigger_basebackup(FunctionCallInfo fcinfo) {
    SharedState* const state = shared_state();
    if (state == nullptr)
        throw UserError{ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        Status(Kind::kInvalid, "base backups need a preloaded library", std::string(kPreloadHint))};
    const bool wait = PG_ARGISNULL(0) || PG_GETARG_BOOL(0);
    Job wish;
    wish.permanent = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
    wish.full = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
    std::string& user_data = wish.user_data;
    if (!PG_ARGISNULL(2))
        user_data = call_server([fcinfo] {
            Jsonb* const data = PG_GETARG_JSONB_P(2);
            return JsonbToCString(nullptr, &data->root, VARSIZE(data));
        });
    if (user_data.size() >= sizeof(Request::user_data.data))
        throw_status(Status(Kind::kInvalid, "user_data is too long: " + number(user_data.size()) + " bytes",
                            "Use at most " + number(sizeof(Request::user_data.data) - 1) + " bytes."));
    const auto copy = copy_state();
    if (copy->scheduler.pid == 0)
        throw UserError{ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                        Status(Kind::kUnavailable, "the forge_backup scheduler is not running",
                               "It is started again within 10 seconds; the server's log may say why it ended.")};
    const std::uint64_t request = value_or_throw(queue_request(wish));
    wake_scheduler();
    return wait ? wait_for_request(request) : number(request);
}

// --- status, archive_status, progress --------------------------------------------------------------------------------

class StatusRows {
public:
    explicit StatusRows(RowSink& sink) : sink_(sink) {}
    void add(std::string_view name, CellView value, CellView detail = std::nullopt) {
        const std::array<CellView, 3> cells{name, value, detail};
        sink_.add(cells);
    }
    void add_problem(std::string_view name, const Problem& problem) {
        if (problem.empty()) return;
        add(name, problem.message.view(), view_or_null(problem.hint.view()));
    }

private:
    RowSink& sink_;
};

void add_archiver_rows(StatusRows& rows, const SharedState& state, const Backlog& backlog) {
    const ArchiverInfo& archiver = state.archiver;
    rows.add("archiver", archiver.pid != 0 ? "running" : "not running",
             archiver.pid != 0
                 ? Cell("pid " + number(static_cast<std::uint64_t>(archiver.pid)))
                 : Cell("it starts with the first finished WAL file, if archive_mode is on and archive_library "
                        "is forge_backup"));
    rows.add("last_archived_wal", view_or_null(archiver.last_archived.view()), time_or_null(archiver.last_archived_at));
    const AtRisk risk = data_at_risk(&state, backlog);
    rows.add("durable_lsn", lsn_or_null(risk.durable), risk_name(risk.state));
    if (risk.state == AtRisk::State::kAtRisk || risk.state == AtRisk::State::kDurable)
        rows.add("data_at_risk", number(risk.bytes) + " bytes", Cell(number(risk.seconds) + " seconds"));
    if (const Window window = recovery_window(&state); window.state == Window::State::kKnown) {
        rows.add("earliest_restore", time_or_null(window.earliest), window.backup);
        rows.add("latest_restore", time_or_null(window.latest), lsn_or_null(window.latest_lsn));
    }
    if (archiver.dropped_count > 0)
        rows.add("dropped_wal", number(archiver.dropped_count),
                 "files accepted while the storage was off, belonged to another cluster, or above backlog_limit");
    rows.add_problem("archive_problem", archiver.problem);
    if (!archiver.owner.empty())
        rows.add("owner", archiver.owner.view(), view_or_null(archiver.owner_detail.view()));
    rows.add_problem("owner_problem", archiver.owner_problem);
    if (!archiver.breaker.empty())
        rows.add("store_breaker", archiver.breaker.view(), time_or_null(archiver.breaker_next_try));
    if (!archiver.conditional_put.empty())
        rows.add("store_conditional_put", archiver.conditional_put.view(),
                 archiver.conditional_put.view() == "yes"
                     ? Cell()
                     : Cell("the store is looked into before each write; two clusters with one prefix could still "
                            "write at the same moment"));
}

Cell whole_number(std::optional<double> value) {
    if (!value) return std::nullopt;
    return std::to_string(static_cast<std::int64_t>(*value));
}

Cell seconds_text(std::optional<double> value) {
    constexpr double kLongest = 3650.0 * SECS_PER_DAY;  // and then it does not matter
    if (!value || *value > kLongest) return std::nullopt;
    return std::to_string(static_cast<std::int64_t>(*value)) + " seconds";
}

void add_backlog_row(StatusRows& rows, const SharedState& state, const Backlog& backlog) {
    std::string detail;
    if (const auto growth = backlog_growth(state, backlog); growth && *growth > 0)
        detail = "growing by " + megabytes(*growth) + " a second";
    else if (growth && *growth < 0)
        detail = "shrinking by " + megabytes(-*growth) + " a second";
    if (const auto left = seconds_text(seconds_to_full_disk(state, backlog)))
        detail += ", the disk is full in " + *left;
    rows.add("backlog", number(backlog.files) + " files, " + megabytes(static_cast<double>(backlog.bytes)),
             view_or_null(detail));
    if (backlog.disk_free) rows.add("disk_free", megabytes(static_cast<double>(*backlog.disk_free)));
    std::uint64_t open = 0;
    for_each_gap(state.gaps, [&](const GapRow& row) { open += row.state == GapState::kOpen ? 1U : 0U; });
    rows.add("gaps", number(open), open > 0 ? Cell("WAL is missing for good; see forge_backup.gaps") : Cell());
}

void add_backup_rows(StatusRows& rows, const SharedState& state) {
    const SchedulerInfo& scheduler = state.scheduler;
    const BackupInfo& backup = state.backup;
    rows.add("scheduler", scheduler.pid != 0 ? "running" : "not running",
             scheduler.pid != 0 ? Cell("pid " + number(static_cast<std::uint64_t>(scheduler.pid))) : Cell());
    rows.add_problem("scheduler_problem", scheduler.problem);
    if (settings.notify_database != nullptr && settings.notify_database[0] != '\0') {
        const EventCounts events = count_events();
        rows.add("listeners", settings.notify_database, number(events.told) + " of " + number(events.all) + " events told");
    }
    rows.add_problem("notify_problem", scheduler.notify_problem);
    rows.add("schedule", view_or_null(settings.schedule), view_or_null(settings.schedule_timezone));
    rows.add("next_backup", time_or_null(scheduler.next_run));
    if (scheduler.retry_at != 0)
        rows.add("next_attempt", time_or_null(scheduler.retry_at), "of the base backup that failed");
    rows.add("backups_in_storage", scheduler.backups.view(), time_or_null(scheduler.looked_at));
    rows.add("newest_backup", view_or_null(scheduler.newest.view()), time_or_null(scheduler.newest_finished_at));
    if (scheduler.holes > 0)
        rows.add("missing_wal", number(scheduler.holes),
                 "files lost since the newest backup; the next one bridges them");
    if (scheduler.healed > 0) rows.add("healed_wal", number(scheduler.healed), "files archived again from pg_wal");
    rows.add("backup", phase_name(backup.phase),
             backup.phase == BackupPhase::kIdle ? Cell() : Cell("reason: " + std::string(reason_name(backup.reason))));
    rows.add("last_backup", view_or_null(backup.last_name.view()), time_or_null(backup.last_finished_at));
    rows.add_problem("backup_problem", backup.last_problem);
    if (backup.last_corrupt_pages > 0)
        rows.add("corrupt_pages", number(backup.last_corrupt_pages), "found by the last backup in the data directory");
    rows.add("retention", view_or_null(state.retention.result.view()), time_or_null(state.retention.finished_at));
    rows.add_problem("retention_problem", state.retention.problem);
    rows.add("queued_backups", number(count_queued_requests()));
}

// "file /etc/key; opened 12 objects, last at …; needed by wal_005/…, looked at …"
std::string describe_key(const KeyRow& key) {
    std::string text = std::string(key.source.view()) + "; opened " + number(key.opened) +
                       (key.opened == 1 ? " object" : " objects");
    if (key.opened > 0) text += ", last at " + *time_or_null(key.last_opened);
    if (key.looked_at == 0) return text;
    if (key.needed.view() == "yes") text += "; needed by " + std::string(key.object.view());
    if (key.needed.view() == "no") text += "; needed by none of " + number(key.objects) + " objects: you may remove it";
    return text + ", looked at " + *time_or_null(key.looked_at);
}

void add_key_rows(StatusRows& rows, const SharedState& state) {
    for (int i = 0; i < state.keys.count; ++i) {
        const KeyRow& key = state.keys.rows[i];
        const std::string_view needed = key.needed.view();
        const std::string_view value = i == 0            ? "active"
                                       : needed == "yes" ? "old, still needed"
                                       : needed == "no"  ? "old, no longer needed"
                                                         : "old, need unknown";
        rows.add("key." + std::string(key.fingerprint.view()), value, describe_key(key));
    }
}

void add_restored_rows(StatusRows& rows, const SharedState& state) {
    const RestoredInfo& restored = state.store.restored;
    if (restored.at == 0) return;
    rows.add(restored.is_clone ? "clone_of" : "restored_from", restored.source.view(), time_or_null(restored.at));
    if (restored.is_clone && state.scheduler.measured_at != 0)
        rows.add("clone_stored", megabytes(static_cast<double>(state.scheduler.bytes_stored)),
                 time_or_null(state.scheduler.measured_at));
}

void write_status(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    StatusRows rows(sink);
    rows.add("version", FORGE_VERSION);
    const auto state = copy_state();
    rows.add("preloaded", state != nullptr ? "on" : "off",
             state != nullptr ? Cell()
                              : Cell("archiving works, but there is no schedule and little to see; add forge_backup to "
                                     "shared_preload_libraries and restart the server"));
    if (state == nullptr) return;
    rows.add("state", state_name(state->store.state),
             state->store.state != StoreState::kOff ? Cell()
             : state->store.problem.empty()         ? Cell("no storage is configured: WAL is accepted and dropped")
                                                    : Cell("as clone_policy says: WAL is accepted and dropped"));
    rows.add("storage", view_or_null(state->store.storage.view()));
    rows.add_problem("configuration_problem", state->store.problem);
    add_restored_rows(rows, *state);
    const Backlog backlog = recent_backlog(*state);
    add_archiver_rows(rows, *state, backlog);
    add_backlog_row(rows, *state, backlog);
    add_backup_rows(rows, *state);
    add_key_rows(rows, *state);
    for (int i = 0; i < state->store.setting_count; ++i) {
        const SettingRow& setting = state->store.settings[i];
        rows.add("setting." + std::string(setting.name.view()), view_or_null(setting.value.view()),
                 view_or_null(setting.source.view()));
    }
}

void write_archive_status(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    const Backlog backlog = count_backlog();
    const Cell disk_free = backlog.disk_free ? Cell(number(*backlog.disk_free)) : Cell();
    if (state == nullptr) {
        Row row(24);
        row[0] = "unknown";
        row[18] = number(backlog.files);
        row[19] = number(backlog.bytes);
        row[21] = disk_free;
        row[23] = "not preloaded";
        sink.add(std::move(row));
        return;
    }
    const ArchiverInfo& archiver = state->archiver;
    const Problem& problem = archiver.problem.empty() ? state->store.problem : archiver.problem;
    const auto process = [](int pid) { return pid == 0 ? Cell() : Cell(number(static_cast<std::uint64_t>(pid))); };
    sink.add({std::string(state_name(state->store.state)),
              text_or_null(state->store.storage.view()),
              process(archiver.pid),
              process(archiver.helper_pid),
              number(archiver.epoch),
              number(archiver.archived_count),
              text_or_null(archiver.last_archived.view()),
              lsn_or_null(segment_end(archiver.last_archived.view())),
              time_or_null(archiver.last_archived_at),
              number(archiver.failed_count),
              text_or_null(archiver.last_failed.view()),
              time_or_null(archiver.last_failed_at),
              number(archiver.dropped_count),
              text_or_null(problem.kind.view()),
              text_or_null(problem.message.view()),
              text_or_null(problem.hint.view()),
              text_or_null(archiver.breaker.view()),
              time_or_null(archiver.breaker_next_try),
              number(backlog.files),
              number(backlog.bytes),
              whole_number(backlog_growth(*state, backlog)),
              disk_free,
              seconds_text(seconds_to_full_disk(*state, backlog)),
              std::nullopt});
}

void write_data_at_risk(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    const AtRisk risk = data_at_risk(state.get());
    const bool known = risk.state == AtRisk::State::kAtRisk || risk.state == AtRisk::State::kDurable;
    sink.add({std::string(risk_name(risk.state)), lsn_or_null(risk.durable), lsn_or_null(risk.current),
              known ? Cell(number(risk.bytes)) : Cell(), known ? Cell(number(risk.seconds)) : Cell(),
              time_or_null(risk.since)});
}

void write_data_at_risk_history(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    if (state == nullptr) return;
    for_each_risk_span(state->risk_history, [&](const RiskSpan& span) {
        sink.add({time_or_null(span.from), number(span.seconds), number(span.bytes)});
    });
}

void write_recovery_window(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    const Window window = recovery_window(state.get());
    sink.add({std::string(window_state_name(window.state)), time_or_null(window.earliest),
              lsn_or_null(window.earliest_lsn), text_or_null(window.backup), time_or_null(window.latest),
              lsn_or_null(window.latest_lsn), time_or_null(window.looked_at)});
}

// Of archiving, base backups and restore commands, in this order.
struct KindOfWork {
    std::string_view name;
    Statistics statistics;
    bool is_restore;
};
std::vector<KindOfWork> measured_work() {
    const auto state = copy_state();
    if (state == nullptr) return {{"restore", restore_statistics(), true}};
    return {{"wal", state->statistics.wal, false},
            {"backup", state->statistics.backup, false},
            {"restore", restore_statistics(), true}};
}

std::string_view stage_name(std::size_t stage, bool is_restore) {
    constexpr std::array<std::string_view, kStages> kNames{"wait", "read", "compress", "encrypt", "send", "total"};
    constexpr std::array<std::string_view, kStages> kRestoreNames{"wait",    "write",   "decompress",
                                                                  "decrypt", "receive", "total"};
    return is_restore ? kRestoreNames[stage] : kNames[stage];
}

std::string milliseconds_text(double micros) {
    std::array<char, 48> text{};
    pg_snprintf(text.data(), text.size(), "%.3f", micros / 1000);
    return text.data();
}

Row histogram_row(std::string_view kind, std::string_view stage, const Histogram& times) {
    Row row{std::string(kind), std::string(stage), number(times.count), milliseconds_text(static_cast<double>(times.sum))};
    const auto add = [&](double micros) { row.push_back(times.count == 0 ? Cell() : Cell(milliseconds_text(micros))); };
    add(static_cast<double>(times.sum) / static_cast<double>(std::max<std::uint64_t>(times.count, 1)));
    for (const std::uint64_t micros : {times.min, times.quantile(0.5), times.quantile(0.95), times.quantile(0.99), times.max})
        add(static_cast<double>(micros));
    std::string buckets;
    for (const std::uint64_t count : times.buckets) buckets += (buckets.empty() ? "{" : ",") + number(count);
    row.emplace_back(buckets + "}");
    return row;
}

void write_statistics(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    for (const KindOfWork& work : measured_work())
        for (std::size_t i = 0; i < kStages; ++i)
            sink.add(histogram_row(work.name, stage_name(i, work.is_restore), work.statistics.stages[i]));
}

void write_transfers(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    TimestampTz since = 0;
    update_state([&](SharedState& state) { since = state.statistics.since; });
    for (const KindOfWork& work : measured_work()) {
        const Statistics& moved = work.statistics;
        std::uint64_t retries = 0;
        std::string by_class;
        for (std::size_t kind = 0; kind < kKindCount; ++kind) {
            if (moved.retries[kind] == 0) continue;
            retries += moved.retries[kind];
            by_class += (by_class.empty() ? "{\"" : ", \"") + std::string(kind_name(static_cast<Kind>(kind))) + "\": " +
                        number(moved.retries[kind]);
        }
        sink.add({std::string(work.name), number(moved.objects), number(moved.bytes_plain), number(moved.bytes_stored),
                  number(retries), by_class.empty() ? Cell("{}") : Cell(by_class + "}"), time_or_null(since)});
    }
}

void write_archive_errors(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    if (state == nullptr) return;
    for (std::size_t kind = 0; kind < kKindCount; ++kind) {
        const ErrorRow& row = state->archiver.errors[kind];
        if (row.count == 0) continue;
        sink.add({std::string(kind_name(static_cast<Kind>(kind))), number(row.count), text_or_null(row.wal.view()),
                  time_or_null(row.at), text_or_null(row.message.view()), text_or_null(row.hint.view())});
    }
}

void write_events(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    for (const EventRow& row : copy_events())
        sink.add({time_or_null(row.at), std::string(row.kind.view()), text_or_null(row.subject.view()),
                  std::string(row.outcome.view()), text_or_null(row.detail.view())});
}

void write_gaps(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    const auto state = copy_state();
    if (state == nullptr) return;
    for_each_gap(state->gaps, [&](const GapRow& row) {
        sink.add({text_or_null(row.first.view()), text_or_null(row.last.view()), number(row.files),
                  std::string(row.reason.view()), time_or_null(row.since), time_or_null(row.at),
                  std::string(gap_state_name(row.state))});
    });
}

struct Pace {
    Cell percent;
    Cell rate;       // bytes a second
    Cell remaining;  // an interval
};

// Of something that reads, or removes, so many bytes since `begun`; 0 = it has not begun.
Pace pace_of(std::uint64_t done, std::uint64_t total, TimestampTz begun) {
    Pace pace;
    const double elapsed = static_cast<double>(GetCurrentTimestamp() - begun) / USECS_PER_SEC;
    std::array<char, 32> text{};
    if (begun != 0 && done > 0 && elapsed > 0)
        pace.rate = number(static_cast<std::uint64_t>(static_cast<double>(done) / elapsed));
    if (total == 0) return pace;
    const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
    pg_snprintf(text.data(), text.size(), "%.1f", part * 100);
    pace.percent = text.data();
    if (!pace.rate) return pace;
    pg_snprintf(text.data(), text.size(), "%.0f seconds", elapsed * (1 - part) / part);
    pace.remaining = text.data();
    return pace;
}

void add_backup_progress(RowSink& sink, const BackupInfo& backup) {
    if (backup.phase == BackupPhase::kIdle) return;
    const bool copies = backup.phase == BackupPhase::kCopying;
    Pace pace = pace_of(backup.bytes_done, backup.bytes_total, copies ? backup.copying_since : 0);
    sink.add({"backup", text_or_null(backup.name.view()), std::string(phase_name(backup.phase)),
              std::string(reason_name(backup.reason)),
              backup.runner_pid == 0 ? Cell() : Cell(number(static_cast<std::uint64_t>(backup.runner_pid))),
              time_or_null(backup.started_at), number(backup.bytes_total), number(backup.bytes_done),
              number(backup.bytes_stored), std::move(pace.percent), number(backup.files_total),
              number(backup.files_done), std::move(pace.rate), std::move(pace.remaining)});
}

void write_progress(FunctionCallInfo fcinfo) {
    RowSink sink(fcinfo);
    if (const auto state = copy_state(); state != nullptr) add_backup_progress(sink, state->backup);
    for (const OperationRow& row : running_operations()) {
        Pace pace = pace_of(row.bytes_done, row.bytes_total, row.started_at);
        const std::string_view phase = row.bytes_total == 0 ? "starting" : row.name.view() == "verify" ? "reading" : "removing";
        sink.add({std::string(row.name.view()), text_or_null(row.subject.view()), std::string(phase), std::nullopt,
                  number(static_cast<std::uint64_t>(row.pid)), time_or_null(row.started_at), number(row.bytes_total),
                  number(row.bytes_done), std::nullopt, std::move(pace.percent), number(row.objects_total),
                  number(row.objects_done), std::move(pace.rate), std::move(pace.remaining)});
    }
}

// A function that returns the text which `make` makes.
Datum text_returning(FunctionCallInfo fcinfo, std::string (*make)(FunctionCallInfo)) {
    return guarded([=] {
        const std::string text = in_server_encoding(make(fcinfo));
        const char* const said = text.c_str();
        return call_server([said] { return PointerGetDatum(cstring_to_text(said)); });
    });
}

// A set-returning function whose rows `write` puts into the tuplestore.
Datum set_returning(FunctionCallInfo fcinfo, void (*write)(FunctionCallInfo)) {
    return guarded([=] {
        write(fcinfo);
        return static_cast<Datum>(0);
    });
}

}  // namespace

}  // namespace forge::server

extern "C" {

PG_FUNCTION_INFO_V1(forge_backup_list);
PG_FUNCTION_INFO_V1(forge_restore_config);
PG_FUNCTION_INFO_V1(forge_restore_points);
PG_FUNCTION_INFO_V1(forge_check);
PG_FUNCTION_INFO_V1(forge_verify_backup);
PG_FUNCTION_INFO_V1(forge_mark_backup);
PG_FUNCTION_INFO_V1(forge_delete_backup);
PG_FUNCTION_INFO_V1(forge_retention_plan);
PG_FUNCTION_INFO_V1(forge_report_html);
PG_FUNCTION_INFO_V1(forge_adopt_prefix);
PG_FUNCTION_INFO_V1(forge_trigger_basebackup);
PG_FUNCTION_INFO_V1(forge_status);
PG_FUNCTION_INFO_V1(forge_archive_status);
PG_FUNCTION_INFO_V1(forge_archive_errors);
PG_FUNCTION_INFO_V1(forge_data_at_risk);
PG_FUNCTION_INFO_V1(forge_data_at_risk_history);
PG_FUNCTION_INFO_V1(forge_recovery_window);
PG_FUNCTION_INFO_V1(forge_events);
PG_FUNCTION_INFO_V1(forge_gaps);
PG_FUNCTION_INFO_V1(forge_progress);
PG_FUNCTION_INFO_V1(forge_statistics);
PG_FUNCTION_INFO_V1(forge_transfers);
PG_FUNCTION_INFO_V1(forge_reset_statistics);

PGDLLEXPORT Datum forge_backup_list(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_backup_list);
}

PGDLLEXPORT Datum forge_restore_config(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_restore_config);
}

PGDLLEXPORT Datum forge_restore_points(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_restore_points);
}

PGDLLEXPORT Datum forge_check(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_check);
}

PGDLLEXPORT Datum forge_verify_backup(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_verify_backup);
}

PGDLLEXPORT Datum forge_mark_backup(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_mark_backup);
}

PGDLLEXPORT Datum forge_delete_backup(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_delete_backup);
}

PGDLLEXPORT Datum forge_retention_plan(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_retention_plan);
}

PGDLLEXPORT Datum forge_adopt_prefix(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_adopt_prefix);
}

PGDLLEXPORT Datum forge_trigger_basebackup(PG_FUNCTION_ARGS) {
    return forge::server::text_returning(fcinfo, forge::server::trigger_basebackup);
}

PGDLLEXPORT Datum forge_report_html(PG_FUNCTION_ARGS) {
    return forge::server::text_returning(fcinfo, forge::server::report_html);
}

PGDLLEXPORT Datum forge_status(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_status);
}

PGDLLEXPORT Datum forge_archive_status(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_archive_status);
}

PGDLLEXPORT Datum forge_archive_errors(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_archive_errors);
}

PGDLLEXPORT Datum forge_recovery_window(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_recovery_window);
}
PGDLLEXPORT Datum forge_data_at_risk(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_data_at_risk);
}

PGDLLEXPORT Datum forge_data_at_risk_history(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_data_at_risk_history);
}

PGDLLEXPORT Datum forge_events(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_events);
}

PGDLLEXPORT Datum forge_gaps(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_gaps);
}

PGDLLEXPORT Datum forge_progress(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_progress);
}

PGDLLEXPORT Datum forge_statistics(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_statistics);
}

PGDLLEXPORT Datum forge_transfers(PG_FUNCTION_ARGS) {
    return forge::server::set_returning(fcinfo, forge::server::write_transfers);
}

PGDLLEXPORT Datum forge_reset_statistics(PG_FUNCTION_ARGS) {
    (void)fcinfo;
    return forge::server::guarded([] {
        forge::server::throw_if_error(forge::server::reset_statistics());
        return static_cast<Datum>(0);
    });
}
}
