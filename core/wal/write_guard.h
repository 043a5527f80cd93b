// Asked before anything is written: is the prefix ours, and is the timeline the one the store knows under its number?
//
// Answers are remembered: one of "ours" for some minutes, one of "foreign" for seconds (the server's archiver asks
// three times in a row and then once a minute). Failures of the store are not remembered, and are never "foreign".
//
// Thread-safe: one thread asks the store, the others wait for its answer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/repository/owner.h"
#include "core/repository/repository.h"

namespace forge::wal {

// What a prefix without a record holds, as far as it can be told: of the newest backup, else of the oldest WAL.
struct Contents {
    enum class Kind { kEmpty, kCluster, kUnclear };
    Kind kind = Kind::kEmpty;
    std::uint64_t system_identifier = 0;  // of kCluster
    std::string evidence;                 // the object that says so, or that does not say it
};
Result<Contents> look_at_contents(repository::Repository& repository, const store::CallContext& context);

// What somebody who may not write is told, without writing anything: the record that is there, and success, or the
// kForeign that the guard would answer.
struct OwnerView {
    std::optional<repository::OwnerRecord> record;
    Status problem;
};
Result<OwnerView> look_at_owner(repository::Repository& repository, const repository::Identity& us,
                                const store::CallContext& context);

// The store lets us write but not read (a bucket policy): nobody can be told apart there.
bool is_write_only(const Status& status);

struct GuardOptions {
    repository::Identity identity;  // without system identifier everything is allowed
    std::string created_by;         // for a record that is made
    std::string data_directory;     // absolute: where the server has its own timeline histories
    seconds trust{300};
    milliseconds foreign_pause{1500};
    std::function<Steady::time_point()> now = Steady::now;
};

class WriteGuard {
public:
    enum class State { kUnchecked, kOurs, kForeign, kUnknown };
    struct View {
        State state = State::kUnchecked;
        std::string detail;  // whose it is
        Status problem;      // of kForeign
    };
    // Called on each change, without the guard's lock, by the thread that asked.
    using OnChange = std::function<void(const View&)>;

    WriteGuard(std::shared_ptr<repository::Repository> repository, GuardOptions options, OnChange on_change = {});

    // kForeign: nothing may be written. kConflict: something else is archived as the history of this timeline. The
    // first cluster that asks for an empty prefix, or for one with its own backups or WAL, becomes the owner.
    Status may_write(Timeline timeline, const store::CallContext& context);
    // For a WAL file by its name. A timeline history itself needs no other.
    Status may_store(const std::string& wal_name, const store::CallContext& context);
    // The store's content is not what it should be: the next call asks again.
    void doubt();
    View view() const;

private:
    struct Answer {
        Status status;
        std::optional<Steady::time_point> until;  // remembered; nothing = not at all
    };
    Answer ask(Timeline timeline, const store::CallContext& context);
    Status find_owner(const store::CallContext& context);
    Status claim_prefix(const store::CallContext& context);
    Status judge(const repository::OwnerRecord& record);
    Status check_history(Timeline timeline, const store::CallContext& context);
    void set(View view);

    const std::shared_ptr<repository::Repository> repository_;
    const GuardOptions options_;
    const OnChange on_change_;
    std::mutex asking_;  // held while the store is asked; the members below it are its own
    std::map<Timeline, Steady::time_point> histories_;  // trusted until
    mutable std::mutex mutex_;
    View view_;
    std::map<Timeline, Answer> answers_;
    std::uint64_t rounds_ = 0;
    Status last_failure_;  // of the last round
};

std::string_view guard_state_name(WriteGuard::State state);  // "unchecked", "ours", "foreign", "unknown"

}  // namespace forge::wal
