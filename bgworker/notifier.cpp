#include "bgworker/notifier.h"

#include "extension/boundary.h"
#include "extension/events.h"
#include "extension/settings.h"
#include "extension/shared_state.h"

extern "C" PGDLLEXPORT void forge_notifier_main(Datum argument);

namespace forge::server {

namespace {

using std::chrono::seconds;

constexpr const char* kChannel = "forge_backup";
constexpr seconds kFirstPause{5};
constexpr seconds kLongestPause{1800};

bool is_wanted() { return settings.notify_database != nullptr && settings.notify_database[0] != '\0'; }

void set_problem(const Status& problem) {
    update_state([&](SharedState& state) { state.scheduler.notify_problem.set(problem); });
}

// Looked up here, since a worker that cannot connect leaves a FATAL in the log each time. By a scan, as the autovacuum
// launcher does it: no index can be used without a database.
bool accepts_connections(const char* name) {
    return call_server([name] {
        StartTransactionCommand();
        (void)GetTransactionSnapshot();
        const Relation databases = table_open(DatabaseRelationId, AccessShareLock);
        const TableScanDesc scan = table_beginscan_catalog(databases, 0, nullptr);
        bool found = false;
        for (HeapTuple row = heap_getnext(scan, ForwardScanDirection); row != nullptr && !found;
             row = heap_getnext(scan, ForwardScanDirection)) {
            const auto* const database = reinterpret_cast<Form_pg_database>(GETSTRUCT(row));
            found = std::strcmp(NameStr(database->datname), name) == 0 && database->datallowconn;
        }
        table_endscan(scan);
        table_close(databases, AccessShareLock);
        CommitTransactionCommand();
        return found;
    });
}

void add_member(StringInfo json, const char* name, std::string_view text) {
    appendStringInfo(json, ", \"%s\": ", name);
    if (text.empty())
        appendStringInfoString(json, "null");
    else
        escape_json(json, text.data());
}

// The caller is inside call_server(): `row` is plain data, its texts in the database's encoding.
char* payload_of(const EventRow& row) {
    char at[MAXDATELEN + 1];
    const int zone = 0;
    JsonEncodeDateTime(at, TimestampTzGetDatum(row.at), TIMESTAMPTZOID, &zone);
    StringInfoData json;
    initStringInfo(&json);
    appendStringInfo(&json, "{\"time\": \"%s\"", at);
    add_member(&json, "kind", row.kind.view());
    add_member(&json, "subject", row.subject.view());
    add_member(&json, "outcome", row.outcome.view());
    add_member(&json, "detail", row.detail.view());
    appendStringInfoChar(&json, '}');
    return json.data;
}

std::vector<EventRow> rows_to_tell(const EventCounts& counted) {
    std::vector<EventRow> rows = copy_events();
    const std::uint64_t untold = counted.all - counted.told;
    if (untold < rows.size()) rows.erase(rows.begin(), rows.end() - static_cast<std::ptrdiff_t>(untold));
    for (EventRow& row : rows) {
        row.subject.set(in_server_encoding(std::string(row.subject.view())));
        row.detail.set(in_server_encoding(std::string(row.detail.view())));
    }
    return rows;
}

void tell() {
    const EventCounts counted = count_events();
    const std::vector<EventRow> rows = rows_to_tell(counted);
    const EventRow* const first = rows.data();
    const std::size_t count = rows.size();
    call_server([=] {
        StartTransactionCommand();
        for (std::size_t i = 0; i < count; ++i) Async_Notify(kChannel, payload_of(first[i]));
        CommitTransactionCommand();
    });
    note_told(counted.all);
}

void prepare_worker() {
    pqsignal(SIGTERM, die);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnection(settings.notify_database, nullptr, 0);
    // A commit that waits for a standby, or behind one that does, would hold up DROP DATABASE.
    SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("lock_timeout", "2s", PGC_SUSET, PGC_S_OVERRIDE);
    pgstat_report_activity(STATE_RUNNING, "notifying listeners of forge_backup");
}

}  // namespace

void Notifier::follow(bool in_recovery) {
    notice_end();
    if (worker_.known()) return;
    const EventCounts counted = count_events();
    if (counted.all == counted.told) return;
    // Listeners hear what happens from when they can.
    if (in_recovery || !is_wanted()) {
        if (!is_wanted()) set_problem({});
        return note_told(counted.all);
    }
    if (SteadyClock::now() >= retry_at_) start(counted.all);
}

void Notifier::start(std::uint64_t count) {
    if (!accepts_connections(settings.notify_database))
        return fail(Status(Kind::kInvalid, "there is no database " + quoted(settings.notify_database) + " that accepts connections",
                           "Set forge_backup.notify_database to a database, or to an empty text."));
    wanted_ = count;
    if (!worker_.start("forge_backup notifier", "forge_notifier_main", BgWorkerStart_RecoveryFinished))
        fail(Status(Kind::kExhausted, "no background worker is free to notify listeners",
                    "Increase max_worker_processes by 3 for forge_backup."));
}

void Notifier::notice_end() {
    if (!worker_.notice_end()) return;
    if (count_events().told < wanted_)
        return fail(Status(Kind::kUnavailable, "listeners could not be notified in database " +
                                                   quoted(settings.notify_database),
                           "The server's log says why."));
    pause_ = seconds(0);
    retry_at_ = Deadline{};
    set_problem({});
}

void Notifier::fail(const Status& problem) {
    pause_ = pause_ == seconds(0) ? kFirstPause : std::min(pause_ * 2, kLongestPause);
    retry_at_ = deadline_in(pause_);
    set_problem(problem);
}

Deadline Notifier::wanted_at() const {
    const EventCounts counted = count_events();
    if (worker_.known() || counted.all == counted.told) return Deadline::max();
    return retry_at_;
}

}  // namespace forge::server

// Never restarted: the scheduler sees whether the listeners were told, and decides about another try.
void forge_notifier_main(Datum) {
    forge::server::prepare_worker();
    const forge::server::Failure failure = forge::server::run_caught([] { forge::server::tell(); });
    if (failure.failed) forge::server::raise(failure);
}
