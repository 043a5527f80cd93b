// Our place in a store: objects compressed and encrypted by the settings, found again whatever method wrote them; the
// list of backups and of WAL. What WAL, backup, restore and the CLI share.
//
// Thread-safe like the store under it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/layout/backup_json.h"
#include "core/layout/names.h"
#include "core/settings/settings.h"
#include "core/store/object_store.h"

namespace forge::repository {

inline constexpr std::string_view kLatest = "LATEST";

struct BackupEntry {
    std::string name;
    Instant modified;           // of the sentinel object
    std::string start_segment;  // 24 digits
    layout::Sentinel sentinel;  // metadata.json merged over the sentinel where it says more (permanence)
    bool readable = true;       // false: the sentinel itself is damaged, there is nothing to restore by
    std::string problem;        // what is wrong ("metadata.json: …"), empty when fine
    Timeline timeline() const;  // of the name: where it begins
    // Where it ends; another one when a standby went on with it after its primary had changed.
    Timeline finish_timeline() const;
};

// What wal_005/ holds, names without extension.
struct WalListing {
    std::vector<std::string> segments;   // sorted
    std::vector<std::string> histories;  // "00000002.history"
    std::vector<std::string> partials;
    std::vector<std::string> backup_histories;
};

class Repository {
public:
    // kInvalid when the settings say off.
    static Result<std::unique_ptr<Repository>> open(const settings::Settings& settings, Logger& logger);
    // Over a store somebody else opened (tests).
    Repository(std::shared_ptr<store::ObjectStore> store, const settings::Settings& settings);

    store::ObjectStore& store() { return *store_; }
    const std::shared_ptr<store::ObjectStore>& shared_store() const { return store_; }
    // As they were when it was opened, the keys included.
    const settings::Settings& settings() const { return settings_; }
    // Objects that are begun from now on are encrypted and decrypted with these.
    void use_keys(crypto::KeyRing keys);

    // Writer of a compressed, encrypted object of unknown size: push plain bytes, finish() makes it durable. `stored`
    // (if not null) counts the bytes sent to the store; it must outlive the sink.
    Result<std::unique_ptr<Sink>> create(const std::string& key, codec::Method method,
                                         const store::CallContext& context, std::uint64_t* stored = nullptr);
    // The two halves of it, for who puts something between them: the writer of an encrypted object, and what compresses
    // into it.
    Result<std::unique_ptr<Sink>> create_compressed(const std::string& key, const store::CallContext& context,
                                                    std::uint64_t* stored = nullptr);
    Result<std::unique_ptr<Sink>> compress(codec::Method method, std::unique_ptr<Sink> next) const;
    // The same for a piece of the stream, `offset` bytes into it, and not measured.
    Result<std::unique_ptr<codec::PieceCompressor>> compress_piece(codec::Method method, std::unique_ptr<Sink> next,
                                                                   std::uint64_t offset) const;
    // The bytes of such an object, into a sink that is not the store's.
    Result<std::unique_ptr<Sink>> pack(codec::Method method, std::unique_ptr<Sink> into) const;
    // Plain bytes of an object; `method` by its name. Integrity of compression and encryption is checked to the end of
    // stream.
    Result<std::unique_ptr<Source>> open_object(const std::string& key, codec::Method method,
                                                const store::CallContext& context);
    // The two halves of it: `compressed` is what open_compressed(key) gave, or reads from it.
    Result<std::unique_ptr<Source>> open_compressed(const std::string& key, const store::CallContext& context);
    static Result<std::unique_ptr<Source>> decompress(const std::string& key, codec::Method method,
                                                      std::unique_ptr<Source> compressed);

    // All backups with a sentinel, oldest first by modification time (WAL-G's order); damaged ones are listed with
    // their problem.
    Result<std::vector<BackupEntry>> list_backups(const store::CallContext& context);
    // `name` or LATEST (newest start time among those with a readable sentinel; WAL-G goes by the sentinel's
    // modification time). kInvalid "backup … does not exist" with a hint listing what does.
    Result<BackupEntry> find_backup(const std::string& name, const store::CallContext& context);
    Result<WalListing> list_wal(const store::CallContext& context);
    Result<layout::FilesMetadata> files_metadata(const std::string& backup_name, const store::CallContext& context);

    // WAL by server file name. kNotFound only when the store denied every extension.
    // Tries the configured method first, then the one that worked last, then the others.
    Result<std::unique_ptr<Source>> open_wal(const std::string& name, const store::CallContext& context);
    // Whole content of a small WAL file (history, backup label): at most 1 MiB.
    Result<std::string> read_wal_text(const std::string& name, const store::CallContext& context);

private:
    Result<BackupEntry> latest_backup(const store::CallContext& context);
    std::vector<codec::Method> methods_to_try() const;
    crypto::KeyRing keys() const;
    std::unique_ptr<Sink> encrypt(std::unique_ptr<Sink> next) const;
    std::optional<int> level_of(codec::Method method) const;

    std::shared_ptr<store::ObjectStore> store_;
    settings::Settings settings_;
    mutable std::mutex mutex_;
    crypto::KeyRing keys_;
    std::atomic<codec::Method> last_method_;  // of the last WAL file that was found
};

}  // namespace forge::repository
