#include "core/wal/page_header.h"

#include "core/base/text.h"
#include "core/layout/names.h"

namespace forge::wal {

namespace {

constexpr std::uint16_t kOldestMagic = 0xD110;
constexpr std::uint16_t kNewestMagic = 0xD1FF;
constexpr std::uint16_t kKnownFlags = 0x000F;

}  // namespace

std::optional<PageHeader> parse_page_header(ByteView page) {
    if (page.size() < kShortHeaderSize) return std::nullopt;
    const std::uint8_t* at = page.data();
    PageHeader header;
    header.magic = load_le<std::uint16_t>(at);
    header.flags = load_le<std::uint16_t>(at + 2);
    header.timeline = load_le<std::uint32_t>(at + 4);
    header.address = load_le<std::uint64_t>(at + 8);
    header.remaining = load_le<std::uint32_t>(at + 16);
    if (header.magic < kOldestMagic || header.magic > kNewestMagic || (header.flags & ~kKnownFlags) != 0)
        return std::nullopt;
    if (header.is_long()) {
        if (page.size() < kLongHeaderSize) return std::nullopt;
        header.system_identifier = load_le<std::uint64_t>(at + 24);
        header.segment_size = load_le<std::uint32_t>(at + 32);
        header.page_size = load_le<std::uint32_t>(at + 36);
    }
    return header;
}

Result<PageHeader> parse_first_page(ByteView page, const std::string& what) {
    const auto header = parse_page_header(page);
    if (!header || !header->is_long()) {
        return Status(Kind::kCorrupt, what + " does not begin with a WAL page header of PostgreSQL 15 or later");
    }
    if (!layout::is_valid_segment_size(header->segment_size)) {
        return Status(Kind::kCorrupt, what + " claims an impossible segment size of " +
                                          std::to_string(header->segment_size) + " bytes");
    }
    const std::uint32_t page_size = header->page_size;
    if (page_size < 1024 || page_size > 65536 || (page_size & (page_size - 1)) != 0) {
        return Status(Kind::kCorrupt,
                      what + " claims an impossible page size of " + std::to_string(page_size) + " bytes");
    }
    return *header;
}

Status check_first_page(const PageHeader& header, const std::string& name, std::uint64_t segment_size,
                        std::uint64_t system_identifier) {
    if (system_identifier != 0 && header.system_identifier != system_identifier) {
        return Status(Kind::kConflict,
                      "WAL file " + quoted(name) + " belongs to another cluster (system identifier " +
                          std::to_string(header.system_identifier) + ", this one is " +
                          std::to_string(system_identifier) + ")",
                      "Look for a file copied into pg_wal from another server.");
    }
    if (header.segment_size != segment_size) {
        return Status(Kind::kCorrupt, "WAL file " + quoted(name) + " was written with a segment size of " +
                                          std::to_string(header.segment_size) + " bytes, expected " +
                                          std::to_string(segment_size));
    }
    const auto segment = layout::parse_segment(name, segment_size);
    if (!segment)
        return Status(Kind::kInvalid,
                      quoted(name) + " is no name of a WAL segment of " + std::to_string(segment_size) + " bytes");
    if (header.address != segment->number * segment_size) {
        return Status(Kind::kCorrupt, "WAL file " + quoted(name) + " holds the WAL from " + format_lsn(header.address) +
                                          ", expected " + format_lsn(segment->number * segment_size));
    }
    return {};
}

}  // namespace forge::wal
