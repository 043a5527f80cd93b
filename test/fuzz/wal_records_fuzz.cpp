// WAL segments: records of our own making are all found, with damage only those before it; foreign pages never do worse
// than end the segment.
// fuzz: -malloc_limit_mb=64
#include "core/base/crc32c.h"
#include "core/wal/record_reader.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

constexpr std::uint64_t kSegmentSize = 1 << 20, kSegment = 7;
constexpr std::size_t kPage = 1024;
constexpr Lsn kBegin = kSegment * kSegmentSize;

// Gives `start`, then zeroes up to the size of a segment, as the rest of one that is not full.
class SegmentSource final : public Source {
public:
    explicit SegmentSource(ByteView start) : start_(start) {}
    Result<std::size_t> read(MutableBytes buffer) override {
        const std::size_t size = std::min<std::size_t>(buffer.size(), kSegmentSize - at_);
        for (std::size_t i = 0; i < size; ++i, ++at_) buffer[i] = at_ < start_.size() ? start_[at_] : 0;
        return size;
    }

private:
    ByteView start_;
    std::size_t at_ = 0;
};

struct Walk {
    std::vector<std::pair<Lsn, Lsn>> records;
    std::size_t events = 0;
    Status status;
};

Walk walk(ByteView start) {
    Walk result;
    wal::RecordReader reader([&](const wal::WalEvent& event) {
        ++result.events;
        require(event.lsn < event.end_lsn, "an event ends after it begins");
        return true;
    });
    reader.on_record([&](Lsn from, Lsn to) {
        result.records.emplace_back(from, to);
        return true;
    });
    SegmentSource source(start);
    result.status = reader.feed(source, kSegment, kSegmentSize);
    Lsn last = kBegin;
    for (const auto& [from, to] : result.records) {
        require(from >= last && to > from && to <= kBegin + kSegmentSize, "records follow each other in the segment");
        last = to;
    }
    require(result.records.empty() || reader.end_lsn() == last, "the end is that of the last record");
    require(result.events <= result.records.size(), "every event is a record");
    return result;
}

void add_page_header(Bytes& wal, std::size_t remaining) {
    const bool first = wal.empty();
    Bytes header(first ? 40 : 24);
    store_le<std::uint16_t>(&header[0], 0xD110);
    store_le<std::uint16_t>(&header[2], static_cast<std::uint16_t>((first ? 2 : 0) | (remaining > 0 ? 1 : 0)));
    store_le<std::uint32_t>(&header[4], 1);
    store_le<std::uint64_t>(&header[8], kBegin + wal.size());
    store_le<std::uint32_t>(&header[16], static_cast<std::uint32_t>(remaining));
    if (first) {
        store_le<std::uint32_t>(&header[32], kSegmentSize);
        store_le<std::uint32_t>(&header[36], kPage);
    }
    wal.insert(wal.end(), header.begin(), header.end());
}

// Whole pages with records of any kind, each with a right checksum.
Bytes make_wal(FuzzedDataProvider& input, std::vector<std::pair<Lsn, Lsn>>& records) {
    Bytes wal;
    while (input.remaining_bytes() > 0 && wal.size() < kSegmentSize / 4) {
        const auto size = input.ConsumeIntegralInRange<std::size_t>(0, 3000);
        Bytes body = input.ConsumeBytes<std::uint8_t>(std::min<std::size_t>(size, 200));
        body.resize(size);
        // The header of main data without which no record is an event.
        if (size >= 2 && size < 258 && input.ConsumeBool()) {
            body[0] = 255;
            body[1] = static_cast<std::uint8_t>(size - 2);
        }
        Bytes record(24);
        store_le(&record[0], static_cast<std::uint32_t>(24 + size));
        record[16] = input.ConsumeIntegral<std::uint8_t>();
        record[17] = input.ConsumeIntegralInRange<std::uint8_t>(0, 2);
        // A switch ends the segment for the reader.
        if (record[17] == 0 && (record[16] & 0xF0) == 0x40) record[16] = 0;
        store_le(&record[20], crc32c(ByteView(record).first(20), crc32c(body)));
        record.insert(record.end(), body.begin(), body.end());
        if (wal.size() % kPage == 0) add_page_header(wal, 0);
        const Lsn from = kBegin + wal.size();
        for (std::size_t at = 0; at < record.size();) {
            if (wal.size() % kPage == 0) add_page_header(wal, record.size() - at);
            const std::size_t piece = std::min(record.size() - at, kPage - wal.size() % kPage);
            wal.insert(wal.end(), record.begin() + static_cast<std::ptrdiff_t>(at),
                       record.begin() + static_cast<std::ptrdiff_t>(at + piece));
            at += piece;
        }
        wal.resize((wal.size() + 7) / 8 * 8);
        records.emplace_back(from, kBegin + wal.size());
    }
    return wal;
}

void own_records(FuzzedDataProvider& input) {
    const auto place = input.ConsumeIntegral<std::uint32_t>();
    std::vector<std::pair<Lsn, Lsn>> records;
    Bytes wal = make_wal(input, records);
    if (wal.empty()) return;
    const Walk whole = walk(wal);
    require(whole.status.ok() && whole.records == records, "every record is found");
    const std::size_t at = (place & 0xFFFFFF) % wal.size();
    wal[at] ^= static_cast<std::uint8_t>(1U << (place >> 24) % 8);
    const Walk damaged = walk(wal);
    require(damaged.records.size() <= records.size() &&
                std::equal(damaged.records.begin(), damaged.records.end(), records.begin()),
            "damage yields no record that was not written");
    std::size_t before = 0;
    while (before < records.size() && records[before].second <= kBegin + at / kPage * kPage) ++before;
    require(!damaged.status.ok() || damaged.records.size() >= before, "damage takes no record of an earlier page");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    if (input.ConsumeBool()) return own_records(input);
    Bytes pages = rest_of(input);
    // The first page as the file's name demands it: otherwise nothing is ever read behind it.
    if (pages.size() >= 40) {
        store_le<std::uint64_t>(&pages[8], kBegin);
        store_le<std::uint32_t>(&pages[32], kSegmentSize);
    }
    const Walk foreign = walk(pages);
    require(foreign.status.ok() || foreign.status.is(Kind::kCorrupt), "what is no WAL is damage");
    const auto header = wal::parse_first_page(pages, "WAL file");
    if (header.ok()) static_cast<void>(wal::check_first_page(*header, "000000010000000000000007", kSegmentSize, 1));
}

}  // namespace forge::fuzz
