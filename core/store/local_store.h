// A directory as a store. Objects are files; written as "<name>.tmp.<time>-<hex>", fsynced, renamed, directory fsynced,
// as WAL-G does (walg-format 1.1), so both may use one directory at once. Listings skip temporary names.
#pragma once

#include <memory>

#include "core/store/object_store.h"

namespace forge::store {

// The directory is created when its parent exists; kInvalid otherwise ("create it").
Result<std::unique_ptr<ObjectStore>> open_local_store(const std::string& directory);

}  // namespace forge::store
