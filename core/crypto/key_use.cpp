#include "core/crypto/key_use.h"

#include <mutex>

namespace forge::crypto {

namespace {

// Of the whole process, which rings come and go in: settings are loaded again.
struct Tally {
    std::mutex mutex;
    std::map<std::string, KeyUse> uses;
};
Tally& tally() {
    static Tally the_tally;
    return the_tally;
}

}  // namespace

std::map<std::string, KeyUse> key_use() {
    const std::lock_guard lock(tally().mutex);
    return tally().uses;
}

void note_opened(const std::string& fingerprint) {
    const std::lock_guard lock(tally().mutex);
    KeyUse& use = tally().uses[fingerprint];
    ++use.objects;
    use.last = SystemClock().now();
}

}  // namespace forge::crypto
