// Names of objects: what a parser accepts is what the writer of that name makes, and nothing else.
#include "core/backup/manifest.h"
#include "core/layout/names.h"
#include "test/fuzz/fuzz.h"

namespace forge::fuzz {

namespace {

void segments(std::string_view text, unsigned size_log) {
    const std::uint64_t size = 1ULL << size_log;
    const auto segment = layout::parse_segment(text, size);
    require(!segment || layout::segment_name(*segment, size) == text, "a segment's name is read and written alike");
    require(!segment || layout::is_valid_segment_size(size), "only sizes that the server has are read");
}

void wal_files(std::string_view text) {
    const auto object = layout::parse_wal_key(text);
    if (!object) return;
    require(layout::wal_key(object->name, object->method) == text, "a WAL object's key is read and written alike");
    require(layout::classify_wal_name(object->name) == object->kind, "a WAL object is of the kind of its file");
}

void backups(std::string_view text) {
    const std::string start = layout::backup_start_segment(text);
    require(layout::is_backup_name(text) != start.empty(), "a backup's name begins with a segment");
    require(start.empty() || text.starts_with(layout::full_backup_name(start)), "the start segment is in the name");
    const auto backup = layout::backup_of_sentinel(text);
    require(!backup || layout::sentinel_key(*backup) == text, "a sentinel's key is read and written alike");
}

void parts(std::string_view text) {
    if (const auto method = layout::part_method(text))
        require(layout::part_method(std::string(text.substr(0, text.rfind('.'))) + ".tar").has_value(),
                "a tar without compression is always readable");
    require(!(layout::is_pg_control_part(text) && layout::part_method(text).has_value() && text.empty()),
            "no name is no part");
    if (const auto method = backup::manifest_method(text))
        require(backup::manifest_file_name(*method) == text, "a manifest's name is read and written alike");
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const auto size_log = input.ConsumeIntegralInRange<unsigned>(16, 34);
    const std::string text = input.ConsumeRemainingBytesAsString();
    segments(text, size_log);
    wal_files(text);
    backups(text);
    parts(text);
    const auto lsn = parse_lsn(text);
    require(!lsn || parse_lsn(format_lsn(*lsn)) == lsn, "an LSN is read as it is written");
}

}  // namespace forge::fuzz
