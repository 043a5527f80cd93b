// Headers of WAL pages (XLogPageHeaderData, PostgreSQL 15 to 18): what identifies a segment file and the cluster it
// belongs to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/lsn.h"
#include "core/base/status.h"

namespace forge::wal {

inline constexpr std::size_t kLongHeaderSize = 40;   // first page of every segment
inline constexpr std::size_t kShortHeaderSize = 24;  // every other page

struct PageHeader {
    std::uint16_t magic = 0;  // WAL version: 0xD110 is 15, 0xD113 16, 0xD116 17, 0xD118 18
    std::uint16_t flags = 0;
    Timeline timeline = 0;        // of the first record on the page: may be an ancestor of the file's timeline
    Lsn address = 0;              // of the page
    std::uint32_t remaining = 0;  // bytes on this and later pages of a record that began before
    // Long headers only:
    std::uint64_t system_identifier = 0;
    std::uint32_t segment_size = 0;
    std::uint32_t page_size = 0;

    bool is_continuation() const { return (flags & 0x0001) != 0; }
    bool is_long() const { return (flags & 0x0002) != 0; }
    // The record begun before was never finished (the server crashed in the middle of it); what follows replaces it.
    bool overwrites_continuation() const { return (flags & 0x0008) != 0; }
    std::size_t size() const { return is_long() ? kLongHeaderSize : kShortHeaderSize; }
};

// Nothing when `page` is too short or does not begin with a page header of a known WAL version.
std::optional<PageHeader> parse_page_header(ByteView page);

// Header of the first page of a segment, or kCorrupt saying what is wrong with it. `what` begins the message ("WAL file
// \"…\"").
Result<PageHeader> parse_first_page(ByteView page, const std::string& what);
// The header fits a file called `name` (24 digits) of `segment_size` bytes (kCorrupt otherwise) and, where it is not 0,
// the cluster with `system_identifier` (kConflict otherwise).
Status check_first_page(const PageHeader& header, const std::string& name, std::uint64_t segment_size,
                        std::uint64_t system_identifier);

}  // namespace forge::wal
