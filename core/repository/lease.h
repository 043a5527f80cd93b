// The right to make a base backup below a prefix, held by one member of a cluster at a time: an object that its holder
// renews (docs/format.md, "The lease"). Whoever finds it renewed not long ago keeps away.
//
// How old the lease of somebody else is, the store's own clock says: a probe is written, and both objects' times of
// modification are compared. The holder trusts itself by a clock that goes on while the machine sleeps, and for less
// time than others grant it: a process that was stopped, or cut off from the store, notices before its next write.
//
// Thread-safe. A thread of its own renews.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "core/store/forwarding_store.h"

namespace forge::repository {

inline constexpr std::string_view kLeaseKey = "forge_lease.json";

struct LeaseOptions {
    std::string member;       // who asks, for the others: "host:/data/directory"
    milliseconds ttl{45000};  // a lease not renewed for this long is free
    milliseconds renewal{10000};
    milliseconds settling{1000};  // in stores without conditional writes: until the last writer has won
    // Called once, by the thread that renews, when the lease is lost or too old: what is under way is to stop.
    std::function<void()> on_lost;
    // Goes on while the machine sleeps, and never jumps.
    std::function<milliseconds()> now;  // empty: CLOCK_BOOTTIME
};

class Lease {
public:
    // kConflict: another member holds it. kDenied where the credentials do not allow to look. A lease of the same
    // member is taken over at once: what held it is gone, or will notice.
    static Result<std::unique_ptr<Lease>> take(std::shared_ptr<store::ObjectStore> store, LeaseOptions options,
                                               Logger& logger, const store::CallContext& context);
    ~Lease();  // ends the renewals, and lets the lease go if it is still ours
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    // kConflict once the lease is lost or could not be renewed in time. Asks nobody.
    Status check() const;
    // The same, after a look at the store.
    Status confirm(const store::CallContext& context);

private:
    struct Record {
        std::string nonce;
        std::string member;
        Instant modified;
    };
    Lease(std::shared_ptr<store::ObjectStore> store, LeaseOptions options, Logger& logger);
    Status acquire(const store::CallContext& context);
    Status take_over(const Record& holder, const store::CallContext& context);
    Status settle(const store::CallContext& context);
    Result<std::optional<Record>> read(const store::CallContext& context) const;
    Result<bool> is_free(const Record& holder, const store::CallContext& context) const;
    Status write(const store::CallContext& context);
    std::string json() const;
    void renew();
    milliseconds now() const;

    const std::shared_ptr<store::ObjectStore> store_;
    const LeaseOptions options_;
    Logger& logger_;
    const std::string nonce_;
    std::atomic<std::int64_t> renewed_at_{0};  // by now(), when the last successful write began
    std::atomic<bool> lost_{false};
    std::atomic<std::uint64_t> renewals_{0};
    CancelToken ending_;
    std::thread thread_;
};

// Lets nothing be written or removed once the lease is gone; the object whose presence makes a backup exist only after
// the store has confirmed it. `next` and `lease` outlive this.
class LeasedStore final : public store::ForwardingStore {
public:
    LeasedStore(store::ObjectStore& next, Lease& lease) : ForwardingStore(next), lease_(lease) {}
    Status put(const std::string& key, ByteView content, const store::CallContext& context) override;
    Result<store::PutOutcome> put_if_absent(const std::string& key, ByteView content,
                                            const store::CallContext& context) override;
    Result<std::unique_ptr<Sink>> create(const std::string& key, const store::CallContext& context) override;
    Status remove(const std::vector<std::string>& keys, const store::CallContext& context) override;

private:
    Status may_write(const std::string& key, const store::CallContext& context);
    Lease& lease_;
};

}  // namespace forge::repository
