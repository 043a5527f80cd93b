// Which keys opened what in this process: an old key that opens nothing for long may be one that nobody needs.
// Thread-safe.
#pragma once

#include <map>
#include <string>

#include "core/base/time.h"

namespace forge::crypto {

struct KeyUse {
    std::uint64_t objects = 0;  // whose first message the key has opened
    Instant last;
};

// By fingerprint, since the process started.
std::map<std::string, KeyUse> key_use();
void note_opened(const std::string& fingerprint);

}  // namespace forge::crypto
