#include "core/keys/rekey.h"

#include <mutex>
#include <set>

#include "core/backup/sha256.h"
#include "core/base/crash_point.h"
#include "core/base/text.h"
#include "core/crypto/secretstream.h"
#include "core/keys/objects.h"
#include "core/layout/names.h"
#include "core/store/metered_store.h"

namespace forge::keys {

namespace {

class NullSink final : public Sink {
public:
    Status write(ByteView) override { return {}; }
    Status finish() override { return {}; }
};

// Passes the new object on to the store and decrypts it on the way. It becomes visible only when that gave what the old
// one held.
class ProvenSink final : public Sink {
public:
    ProvenSink(std::unique_ptr<Sink> object, const crypto::Key& key, backup::StreamDigest& before, std::uint64_t size)
        : object_(std::move(object)), size_(size), before_(before),
          proof_(crypto::decrypting_sink(
              key, std::make_unique<backup::DigestSink>(std::make_unique<NullSink>(), after_))) {}

    Status write(ByteView data) override {
        written_ += data.size();
        FORGE_TRY(proof_->write(data));
        return object_->write(data);
    }
    Status finish() override {
        FORGE_TRY(proof_->finish());
        if (written_ != size_ || before_.size != after_.size || before_.hash.finish() != after_.hash.finish())
            return Status(Kind::kInternal, "what was encrypted anew is not what was there before");
        FORGE_CRASH_POINT("rekey-before-replace");
        return object_->finish();
    }

private:
    std::unique_ptr<Sink> object_;
    std::uint64_t size_;
    std::uint64_t written_ = 0;
    backup::StreamDigest& before_;
    backup::StreamDigest after_;
    std::unique_ptr<Sink> proof_;
};

// The object is what is wrong, or was changed by somebody: the others can be done all the same.
bool concerns_object(const Status& status) {
    return status.is(Kind::kCorrupt) || status.is(Kind::kConflict) || status.is(Kind::kNotFound);
}

class Rekeying {
public:
    Rekeying(repository::Repository& repository, const RekeyOptions& options, RekeyReport& report,
             RekeyProgress& progress, const store::CallContext& context)
        : store_(repository.store()), ring_(repository.settings().keys), options_(options), report_(report),
          progress_(progress), context_(context), limit_(options.rate_limit),
          metered_(store::metered(store_, {limit_, bytes_read_, store::cancel_of(context)})) {}

    Status run() {
        if (ring_.empty())
            return Status(Kind::kInvalid, "no encryption key is configured",
                          "Set \"encryption_key_files\": the new key first, the old ones behind it.");
        FORGE_TRY(take_stock());
        if (options_.confirm) FORGE_TRY(leave_record());
        for (const std::string_view folder : kFoldersOfEncrypted)
            FORGE_TRY(each_batch(store_, folder, context_, [this](const auto& batch) { return handle_all(batch); }));
        return {};
    }

private:
    Status take_stock() {
        FORGE_ASSIGN(const auto folder, store_.list_folder(std::string(layout::kBackupsFolder), context_));
        for (const store::ObjectInfo& object : folder.objects)
            if (const auto backup = layout::backup_of_sentinel(object.key)) listed_.insert(*backup);
        const auto visit = [this](const store::ObjectInfo& object) {
            if (method_of_encrypted(object.key)) progress_.bytes_total += object.size;
            return true;
        };
        for (const std::string_view name : kFoldersOfEncrypted)
            FORGE_TRY(store_.list(std::string(name), visit, context_));
        return {};
    }

    Status leave_record() {
        const std::string text = "{\"format\":1,\"at\":\"" + format_rfc3339(SystemClock().now(), 6) + "\"}\n";
        return store_.put(std::string(kRekeyRecord), as_bytes(text), context_);
    }

    Result<bool> handle_all(const std::vector<store::ObjectInfo>& objects) {
        FORGE_TRY(in_parallel(objects, options_.jobs, context_, [this](const auto& object, const auto& context) {
            return handle(object, context);
        }));
        return true;
    }

    Status handle(const store::ObjectInfo& object, const store::CallContext& context) {
        const auto found = find_key(*metered_, ring_, object, context);
        if (found.status().is(Kind::kNotFound)) return {};  // deleted meanwhile
        if (!found.ok()) return found.status();
        if (found->key == nullptr) {
            note_unopened(object, found->plain);
        } else {
            {
                const std::lock_guard lock(mutex_);
                report_.by_key[found->key->fingerprint()].add(object.size);
            }
            if (found->key->fingerprint() != ring_.active().fingerprint())
                FORGE_TRY(handle_old(object, *found->key, context));
        }
        progress_.bytes_done += object.size;
        return {};
    }

    Status handle_old(const store::ObjectInfo& object, const crypto::Key& key, const store::CallContext& context) {
        const std::string backup = backup_of(object.key);
        const bool unfinished = !backup.empty() && !listed_.contains(backup);
        const Status status = !options_.confirm || unfinished ? Status() : rewrite(object, key, context);
        if (!status.ok() && !concerns_object(status)) return status.with_context(object.key);
        if (!status.ok()) return settle_failure(object, key, status, context);
        const std::lock_guard lock(mutex_);
        if (unfinished) report_.unfinished.add(object.size);
        if (!options_.confirm || unfinished)
            report_.left[key.fingerprint()].add(object.size);
        else
            report_.rewritten.add(object.size);
        return {};
    }

    Status rewrite(const store::ObjectInfo& object, const crypto::Key& key, const store::CallContext& context) {
        FORGE_ASSIGN(auto stored, metered_->get(object.key, std::nullopt, context));
        backup::StreamDigest before;
        backup::DigestSource plain(crypto::decryptor(crypto::KeyRing({key}), std::move(stored)), before);
        FORGE_ASSIGN(auto place, store_.replace(object, context));
        const auto sink = crypto::encryptor(
            ring_.active(), std::make_unique<ProvenSink>(std::move(place), ring_.active(), before, object.size));
        FORGE_TRY(copy_stream(plain, *sink).status());
        FORGE_TRY(sink->finish());
        FORGE_CRASH_POINT("rekey-replaced");
        return store_.features().conditional_replace ? Status() : look_again(object, context);
    }

    // Somebody may have come between the last look and the write.
    Status look_again(const store::ObjectInfo& object, const store::CallContext& context) {
        FORGE_ASSIGN(auto stored, metered_->get(object.key, std::nullopt, context));
        const auto plain = crypto::decryptor(crypto::KeyRing({ring_.active()}), std::move(stored));
        NullSink nowhere;
        return copy_stream(*plain, nowhere).status();
    }

    // Deleted, or done by another one that does the same: then all is well.
    Status settle_failure(const store::ObjectInfo& object, const crypto::Key& key, const Status& failure,
                          const store::CallContext& context) {
        if (!failure.is(Kind::kCorrupt)) {
            store::ObjectInfo now = object;
            now.size = std::max<std::uint64_t>(now.size, crypto::kSmallestObject);
            const auto found = find_key(store_, ring_, now, context);
            if (found.status().is(Kind::kNotFound)) return {};
            if (!found.ok()) return found.status();
            if (found->key != nullptr && found->key->fingerprint() == ring_.active().fingerprint()) return {};
        }
        note_problem(object.key, failure);
        const std::lock_guard lock(mutex_);
        report_.left[key.fingerprint()].add(object.size);
        return {};
    }

    void note_unopened(const store::ObjectInfo& object, bool plain) {
        {
            const std::lock_guard lock(mutex_);
            (plain ? report_.plain : report_.unopened).add(object.size);
        }
        if (plain) return;
        note_problem(object.key, Status(Kind::kCorrupt, "no configured key opens it: another key, or damaged"));
    }

    void note_problem(const std::string& object, const Status& status) {
        const std::lock_guard lock(mutex_);
        ++report_.failed;
        if (report_.problems.size() < kMostProblems) report_.problems.push_back({object, status});
    }

    store::ObjectStore& store_;
    const crypto::KeyRing& ring_;
    const RekeyOptions& options_;
    RekeyReport& report_;
    RekeyProgress& progress_;
    const store::CallContext& context_;
    RateLimiter limit_;
    std::atomic<std::uint64_t> bytes_read_{0};
    std::shared_ptr<store::ObjectStore> metered_;
    std::set<std::string> listed_;  // backups with a sentinel
    std::mutex mutex_;              // of report_
};

}  // namespace

Status rekey(repository::Repository& repository, const RekeyOptions& options, RekeyReport& report,
             RekeyProgress& progress, const store::CallContext& context) {
    return Rekeying(repository, options, report, progress, context).run();
}

}  // namespace forge::keys
