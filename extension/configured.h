// What helpers say about the effective configuration, whoever asked last.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// Keeps what a kConfigured frame says, and adds events where that is news. Returns true if the state or the storage is
// another one than before. Nothing happens without preloading.
bool note_configured(const protocol::Frame& frame);

// A value that the helper told with the settings; empty when it has not told any.
std::string_view effective_setting(const StoreInfo& store, std::string_view name);

}  // namespace forge::server
