// wait_archived(): a commit barrier. It returns when all WAL up to a position is durable in the store.
#include "extension/boundary.h"
#include "extension/durability.h"

namespace forge::server {

namespace {

constexpr long kPauseMs = 1000;

[[noreturn]] void refuse(std::string message, std::string hint) {
    throw UserError{ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    Status(Kind::kInvalid, std::move(message), std::move(hint))};
}

// Microseconds; none = without limit.
std::optional<std::int64_t> patience_of(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(1)) return std::nullopt;
    const Interval* const given = PG_GETARG_INTERVAL_P(1);
    const double micros =
        static_cast<double>(given->time) +
        (static_cast<double>(given->day) + static_cast<double>(given->month) * DAYS_PER_MONTH) * USECS_PER_DAY;
    if (micros < 0)
        throw_status(Status(Kind::kInvalid, "timeout must not be negative", "Use null to wait without limit."));
    constexpr double kLongest = 1e17;  // 3000 years
    if (micros > kLongest) return std::nullopt;
    return static_cast<std::int64_t>(micros);
}

void refuse_where_nothing_is_archived() {
    const bool in_recovery = RecoveryInProgress();
    if (in_recovery) refuse("the server is a standby: its WAL is the primary's to archive", "Ask the primary.");
    if (shared_state() == nullptr)
        refuse("waiting for the archive needs a preloaded library",
               "Add forge_backup to shared_preload_libraries and restart the server.");
    if (!XLogArchivingActive())
        refuse("WAL is not archived", "Set archive_mode to \"on\" and restart the server.");
}

XLogRecPtr target_of(FunctionCallInfo fcinfo) {
    if (PG_ARGISNULL(0)) return call_server([] { return written_so_far(); });
    const XLogRecPtr lsn = PG_GETARG_LSN(0);
    const XLogRecPtr here = GetXLogInsertRecPtr();
    if (lsn > here)
        throw_status(
            Status(Kind::kInvalid,
                   "WAL position " + format_lsn(lsn) + " is not written yet: it ends at " + format_lsn(here),
                   "Use a position of this server, such as pg_current_wal_insert_lsn()."));
    return lsn;
}

// Only finished segments are archived.
void finish_segment_of(XLogRecPtr target) {
    const auto size = static_cast<std::uint64_t>(wal_segment_size);
    if ((target - 1) / size == GetXLogInsertRecPtr() / size) call_server([] { (void)RequestXLogSwitch(false); });
}

struct View {
    StoreState store = StoreState::kUnknown;
    XLogRecPtr durable = InvalidXLogRecPtr;
    Problem problem{};
};
View look() {
    SharedState* const state = shared_state();
    const StateLock lock(state, LW_SHARED);
    const Problem& archiver = state->archiver.problem;
    const Problem& configured = archiver.empty() ? state->store.problem : archiver;
    return {state->store.state, state->durability.complete_to,
            configured.empty() ? state->scheduler.problem : configured};
}

[[noreturn]] void give_up(XLogRecPtr target, const View& view) {
    std::string message = "WAL up to " + format_lsn(target) + " is not in the storage in time";
    if (view.problem.empty()) {
        message += view.durable == InvalidXLogRecPtr ? ": no base backup leads to now, or nobody has looked yet"
                                                     : ": it goes to " + format_lsn(view.durable);
        throw_status(Status(Kind::kTimeout, message, "Look at forge_backup.archive_status, or wait longer."));
    }
    message += ": " + std::string(view.problem.kind.view()) + ": " + std::string(view.problem.message.view());
    std::string hint(view.problem.hint.view());
    throw_status(Status(Kind::kTimeout, message, hint.empty() ? "Look at forge_backup.archive_status." : hint));
}

XLogRecPtr wait_until_durable(XLogRecPtr target, std::optional<std::int64_t> patience) {
    const TimestampTz until = patience ? GetCurrentTimestamp() + *patience : 0;
    for (bool first = true;; first = false) {
        const View view = look();
        if (view.store == StoreState::kOff)
            refuse("there is no storage configured: WAL is dropped",
                   "Set forge_backup.storage, or the variables in forge_backup.env_dir.");
        if (is_covered(target, view.durable)) return view.durable;
        if (first) finish_segment_of(target);
        const std::int64_t left = patience ? (until - GetCurrentTimestamp()) / 1000 : kPauseMs;
        if (patience && left <= 0) give_up(target, view);
        call_server([left] {
            ConditionVariableTimedSleep(&shared_state()->durable, std::min<std::int64_t>(kPauseMs, left), wait_event());
            CHECK_FOR_INTERRUPTS();
        });
    }
}

XLogRecPtr wait_archived(FunctionCallInfo fcinfo) {
    refuse_where_nothing_is_archived();
    const auto patience = patience_of(fcinfo);
    const XLogRecPtr target = target_of(fcinfo);
    XLogRecPtr durable = InvalidXLogRecPtr;
    const Failure failure = run_caught([&] {
        ConditionVariablePrepareToSleep(&shared_state()->durable);
        durable = wait_until_durable(target, patience);
    });
    ConditionVariableCancelSleep();
    if (failure.server_error != nullptr) throw ServerError{failure.server_error};
    if (failure.failed)
        throw UserError{failure.sqlstate, Status(failure.kind, failure.message, failure.hint)};
    return durable;
}

}  // namespace

}  // namespace forge::server

extern "C" {

PG_FUNCTION_INFO_V1(forge_wait_archived);

PGDLLEXPORT Datum forge_wait_archived(PG_FUNCTION_ARGS) {
    return forge::server::guarded([fcinfo] { return LSNGetDatum(forge::server::wait_archived(fcinfo)); });
}
}
