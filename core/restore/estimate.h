// What a planned restore fetches, how long it takes on this machine, and what it would be refused for.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/restore/target.h"

namespace forge::restore {

// Bytes a second of plain content.
struct Rates {
    double backup = 0;  // parts of backups: fetched, decrypted, decompressed and digested by all threads together
    double wal = 0;     // the same of WAL, by one thread; 0 = not measured
    double command = 0;  // seconds that a restore_command takes besides fetching
    // Assumed, since nobody knows the disk of a restore that is only planned: docs/decisions.md.
    static constexpr double kWrite = 500e6;
    static constexpr double kReplay = 120e6;
    static constexpr double kCommand = 0.05;  // where it cannot be measured
};

struct Estimate {
    std::vector<std::string> chain;  // the backup, its parent, and so on to the full backup
    std::uint64_t backup_bytes = 0;  // as stored, of the whole chain
    std::uint64_t wal_bytes = 0;     // as stored
    std::uint64_t backup_plain_bytes = 0;
    std::uint64_t wal_plain_bytes = 0;
    Rates rates;
    double seconds = 0;  // from the start of the restore until the server has replayed the WAL; 0 = not known
    Status refused;      // why a restore by this plan would be refused; success when it would not
};

// Reads manifests, and for at most a second each parts of the backup and the plan's first WAL to measure the store. A
// chain that cannot be restored is an answer (`refused`), with the sizes its sentinels give. `time_command` says how many
// seconds a restore_command for a segment takes as a whole; it may be empty, and may not know.
using TimeCommand = std::function<std::optional<double>(const std::string& segment)>;
Result<Estimate> estimate_restore(repository::Repository& repository, const Plan& plan, const TimeCommand& time_command,
                                  const store::CallContext& context, Logger& logger);

// The time it takes at the rates of `estimate`, for `segments` files of WAL, each a command of its own.
double seconds_of(const Estimate& estimate, std::uint64_t segments);

}  // namespace forge::restore
