#include "cli/checks.h"

#include <sodium.h>

#include <algorithm>

#include "core/base/text.h"
#include "core/keys/search.h"
#include "core/restore/target.h"
#include "core/wal/write_guard.h"

namespace forge::cli {

namespace {

using repository::BackupEntry;
using repository::Repository;
using Level = Finding::Level;

constexpr std::int64_t kOldBackupSeconds = 2 * 24 * 3600;
constexpr std::uint64_t kMostObjectsForKeys = 2000;
constexpr double kSkewWarning = 60;     // seconds
constexpr double kSkewError = 15 * 60;  // S3 refuses requests beyond that

class Checker {
public:
    Checker(const repository::Identity& us, const store::CallContext& context, Logger& logger)
        : us_(us), context_(context), logger_(logger) {}

    void run(const Result<settings::Settings>& loaded) {
        if (!loaded.ok()) return failed("settings", loaded.status());
        const settings::Settings& settings = loaded.value();
        if (settings.kind == settings::StorageKind::kOff)
            return add("settings", Level::kWarning, "no storage is configured: nothing is archived",
                       "Set forge_backup.storage, or WALG_S3_PREFIX or WALG_FILE_PREFIX in a file of the environment "
                       "directory.");
        add("settings", Level::kOk,
            "storage " + quoted(settings.storage) + ", compression " +
                std::string(codec::method_name(settings.compression)));
        check_key_ring(settings);
        auto opened = Repository::open(settings, logger_);
        if (!opened.ok()) return failed("store", opened.status());
        Repository& repository = **opened;
        if (!check_reading(repository)) return;
        check_owner(repository);
        check_old_keys(repository);
        check_writing(repository);
        check_backups(repository);
    }
    Checks checks;

private:
    void add(std::string check, Level level, std::string detail, std::string hint = {}) {
        checks.findings.push_back({std::move(check), level, std::move(detail), std::move(hint)});
    }
    void failed(std::string check, const Status& status) {
        add(std::move(check), Level::kError, status.message(), status.hint());
    }

    void check_key_ring(const settings::Settings& settings) {
        if (settings.keys.empty())
            return add("keys", Level::kWarning, "no encryption key is configured: objects are stored unencrypted",
                       "Set forge_backup.encryption_key_files or WALG_LIBSODIUM_KEY_PATH.");
        std::string old;
        for (std::size_t i = 1; i < settings.keys.keys().size(); ++i)
            old += (i == 1 ? "" : ", ") + settings.keys.keys()[i].fingerprint();
        add("keys", Level::kOk,
            "encrypting with key " + settings.keys.active().fingerprint() +
                (old.empty() ? "" : ", reading with " + old + " as well"));
    }

    bool check_reading(Repository& repository) {
        const auto folder = repository.store().list_folder("", context_);
        if (!folder.ok()) {
            failed("store", folder.status());
            return false;
        }
        add("store", Level::kOk, repository.store().url() + " answers");
        return true;
    }

    void check_owner(Repository& repository) {
        const auto view = wal::look_at_owner(repository, us_, context_);
        if (!view.ok() && wal::is_write_only(view.status()))
            return add("owner", Level::kWarning, "whose the storage is cannot be read: " + view.status().message(),
                       "Allow the credentials to read objects and to list them.");
        if (!view.ok()) return failed("owner", view.status());
        if (!view->problem.ok()) return failed("owner", view->problem);
        add("owner", Level::kOk,
            view->record ? "the storage belongs to " + describe(view->record->cluster)
                         : "the storage belongs to nobody yet");
    }

    // An old key that many objects had to be asked for is left to rekey, which looks at all.
    void check_old_keys(Repository& repository) {
        keys::SearchOptions options;
        options.most_objects = kMostObjectsForKeys;
        const auto found = keys::find_old_keys(repository, {}, options, context_);
        if (!found.ok()) return failed("old keys", found.status());
        const std::string count = std::to_string(found->objects);
        for (const keys::OldKey& key : found->keys) {
            const std::string name = "old key " + key.fingerprint;
            switch (key.need) {
                case keys::OldKey::Need::kYes:
                    add("old keys", Level::kOk, name + " is still needed, by " + quoted(key.object),
                        "\"forge-backup rekey\" encrypts anew what an old key is needed for.");
                    break;
                case keys::OldKey::Need::kNo:
                    add("old keys", Level::kOk, name + " is no longer needed, by none of " + count + " objects",
                        "You may remove it.");
                    break;
                case keys::OldKey::Need::kUnknown:
                    add("old keys", Level::kOk, name + " is not needed by " + count + " objects, and there are more",
                        "\"forge-backup rekey\" looks at all of them.");
                    break;
            }
        }
    }

    // Writes an object like any other (compressed, encrypted), reads it back, compares, and removes it.
    void check_writing(Repository& repository) {
        Bytes content(4096);
        randombytes_buf(content.data(), content.size());
        const std::string key = "forge_backup_check_" + to_hex(ByteView(content).first(8));
        const Status result = round_trip(repository, key, content);
        if (!result.ok())
            failed("write", result);
        else
            add("write", Level::kOk, "an object was written, read back and compared");
        if (result.ok()) check_clock(repository, key);
        const Status removed = repository.store().remove({key}, context_);
        if (!removed.ok())
            add("delete", Level::kWarning, removed.message(),
                "Old backups cannot be removed without the permission to delete objects.");
        else if (result.ok())
            add("delete", Level::kOk, "the object was removed");
    }

    Status round_trip(Repository& repository, const std::string& key, const Bytes& content) {
        const codec::Method method = repository.settings().compression;
        {
            FORGE_ASSIGN(const std::unique_ptr<Sink> sink, repository.create(key, method, context_));
            FORGE_TRY(sink->write(content));
            FORGE_TRY(sink->finish());
        }
        FORGE_ASSIGN(const std::unique_ptr<Source> source, repository.open_object(key, method, context_));
        FORGE_ASSIGN(const Bytes back, read_all(*source, content.size() + 1));
        if (back != content)
            return {Kind::kCorrupt, "object " + quoted(key) + " came back with other content", "Check the store."};
        return {};
    }

    void check_clock(Repository& repository, const std::string& key) {
        const auto info = repository.store().head(key, context_);
        if (!info.ok() || info->modified.nanos == 0) return;
        const double skew = static_cast<double>(SystemClock().now().nanos - info->modified.nanos) / 1e9;
        const double size = skew < 0 ? -skew : skew;
        if (size < kSkewWarning) return add("clock", Level::kOk, "this clock and the store's agree");
        add("clock", size < kSkewError ? Level::kWarning : Level::kError,
            "this clock is " + format_duration(size) + (skew > 0 ? " ahead of" : " behind") + " the store's",
            "Synchronize the clock with NTP.");
    }

    void check_backups(Repository& repository) {
        const auto backups = repository.list_backups(context_);
        if (!backups.ok()) return failed("backups", backups.status());
        const BackupEntry* newest = nullptr;
        for (const BackupEntry& backup : *backups) {
            if (!backup.problem.empty())
                add("backups", Level::kWarning, "backup " + quoted(backup.name) + ": " + backup.problem);
            else if (newest == nullptr || newest->sentinel.finish_time <= backup.sentinel.finish_time)
                newest = &backup;
        }
        if (newest == nullptr)
            return add("backups", Level::kWarning, "there is no base backup",
                       "Make one with \"forge-backup backup-push\" or trigger_basebackup().");
        check_age(*newest);
        check_parts(repository, *backups, *newest);
        check_readable(repository, *newest);
        check_recovery(repository);
    }

    void check_age(const BackupEntry& newest) {
        const std::int64_t age = SystemClock().now().seconds() - newest.sentinel.finish_time.seconds();
        checks.newest_age = age;
        const std::string detail =
            "newest backup " + quoted(newest.name) + " ended " + format_duration(static_cast<double>(age)) + " ago";
        if (age > kOldBackupSeconds)
            add("backups", Level::kWarning, detail, "Check forge_backup.schedule, or make a backup now.");
        else
            add("backups", Level::kOk, detail);
    }

    // A rule of the bucket, or a hand, that took parts of the newest backup or of those it builds on shows in their
    // sizes, without reading the lists of files: the sentinel's number is never too high (walg-format 2.2).
    void check_parts(Repository& repository, const std::vector<BackupEntry>& backups, const BackupEntry& newest) {
        const BackupEntry* backup = &newest;
        for (std::size_t steps = 0; steps <= backups.size(); ++steps) {
            const auto listing = repository.store().list_folder(layout::parts_folder(backup->name), context_);
            if (!listing.ok()) return failed("parts", listing.status());
            std::uint64_t stored = 0;
            for (const store::ObjectInfo& object : listing->objects) stored += object.size;
            const layout::Sentinel& sentinel = backup->sentinel;
            if (stored < sentinel.compressed_size)
                return add("parts", sentinel.manifest.empty() ? Level::kWarning : Level::kError,
                           "backup " + quoted(backup->name) + " was stored with " +
                               std::to_string(sentinel.compressed_size) + " bytes of parts, and has " +
                               std::to_string(stored),
                           "Make a new full backup, and exempt the prefix from rules of the bucket that delete "
                           "objects. \"forge-backup verify\" says what is missing.");
            if (!sentinel.is_delta())
                return add("parts", Level::kOk, "the newest backup and what it builds on have their parts");
            const auto parent = std::find_if(backups.begin(), backups.end(),
                                             [&](const BackupEntry& one) { return one.name == sentinel.delta_from; });
            if (parent == backups.end())
                return add("parts", Level::kError,
                           "backup " + quoted(backup->name) + " builds on " + quoted(sentinel.delta_from) +
                               ", which is not there",
                           "Make a new full backup.");
            backup = &*parent;
        }
    }

    // The smallest part of the newest backup shows whether the configured keys fit what is stored.
    void check_readable(Repository& repository, const BackupEntry& backup) {
        const std::string folder = layout::parts_folder(backup.name);
        const auto listing = repository.store().list_folder(folder, context_);
        if (!listing.ok()) return failed("decrypt", listing.status());
        for (const store::ObjectInfo& object : listing->objects) {
            const std::string file = object.key.substr(folder.size());
            const auto method = layout::part_method(file);
            if (!method || !layout::is_pg_control_part(file)) continue;
            auto source = repository.open_object(object.key, *method, context_);
            Status result = source.ok() ? read_all(**source, 1U << 20).status() : source.status();
            if (result.ok())
                return add("decrypt", Level::kOk, "the newest backup can be read with the configured keys");
            return failed("decrypt", result);
        }
        add("decrypt", Level::kError, "backup " + quoted(backup.name) + " has no part with the control file",
            "Make a new base backup.");
    }

    void check_recovery(Repository& repository) {
        const auto plan = restore::make_plan(repository, restore::Target{}, true, context_, logger_);
        if (!plan.ok()) return failed("recovery", plan.status());
        std::string reach = plan->reached_time ? format_human(*plan->reached_time) : "segment " + plan->last_segment;
        if (!plan->missing_segments.empty())
            return add("recovery", Level::kError,
                       std::to_string(plan->missing_segments.size()) + " WAL segments are missing after backup " +
                           quoted(plan->backup.name) + ", the first is " + quoted(plan->missing_segments.front()),
                       "Make a new base backup, so that recovery does not need them.");
        add("recovery", Level::kOk, "recovery from backup " + quoted(plan->backup.name) + " reaches " + reach);
    }

    const repository::Identity us_;
    store::CallContext context_;
    Logger& logger_;
};

}  // namespace

std::string_view level_name(Level level) {
    switch (level) {
        case Level::kOk: return "ok";
        case Level::kWarning: return "warning";
        case Level::kError: return "error";
    }
    return "error";
}

Checks run_checks(const Result<settings::Settings>& loaded, const repository::Identity& us,
                  const store::CallContext& context, Logger& logger) {
    Checker checker(us, context, logger);
    checker.run(loaded);
    return std::move(checker.checks);
}

}  // namespace forge::cli
