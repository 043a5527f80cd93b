// How long the steps of moving an object take, as histograms, with what was moved and how often it was tried again.
// Plain data: it lies in shared memory, and goes through pipes and files as a line of text.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/status.h"

namespace forge {

// In the order in which an object passes them on its way into the store; a restore goes through them backwards.
enum class Stage : std::uint8_t {
    kWait,         // for its turn
    kFile,         // reading or writing the file
    kCompression,  // or unpacking
    kEncryption,   // or decrypting
    kStore,        // the store's requests, their retries included
    kTotal,        // from the begin of the work to its end, with what is between the stages
};
inline constexpr std::size_t kStages = 6;

// Of times in microseconds. Bucket 0 counts times below 1, bucket i those from 2^(i-1) on and below 2^i; the last one
// has no upper end.
struct Histogram {
    static constexpr std::size_t kBuckets = 32;
    std::uint64_t count = 0, sum = 0, min = 0, max = 0;  // min and max: 0 while count is
    std::array<std::uint64_t, kBuckets> buckets{};

    void add(std::uint64_t micros);
    void merge(const Histogram& other);
    // A time that `part` (0 to 1) of all did not exceed: the upper end of its bucket, at most max. 0 without any.
    std::uint64_t quantile(double part) const;
};

inline constexpr std::size_t kKindCount = static_cast<std::size_t>(Kind::kInternal) + 1;

struct Statistics {
    std::array<Histogram, kStages> stages{};
    std::uint64_t objects = 0, bytes_plain = 0, bytes_stored = 0;  // moved; before compression, in the store
    std::array<std::uint64_t, kKindCount> retries{};               // attempts after a failure of this kind

    void merge(const Statistics& other);
    bool empty() const;
};

// Numbers with blanks between them. Nothing for what is no such text.
std::string encode_statistics(const Statistics& statistics);
std::optional<Statistics> decode_statistics(std::string_view text);

// Below the data directory, one line: what restore commands leave there, changed under a flock() on the directory.
inline constexpr const char* kStatisticsDirectory = "forge_backup";
inline constexpr const char* kRestoreStatisticsFile = "forge_backup/statistics.restore";

}  // namespace forge
