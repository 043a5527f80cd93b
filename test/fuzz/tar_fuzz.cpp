// Parts of a backup: a tar stream yields no more than it holds, a cut yields only members that were whole, and nothing
// behind the end is passed over.
// fuzz: -max_len=16384 -malloc_limit_mb=64
#include "core/restore/fetch_tar.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

constexpr std::size_t kBlock = 512;

struct Member {
    restore::TarEntry entry;
    Bytes content;
    bool operator==(const Member& other) const {
        return entry.type == other.entry.type && entry.name == other.entry.name && entry.target == other.entry.target &&
               entry.size == other.entry.size && entry.mode == other.entry.mode && content == other.content;
    }
};
struct Archive {
    std::vector<Member> members;  // those that were read to their end
    bool good = false;
};

// Headers whose checksum is wrong are noise to the library: most changes would end there.
Bytes with_checksums(Bytes data) {
    for (std::size_t at = 0; at + kBlock <= data.size(); at += kBlock) {
        std::uint8_t* header = &data[at];
        if (as_text(ByteView(header, kBlock)).substr(257, 5) != "ustar") continue;
        std::fill_n(header + 148, 8, std::uint8_t{' '});
        unsigned sum = 0;
        for (std::size_t i = 0; i < kBlock; ++i) sum += header[i];
        std::snprintf(reinterpret_cast<char*>(header + 148), 7, "%06o", sum);
    }
    return data;
}

bool read_content(restore::TarReader& reader, std::size_t limit, Bytes& content) {
    Bytes buffer(4096);
    for (;;) {
        const auto size = reader.read(buffer);
        if (!size.ok()) return false;
        if (*size == 0) return true;
        content.insert(content.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*size));
        require(content.size() <= limit, "a member has no more content than the archive has bytes");
    }
}

Archive read_archive(ByteView data, std::size_t piece) {
    Archive archive;
    auto reader = restore::TarReader::open(std::make_unique<PieceSource>(data, piece));
    if (!reader.ok()) return archive;
    for (;;) {
        Member member;
        const auto more = (*reader)->next(member.entry);
        if (!more.ok()) return archive;
        if (!*more) break;
        require(!member.entry.name.empty(), "a member has a name");
        if (!read_content(**reader, data.size(), member.content)) return archive;
        require(member.entry.type != restore::TarEntry::Type::kFile || member.content.size() == member.entry.size,
                "a file has the size its header says");
        archive.members.push_back(std::move(member));
    }
    archive.good = (*reader)->finish().ok();
    return archive;
}

bool is_beginning(const Archive& part, const Archive& whole) {
    return part.members.size() <= whole.members.size() &&
           std::equal(part.members.begin(), part.members.end(), whole.members.begin());
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const auto piece = static_cast<std::size_t>(input.PickValueInArray({1, 100, 512, 10240, 65536}));
    const auto place = input.ConsumeIntegral<std::uint16_t>();
    const bool repair = input.ConsumeBool();
    Bytes bytes = rest_of(input);
    if (repair) bytes = with_checksums(std::move(bytes));

    const Archive whole = read_archive(bytes, 65536);
    const Archive pieces = read_archive(bytes, piece);
    // They may decide how soon a member that claims more than it has is refused, not whether it is.
    require(pieces.good == whole.good, "the size of pieces does not decide whether an archive is good");
    require(!whole.good || pieces.members == whole.members, "the size of pieces does not change the content");
    const Archive cut = read_archive(ByteView(bytes).first(place % (bytes.size() + 1)), 65536);
    require(is_beginning(cut, whole), "a cut yields only members that are there");
    if (!whole.good) return;
    Bytes longer = bytes;
    longer.resize(longer.size() + kBlock);
    longer.resize(longer.size() + kBlock, 'x');
    require(!read_archive(longer, 65536).good, "nothing behind the end is passed over");
}

}  // namespace forge::fuzz
