// Encrypts anew, with the active key, what an old key of the ring was used for: WAL, histories, restore points, parts and
// manifests, ours and WAL-G's. The compressed bytes stay what they are, and so do their size and all digests; only the encryption
// around them is another one.
//
// An object is replaced when the new one was decrypted again with the active key alone, to its authenticated end, and
// has the digest of what the old one held; and only while the store still has the object that was read. So every
// object can be read at any moment, whatever is killed, and the same call goes on: an object says itself what is done.
//
// Left as they are: objects that are not encrypted, objects that no key of the ring opens, and backups without sentinel,
// which somebody may be making.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "core/repository/repository.h"

namespace forge::keys {

// Says that objects have other times of modification than when they were made (docs/format.md).
inline constexpr std::string_view kRekeyRecord = "forge_rekey.json";

struct RekeyOptions {
    bool confirm = false;  // without it nothing is written
    int jobs = 2;
    std::uint64_t rate_limit = 0;  // bytes a second that are read, as stored; 0 = none
};

struct Amount {
    std::uint64_t objects = 0;
    std::uint64_t bytes = 0;  // as stored
    void add(std::uint64_t size) {
        ++objects;
        bytes += size;
    }
};

struct RekeyReport {
    std::map<std::string, Amount> by_key;  // fingerprint -> what it opens, before anything was rewritten
    Amount plain;                          // not encrypted
    Amount unopened;                       // opened by no key of the ring
    Amount rewritten;
    std::map<std::string, Amount> left;  // of old keys, what still needs them afterwards
    Amount unfinished;                   // of these, in backups without sentinel
    struct Problem {
        std::string object;
        Status status;
    };
    std::vector<Problem> problems;  // the first of them; objects that could not be rewritten, or that no key opens
    std::uint64_t failed = 0;
};
inline constexpr std::size_t kMostProblems = 20;

// Readable from any thread while it runs.
struct RekeyProgress {
    std::atomic<std::uint64_t> bytes_total{0}, bytes_done{0};  // as stored, of all encrypted objects
};

// `report` is good for what was done also after a failure (of the store) or cancellation. kInvalid without a key.
Status rekey(repository::Repository& repository, const RekeyOptions& options, RekeyReport& report,
             RekeyProgress& progress, const store::CallContext& context);

}  // namespace forge::keys
