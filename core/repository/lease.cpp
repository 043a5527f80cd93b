#include "core/repository/lease.h"

#include <sodium.h>
#include <time.h>

#include <array>

#include "core/base/text.h"
#include "core/layout/json_text.h"
#include "core/layout/names.h"

namespace forge::repository {

namespace {

using layout::json_string;
using layout::JsonValue;

constexpr std::string_view kProbeKey = "forge_lease_probe.json";
constexpr std::size_t kLargestLease = 64 << 10;
constexpr int kAttempts = 3;
// The holder stops this much earlier than others may take over: clocks differ in pace, and a write takes its time.
constexpr int kTrustedPercent = 80;
// One request of a renewal; a store that answers later than this is tried again.
constexpr seconds kRenewalPatience{8};
constexpr milliseconds kRenewalRetry{1000};

std::string random_nonce() {
    std::array<std::uint8_t, 16> random{};
    randombytes_buf(random.data(), random.size());
    return to_hex(random);
}

milliseconds boot_time() {
    timespec at{};
    ::clock_gettime(CLOCK_BOOTTIME, &at);
    return std::chrono::duration_cast<milliseconds>(seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec));
}

Status held_by(const std::string& member) {
    return Status(Kind::kConflict, "a base backup is being made by " + quoted(member),
                  "Wait until it has ended; if that server is gone, a minute at most.");
}

// Passes on what is written, and looks once more before it becomes visible.
class LeasedSink final : public Sink {
public:
    LeasedSink(std::unique_ptr<Sink> next, Lease& lease) : next_(std::move(next)), lease_(lease) {}
    Status write(ByteView data) override {
        FORGE_TRY(lease_.check());
        return next_->write(data);
    }
    Status finish() override {
        FORGE_TRY(lease_.check());
        return next_->finish();
    }

private:
    std::unique_ptr<Sink> next_;
    Lease& lease_;
};

}  // namespace

Lease::Lease(std::shared_ptr<store::ObjectStore> store, LeaseOptions options, Logger& logger)
    : store_(std::move(store)), options_(std::move(options)), logger_(logger), nonce_(random_nonce()) {}

Result<std::unique_ptr<Lease>> Lease::take(std::shared_ptr<store::ObjectStore> store, LeaseOptions options,
                                           Logger& logger, const store::CallContext& context) {
    std::unique_ptr<Lease> lease(new Lease(std::move(store), std::move(options), logger));
    FORGE_TRY(lease->acquire(context));
    lease->thread_ = std::thread([raw = lease.get()] { raw->renew(); });
    return lease;
}

Lease::~Lease() {
    ending_.cancel();
    if (!thread_.joinable()) return;
    thread_.join();
    store::CallContext context;
    context.deadline = Deadline::after(kRenewalPatience);
    context.max_attempts = 2;
    if (!confirm(context).ok()) return;
    if (const Status gone = store_->remove({std::string(kLeaseKey)}, context); !gone.ok())
        logger_.debug("could not remove " + quoted(kLeaseKey) + ": " + gone.to_string());
}

Status Lease::acquire(const store::CallContext& context) {
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        FORGE_ASSIGN(const std::optional<Record> holder, read(context));
        if (holder) return take_over(*holder, context);
        renewed_at_ = now().count();
        const std::string text = json();
        FORGE_ASSIGN(const store::PutOutcome outcome,
                     store_->put_if_absent(std::string(kLeaseKey), as_bytes(text), context));
        if (outcome == store::PutOutcome::kAlreadyThere) continue;
        return store_->features().conditional_put ? Status() : settle(context);
    }
    return held_by("another server");
}

Status Lease::take_over(const Record& holder, const store::CallContext& context) {
    if (holder.member != options_.member) {
        FORGE_ASSIGN(const bool is_over, is_free(holder, context));
        if (!is_over) return held_by(holder.member);
    }
    FORGE_TRY(write(context));
    return settle(context);
}

// Of two that wrote at the same moment the last one has won, which both see now.
Status Lease::settle(const store::CallContext& context) {
    if (store::cancel_of(context).wait_for(options_.settling)) return store::cancel_of(context).check();
    return confirm(context);
}

Result<std::optional<Lease::Record>> Lease::read(const store::CallContext& context) const {
    auto source = store_->get(std::string(kLeaseKey), std::nullopt, context);
    if (source.status().is(Kind::kNotFound)) return std::optional<Record>();
    if (!source.ok()) return source.status();
    FORGE_ASSIGN(const std::string text, read_all_text(**source, kLargestLease));
    auto info = store_->head(std::string(kLeaseKey), context);
    if (info.status().is(Kind::kNotFound)) return std::optional<Record>();
    if (!info.ok()) return info.status();
    Record record{{}, "another server", info->modified};
    // What cannot be read is somebody's all the same, until it is old.
    if (const auto object = JsonValue::parse_object(text, quoted(kLeaseKey)); object.ok())
        (void)object->each_member([&record](const JsonValue& member) -> Status {
            if (member.name() == "nonce") return member.read(record.nonce);
            if (member.name() == "member") return member.read(record.member);
            return {};
        });
    return std::optional(std::move(record));
}

Result<bool> Lease::is_free(const Record& holder, const store::CallContext& context) const {
    const std::string probe(kProbeKey);
    FORGE_TRY(store_->put(probe, as_bytes(nonce_), context));
    const auto written = store_->head(probe, context);
    (void)store_->remove({probe}, context);
    // Another member's probe may have been removed with ours: the next one that asks will know.
    if (!written.ok()) return written.status().is(Kind::kNotFound) ? Result<bool>(false) : written.status();
    const auto age = std::chrono::nanoseconds(written->modified.nanos - holder.modified.nanos);
    return age > options_.ttl;
}

Status Lease::write(const store::CallContext& context) {
    const milliseconds begun = now();
    const std::string text = json();
    FORGE_TRY(store_->put(std::string(kLeaseKey), as_bytes(text), context));
    renewed_at_ = begun.count();
    return {};
}

std::string Lease::json() const {
    return "{\"format\":1,\"nonce\":" + json_string(nonce_, false) +
           ",\"member\":" + json_string(options_.member, false) +
           ",\"ttl_seconds\":" + std::to_string(options_.ttl.count() / 1000) +
           ",\"renewals\":" + std::to_string(renewals_) + "}\n";
}

milliseconds Lease::now() const { return options_.now ? options_.now() : boot_time(); }

Status Lease::check() const {
    const bool old = now().count() - renewed_at_ > options_.ttl.count() * kTrustedPercent / 100;
    if (!lost_ && !old) return {};
    return Status(Kind::kConflict,
                  lost_ ? "another server has taken over the lease of base backups"
                        : "the lease of base backups could not be renewed in time",
                  "The base backup is made again.");
}

Status Lease::confirm(const store::CallContext& context) {
    FORGE_TRY(check());
    FORGE_ASSIGN(const std::optional<Record> holder, read(context));
    if (!holder || holder->nonce != nonce_) lost_ = true;
    return check();
}

void Lease::renew() {
    milliseconds pause = options_.renewal;
    while (!ending_.wait_for(pause)) {
        store::CallContext context;
        context.cancel = &ending_;
        context.deadline = Deadline::after(kRenewalPatience);
        context.max_attempts = 1;
        Status status = confirm(context);
        if (status.ok()) {
            ++renewals_;
            status = write(context);
        }
        if (!check().ok()) {
            if (options_.on_lost) options_.on_lost();
            return;
        }
        pause = status.ok() ? options_.renewal : std::min(kRenewalRetry, options_.renewal);
    }
}

Status LeasedStore::may_write(const std::string& key, const store::CallContext& context) {
    return layout::backup_of_sentinel(key) ? lease_.confirm(context) : lease_.check();
}

Status LeasedStore::put(const std::string& key, ByteView content, const store::CallContext& context) {
    FORGE_TRY(may_write(key, context));
    return next().put(key, content, context);
}

Result<store::PutOutcome> LeasedStore::put_if_absent(const std::string& key, ByteView content,
                                                     const store::CallContext& context) {
    FORGE_TRY(may_write(key, context));
    return next().put_if_absent(key, content, context);
}

Result<std::unique_ptr<Sink>> LeasedStore::create(const std::string& key, const store::CallContext& context) {
    FORGE_TRY(may_write(key, context));
    FORGE_ASSIGN(std::unique_ptr<Sink> sink, next().create(key, context));
    return std::unique_ptr<Sink>(std::make_unique<LeasedSink>(std::move(sink), lease_));
}

Status LeasedStore::remove(const std::vector<std::string>& keys, const store::CallContext& context) {
    FORGE_TRY(lease_.check());
    return next().remove(keys, context);
}

}  // namespace forge::repository
