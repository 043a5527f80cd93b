// What the server knows of the encryption keys, by fingerprint: which are in force, what they opened since it started,
// and whether an old one is still needed. Helpers tell; no key is ever seen here.
#pragma once

#include "extension/shared_state.h"

namespace forge::server {

// The ring of a kConfigured frame. Keys that are no longer in it are forgotten.
void store_ring(KeysInfo& keys, const protocol::Frame& frame);
// kKeyUse and kKeys, from whatever helper.
void note_keys(const protocol::Frame& frame);
// Old keys of which nobody knows that they are not needed, as kSearchKeys asks for them: "fingerprint<TAB>object".
std::vector<std::string> keys_to_search(const KeysInfo& keys);

}  // namespace forge::server
