// Sentinel, metadata.json and files_metadata.json: what is read and written is read again the same, and user data goes
// through byte for byte.
#include "core/layout/backup_json.h"
#include "core/layout/json_text.h"
#include "test/fuzz/fuzz.h"
#include "test/unit/layout/files_metadata_text.h"

namespace forge::fuzz {

namespace {

template <typename Parse, typename Write>
void read_and_write(std::string_view text, Parse parse, Write write) {
    const auto first = parse(text);
    if (!first.ok()) return require(first.status().is(Kind::kCorrupt), "what cannot be read is damage");
    const std::string written = write(*first);
    const auto second = parse(written);
    require(second.ok(), "what we write can be read");
    require(write(*second) == written, "what we write is read the same");
}

// One by one, the entries are the same as all at once.
void file_entries(const std::string& text) {
    std::map<std::string, layout::FileEntry> found;
    MemorySource source(Bytes(text.begin(), text.end()));
    const Status status =
        layout::each_file_entry(source, [&found](const std::string& name, const layout::FileEntry& entry) {
            found.insert_or_assign(name, entry);
            return Status();
        });
    require(status.ok() || status.is(Kind::kCorrupt), "what cannot be read is damage");
    const auto whole = layout::parse_files_metadata(text);
    if (whole.ok()) require(status.ok() && found == whole->files, "both ways of reading say the same");
}

void user_data(const std::string& text) {
    layout::Sentinel sentinel;
    sentinel.user_data = text;
    const auto read = layout::parse_sentinel(layout::sentinel_json(sentinel));
    require(read.ok(), "a sentinel is readable whatever the user data is");
    const auto metadata = layout::parse_metadata(layout::metadata_json(sentinel));
    require(metadata.ok() && metadata->user_data == read->user_data, "metadata says the same");
    if (layout::is_json(text)) {
        const auto object = layout::JsonValue::parse_object("{\"x\":" + text + "}", "object");
        require(object.ok(), "JSON is JSON inside an object");
    }
}

}  // namespace

void one_input(ByteView data) {
    FuzzedDataProvider input(data.data(), data.size());
    const int what = input.ConsumeIntegralInRange<int>(0, 3);
    const std::string text = input.ConsumeRemainingBytesAsString();
    switch (what) {
        case 0: return read_and_write(text, layout::parse_sentinel, layout::sentinel_json);
        case 1: return read_and_write(text, layout::parse_metadata, layout::metadata_json);
        case 2:
            file_entries(text);
            return read_and_write(text, layout::parse_files_metadata, test::files_metadata_json);
        default: return user_data(text);
    }
}

}  // namespace forge::fuzz
