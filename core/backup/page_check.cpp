#include "core/backup/page_check.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace forge::backup {
namespace {

// storage/checksum_impl.h: 32 FNV-1a hashes side by side over the words of the page, folded together.
constexpr std::size_t kLanes = 32;
constexpr std::uint32_t kPrime = 16777619;
constexpr std::array<std::uint32_t, kLanes> kLaneStart{
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};
constexpr std::size_t kRows = kPageSize / (sizeof(std::uint32_t) * kLanes);

// Page header (storage/bufpage.h).
constexpr std::size_t kChecksumAt = 8;
constexpr std::size_t kUpperAt = 14;

constexpr int kRereads = 3;
constexpr milliseconds kRereadPause{5};
constexpr std::size_t kListedBlocks = 10;
// A file that is bad throughout must not cost a pause for each of its pages.
constexpr std::uint64_t kPausesUntil = 50;

static_assert(std::endian::native == std::endian::little, "pages are compared as little-endian words");

void mix(std::array<std::uint32_t, kLanes>& sums, const std::array<std::uint32_t, kLanes>& row) {
    for (std::size_t i = 0; i < kLanes; ++i) {
        const std::uint32_t value = sums[i] ^ row[i];
        sums[i] = value * kPrime ^ (value >> 17);
    }
}

Lsn page_lsn(ByteView page) {
    return (static_cast<Lsn>(load_le<std::uint32_t>(page.data())) << 32) | load_le<std::uint32_t>(page.data() + 4);
}
bool is_new(ByteView page) { return load_le<std::uint16_t>(page.data() + kUpperAt) == 0; }

// How much of the page there is before the file ends; -1, and errno, when it cannot be read.
ssize_t read_page(int fd, std::uint64_t offset, MutableBytes page) {
    std::size_t got = 0;
    while (got < page.size()) {
        const ssize_t size = ::pread(fd, page.data() + got, page.size() - got, static_cast<off_t>(offset + got));
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return -1;
        if (size == 0) break;
        got += static_cast<std::size_t>(size);
    }
    return static_cast<ssize_t>(got);
}

// Neither a new page nor a valid one: impossible header, wrong checksum, and no LSN that would excuse it.
void make_invalid(MutableBytes page) {
    std::fill(page.begin(), page.end(), std::uint8_t{0xFF});
    std::fill(page.begin(), page.begin() + sizeof(Lsn), std::uint8_t{0});
}

}  // namespace

__attribute__((optimize("O3"))) std::uint16_t page_checksum(ByteView page, std::uint32_t block) {
    std::array<std::uint32_t, kLanes> sums = kLaneStart;
    std::array<std::uint32_t, kLanes> row{};
    for (std::size_t r = 0; r < kRows; ++r) {
        std::memcpy(row.data(), page.data() + r * sizeof(row), sizeof(row));
        if (r == 0) row[kChecksumAt / 4] &= 0xFFFF0000U;  // the checksum itself counts as zero
        mix(sums, row);
    }
    row.fill(0);
    mix(sums, row);
    mix(sums, row);
    std::uint32_t result = 0;
    for (const std::uint32_t sum : sums) result ^= sum;
    result ^= block;
    return static_cast<std::uint16_t>(result % 65535 + 1);
}

bool PageChecker::is_good(ByteView page, std::uint32_t block) const {
    if (is_new(page) || page_lsn(page) >= start_lsn_) return true;
    return load_le<std::uint16_t>(page.data() + kChecksumAt) == page_checksum(page, first_block_ + block);
}

// A page that changes between two readings is being written now; the WAL of this backup holds it.
bool PageChecker::survives_rereading(MutableBytes page, std::uint32_t block, const CancelToken& cancel) const {
    std::array<std::uint8_t, kPageSize> again{};
    for (int i = 0; i < kRereads; ++i) {
        if (i > 0 && bad_count_ < kPausesUntil && cancel.wait_for(kRereadPause)) return true;
        const ssize_t size = read_page(fd_, static_cast<std::uint64_t>(block) * kPageSize, again);
        if (size != static_cast<ssize_t>(kPageSize)) return true;  // truncated meanwhile, or counted by read_singly()
        if (is_good(again, block)) {
            std::copy(again.begin(), again.end(), page.begin());
            return true;
        }
        if (!std::equal(again.begin(), again.end(), page.begin())) return true;
    }
    return false;
}

void PageChecker::check(MutableBytes data, std::uint64_t offset, const CancelToken& cancel) {
    for (std::size_t at = 0; at + kPageSize <= data.size(); at += kPageSize) {
        const auto block = static_cast<std::uint32_t>((offset + at) / kPageSize);
        const MutableBytes page = data.subspan(at, kPageSize);
        if (is_good(page, block) || survives_rereading(page, block, cancel)) continue;
        count_bad(block);
    }
}

void PageChecker::count_bad(std::uint32_t block) {
    ++bad_count_;
    if (bad_blocks_.size() < kListedBlocks) bad_blocks_.push_back(block);
}

Result<std::size_t> PageChecker::read_singly(MutableBytes data, std::uint64_t offset, const std::string& path) {
    std::size_t done = 0;
    while (done < data.size()) {
        const MutableBytes page = data.subspan(done, std::min(kPageSize, data.size() - done));
        ssize_t size = read_page(fd_, offset + done, page);
        if (size < 0 && errno == EIO) size = read_page(fd_, offset + done, page);
        if (size < 0 && errno != EIO) return errno_status(errno, "could not read file", path);
        if (size < 0) {
            make_invalid(page);
            count_bad(static_cast<std::uint32_t>((offset + done) / kPageSize));
            size = static_cast<ssize_t>(page.size());
        }
        done += static_cast<std::size_t>(size);
        if (static_cast<std::size_t>(size) < page.size()) break;
    }
    return done;
}

}  // namespace forge::backup
