// Which objects of a bucket are encrypted, ours and WAL-G's, and with which key: told by the first bytes of each.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/codec/codec.h"
#include "core/crypto/key.h"
#include "core/layout/names.h"
#include "core/store/object_store.h"

namespace forge::keys {

// Where encrypted objects are, in the order in which they are looked at.
inline constexpr std::array kFoldersOfEncrypted{layout::kWalFolder, layout::kRestorePointsFolder,
                                                layout::kBackupsFolder};
// Method of compression of an object that is encrypted wherever there is a key: everything in wal_005/, restore points,
// the parts and the manifest of a backup. Nothing for JSON that is always plain, and for what nobody reads.
std::optional<codec::Method> method_of_encrypted(std::string_view key);
// The backup in whose folder the object is; empty for all others.
std::string backup_of(std::string_view key);

struct KeyOf {
    const crypto::Key* key = nullptr;  // of the ring that was asked for; null = none opens it
    bool plain = false;                // it is not encrypted
};
// Reads at most 8 kB of the object. The ring outlives the answer.
Result<KeyOf> find_key(store::ObjectStore& store, const crypto::KeyRing& ring, const store::ObjectInfo& object,
                       const store::CallContext& context);

// Hands out every encrypted object of a folder in the order of the keys, some hundreds at a time, so that neither
// memory nor a listing's lifetime bounds how long `take` works on them. False from it ends the walk.
Status each_batch(store::ObjectStore& store, std::string_view folder, const store::CallContext& context,
                  const std::function<Result<bool>(const std::vector<store::ObjectInfo>&)>& take);
// Calls `work` for each object on up to `jobs` threads; the first failure ends all.
Status in_parallel(const std::vector<store::ObjectInfo>& objects, int jobs, const store::CallContext& context,
                   const std::function<Status(const store::ObjectInfo&, const store::CallContext&)>& work);

}  // namespace forge::keys
