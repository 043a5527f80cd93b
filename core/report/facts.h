// What the report page shows, as plain data: gathered from the store, and from the server where there is one to ask.
// Nothing here reads or decides anything. Texts are as somebody wrote them (names, user data, messages): hostile input
// to whoever prints them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/lsn.h"
#include "core/base/time.h"

namespace forge::report {

// Instant{} = not known, everywhere below.

struct Backup {
    std::string name;
    std::string parent;  // empty = a full backup
    int depth = 0;       // deltas between it and its full backup, itself included
    Instant start, finish;
    Timeline timeline = 0;
    std::string start_segment;
    std::uint64_t uncompressed = 0, stored = 0;  // bytes
    bool permanent = false;
    std::string problem;  // why it cannot be restored; empty = it can
    bool keep = true;     // what retention does with it now, and why
    std::string reason;
    std::string user_data;  // JSON text, empty = none
};

// A run of archived segments of one timeline without a hole.
struct WalRun {
    Timeline timeline = 0;
    std::uint64_t first = 0, last = 0;  // segment numbers
    Instant begin, end;                 // when its first and its last object were stored
};
// What is missing between two runs of one timeline.
struct WalHole {
    std::string first, last;  // names
    std::uint64_t segments = 0;
    Instant after, before;  // when its neighbours were stored
    std::string bridge;     // the backup from which recovery goes on behind it; empty = none, or nothing needs it
    bool needed = true;     // false: it lies before everything that a backup needs
};
// The longest time in one slice of the time axis during which nothing new had reached the store.
struct Pause {
    Instant begin, end;
    double seconds = 0;
};
struct Wal {
    std::uint64_t objects = 0, bytes = 0;  // segments only
    std::uint64_t segment_size = 0;
    std::string newest;  // name of the segment that was stored last
    Instant oldest_at, newest_at;
    std::vector<WalRun> runs;  // ascending, at most kMostRuns; what was joined for that has a hole in it
    std::uint64_t run_count = 0;
    std::vector<WalHole> holes;  // the newest, at most kMostHoles
    std::uint64_t hole_count = 0;
    std::uint64_t open_segments = 0;  // missing, needed and not bridged
    std::vector<Pause> pauses;        // at most kMostPauses, oldest first
};
inline constexpr std::size_t kMostRuns = 600;
inline constexpr std::size_t kMostHoles = 50;
inline constexpr std::size_t kMostPauses = 240;

// A named restore point in the archived WAL.
struct RestorePoint {
    std::string name;
    Instant time;
    Lsn lsn = 0;
    Timeline timeline = 0;
    std::string backup;  // the newest from which it can be reached; empty = none
};
inline constexpr std::size_t kMostRestorePoints = 200;

// What a restore to the end of the archived WAL would do.
struct NextRestore {
    std::string backup;
    Instant reached;
    std::vector<std::string> missing;
    std::string problem;  // why there is none; empty = there is one
};

struct Setting {
    std::string name, value, source;
};

struct StatusRow {
    std::string name, value, detail;
};
struct Event {
    std::string time, kind, subject, outcome, detail;
};
struct Gap {
    std::string first, last, reason, since, until, state;
    std::uint64_t files = 0;
};
// The worst of five minutes, see forge_backup.data_at_risk_history.
inline constexpr std::chrono::nanoseconds kRiskSpan = std::chrono::minutes(5);
struct RiskSample {
    Instant at;  // when they began
    double seconds = 0;
    std::uint64_t bytes = 0;
};
// What only a server knows.
struct Server {
    std::vector<StatusRow> status;
    std::vector<Event> events;  // the newest, oldest first
    std::vector<Gap> gaps;
    std::string archive_state, archive_problem, archive_hint, breaker;
    Instant last_archived_at;
    std::uint64_t backlog_files = 0, backlog_bytes = 0, dropped_files = 0;
    std::optional<double> risk_seconds;  // age of the oldest committed WAL that is not in the store
    std::optional<std::uint64_t> risk_bytes;
    std::vector<RiskSample> risk_history;
};
inline constexpr std::size_t kMostEvents = 200;

struct Facts {
    enum class State : std::uint8_t { kOn, kOff, kError };

    std::string program;  // "forge-backup 1.0.0"
    Instant now;
    std::string storage;  // the URL as it may be shown
    std::string owner;    // whose prefix it is; empty = not known
    State state = State::kOn;
    std::string problem, hint;    // with kError: why the store could not be read
    std::vector<Backup> backups;  // oldest first
    Wal wal;
    std::vector<RestorePoint> restore_points;  // the newest, oldest first
    std::uint64_t restore_point_count = 0;
    Instant earliest, latest;  // the recovery window
    NextRestore next_restore;
    int retain = 0;
    std::string held;                                  // why retention deletes nothing; empty = it is in force
    std::uint64_t going_objects = 0, going_bytes = 0;  // what it deletes now
    std::vector<Setting> settings;
    std::optional<Server> server;
    std::string server_problem;  // why a server was asked for in vain; empty = it was not, or it answered
};

}  // namespace forge::report
