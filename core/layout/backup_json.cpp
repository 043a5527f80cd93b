#include "core/layout/backup_json.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <streambuf>

#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::layout {

namespace {

constexpr std::size_t kWriteSize = 64 * 1024;
constexpr std::string_view kFilesMetadata = "files metadata";
constexpr std::string_view kDateFormat = "%Y-%m-%dT%H:%M:%S.%fZ";

// Builds one compact object, members in the order of the calls.
class ObjectWriter {
public:
    ObjectWriter& raw(std::string_view name, std::string_view value) {
        text_ += text_.size() == 1 ? "\"" : ",\"";
        text_ += name;
        text_ += "\":";
        text_ += value;
        return *this;
    }
    ObjectWriter& text(std::string_view name, std::string_view value) { return raw(name, json_string(value, true)); }
    ObjectWriter& number(std::string_view name, std::uint64_t value) { return raw(name, std::to_string(value)); }
    ObjectWriter& number_or_null(std::string_view name, std::optional<std::uint64_t> value) {
        return raw(name, value ? std::to_string(*value) : "null");
    }
    ObjectWriter& boolean(std::string_view name, bool value) { return raw(name, value ? "true" : "false"); }
    // Rounded up to the microsecond, as WAL-G does; no time is the year 1.
    ObjectWriter& time(std::string_view name, Instant at) {
        if (at == Instant{}) return raw(name, "\"0001-01-01T00:00:00Z\"");
        Instant rounded = at;  // the last microsecond that a time can have is not rounded
        if (!__builtin_add_overflow(at.nanos, 999, &rounded.nanos)) return text(name, format_rfc3339(rounded, 6));
        return text(name, format_rfc3339(at, 6));
    }
    // User data goes out byte for byte; a text that is no JSON goes out as a string, so that the object stays readable.
    ObjectWriter& user_data(std::string_view name, const std::string& value) {
        if (value.empty()) return *this;
        return raw(name, is_json(value) ? value : json_string(value, true));
    }
    std::string finish() {
        text_ += '}';
        return std::move(text_);
    }

private:
    std::string text_ = "{";
};

// walg-format 2.3; names sorted bytewise.
std::string spec_json(const Sentinel& sentinel) {
    std::map<std::string, std::string> members;
    std::string oids;
    for (const Tablespace& tablespace : sentinel.tablespaces) {
        ObjectWriter one;
        one.text("loc", tablespace.location).text("link", "pg_tblspc/" + tablespace.oid);
        members[tablespace.oid] = one.finish();
        oids += (oids.empty() ? "" : ",") + json_string(tablespace.oid, true);
    }
    members["base_prefix"] = json_string(sentinel.base_prefix, true);
    members["tablespaces"] = "[" + oids + "]";
    ObjectWriter spec;
    for (const auto& [name, value] : members) spec.raw(name, value);
    return spec.finish();
}

Status read_tablespace(const JsonValue& value, Tablespace& tablespace) {
    return value.each_member([&](const JsonValue& member) {
        return to_lower(member.name()) == "loc" ? member.read(tablespace.location) : Status();
    });
}

Status read_spec(const JsonValue& value, Sentinel& sentinel) {
    std::map<std::string, Tablespace> known;
    std::vector<std::string> oids;
    FORGE_TRY(value.each_member([&](const JsonValue& member) -> Status {
        if (member.name() == "base_prefix") return member.read(sentinel.base_prefix);
        if (member.name() == "tablespaces") {
            return member.each_element([&](const JsonValue& element) { return element.read(oids.emplace_back()); });
        }
        Tablespace& tablespace = known[member.name()];
        tablespace.oid = member.name();
        return read_tablespace(member, tablespace);
    }));
    sentinel.tablespaces.clear();
    for (const std::string& oid : oids) {
        const auto found = known.find(oid);
        if (found == known.end() || found->second.location.empty()) {
            return Status(Kind::kCorrupt, "member \"Spec\" has no location for tablespace " + forge::quoted(oid));
        }
        sentinel.tablespaces.push_back(found->second);
    }
    return {};
}

Status read_user_data(const JsonValue& value, Sentinel& sentinel) {
    sentinel.user_data = value.is_null() ? std::string() : std::string(value.text());
    return {};
}

// What the members of an object mean; names in lower case, since WAL-G matches them in any case.
struct Field {
    std::string_view name;
    Status (*read)(const JsonValue& value, Sentinel& sentinel);
};

constexpr std::array kSentinelFields{
    Field{"lsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.start_lsn); }},
    Field{"finishlsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.finish_lsn); }},
    Field{"deltalsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.delta_lsn); }},
    Field{"deltafromlsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.delta_lsn); }},  // very old versions
    Field{"deltafrom", [](const JsonValue& v, Sentinel& s) { return v.read(s.delta_from); }},
    Field{"deltafullname", [](const JsonValue& v, Sentinel& s) { return v.read(s.delta_full_name); }},
    Field{"deltacount", [](const JsonValue& v, Sentinel& s) { return v.read(s.delta_count); }},
    Field{"pgversion", [](const JsonValue& v, Sentinel& s) { return v.read(s.pg_version); }},
    Field{"systemidentifier", [](const JsonValue& v, Sentinel& s) { return v.read(s.system_identifier); }},
    Field{"uncompressedsize", [](const JsonValue& v, Sentinel& s) { return v.read(s.uncompressed_size); }},
    Field{"compressedsize", [](const JsonValue& v, Sentinel& s) { return v.read(s.compressed_size); }},
    Field{"datacatalogsize", [](const JsonValue& v, Sentinel& s) { return v.read(s.data_catalog_size); }},
    Field{"spec", read_spec},
    Field{"userdata", read_user_data},
    Field{"filesmetadatadisabled", [](const JsonValue& v, Sentinel& s) { return v.read(s.files_metadata_disabled); }},
    Field{"version", [](const JsonValue& v, Sentinel& s) { return v.read(s.version); }},
    Field{"starttime", [](const JsonValue& v, Sentinel& s) { return v.read(s.start_time); }},
    Field{"finishtime", [](const JsonValue& v, Sentinel& s) { return v.read(s.finish_time); }},
    Field{"hostname", [](const JsonValue& v, Sentinel& s) { return v.read(s.hostname); }},
    Field{"datadir", [](const JsonValue& v, Sentinel& s) { return v.read(s.data_dir); }},
    Field{"ispermanent", [](const JsonValue& v, Sentinel& s) { return v.read(s.is_permanent); }},
    Field{"forgemanifest", [](const JsonValue& v, Sentinel& s) { return v.read(s.manifest); }},
    Field{"forgefinishtimeline", [](const JsonValue& v, Sentinel& s) { return v.read(s.finish_timeline); }},
};

constexpr std::array kMetadataFields{
    Field{"start_time", [](const JsonValue& v, Sentinel& s) { return v.read(s.start_time); }},
    Field{"finish_time", [](const JsonValue& v, Sentinel& s) { return v.read(s.finish_time); }},
    Field{"hostname", [](const JsonValue& v, Sentinel& s) { return v.read(s.hostname); }},
    Field{"data_dir", [](const JsonValue& v, Sentinel& s) { return v.read(s.data_dir); }},
    Field{"pg_version", [](const JsonValue& v, Sentinel& s) { return v.read(s.pg_version); }},
    Field{"start_lsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.start_lsn); }},
    Field{"finish_lsn", [](const JsonValue& v, Sentinel& s) { return v.read(s.finish_lsn); }},
    Field{"is_permanent", [](const JsonValue& v, Sentinel& s) { return v.read(s.is_permanent); }},
    Field{"system_identifier", [](const JsonValue& v, Sentinel& s) { return v.read(s.system_identifier); }},
    Field{"uncompressed_size", [](const JsonValue& v, Sentinel& s) { return v.read(s.uncompressed_size); }},
    Field{"compressed_size", [](const JsonValue& v, Sentinel& s) { return v.read(s.compressed_size); }},
    Field{"user_data", read_user_data},
};

template <std::size_t N>
Status read_fields(const std::array<Field, N>& fields, const JsonValue& object, Sentinel& sentinel) {
    return object.each_member([&](const JsonValue& member) {
        const std::string name = to_lower(member.name());
        for (const Field& field : fields) {
            if (field.name == name) return field.read(member, sentinel);
        }
        return Status();
    });
}

std::string file_entry_json(const FileEntry& entry) {
    ObjectWriter writer;
    writer.boolean("IsIncremented", entry.is_incremented).boolean("IsSkipped", entry.is_skipped);
    writer.raw("MTime", json_string(format_rfc3339(entry.mtime, 9), false));
    if (entry.corrupt_count > 0) {
        std::string blocks;
        for (const std::uint32_t block : entry.corrupt_blocks) {
            blocks += (blocks.empty() ? "" : ",") + std::to_string(block);
        }
        ObjectWriter corrupt;
        corrupt.number("CorruptBlocksCount", entry.corrupt_count).raw("SomeCorruptBlocks", "[" + blocks + "]");
        writer.raw("CorruptBlocks", corrupt.finish());
    }
    return writer.number("UpdatesCount", 0).finish();
}

Status read_corrupt_blocks(const JsonValue& value, FileEntry& entry) {
    return value.each_member([&](const JsonValue& member) -> Status {
        const std::string name = to_lower(member.name());
        if (name == "corruptblockscount") return member.read(entry.corrupt_count);
        if (name == "somecorruptblocks") {
            return member.each_element(
                [&](const JsonValue& block) { return block.read(entry.corrupt_blocks.emplace_back()); });
        }
        return {};
    });
}

Status read_file_entry(const JsonValue& value, FileEntry& entry) {
    return value.each_member([&](const JsonValue& member) -> Status {
        const std::string name = to_lower(member.name());
        if (name == "isincremented") return member.read(entry.is_incremented);
        if (name == "isskipped") return member.read(entry.is_skipped);
        if (name == "mtime") return member.read(entry.mtime);
        if (name == "corruptblocks") return read_corrupt_blocks(member, entry);
        return {};
    });
}

using VisitFile = std::function<Status(const std::string&, const FileEntry&)>;

Status visit_file(const JsonValue& file, const VisitFile& visit) {
    FileEntry entry;
    FORGE_TRY(read_file_entry(file, entry).with_context("file " + forge::quoted(file.name())));
    return visit(file.name(), entry);
}

Status read_files(const JsonValue& value, const VisitFile& visit) {
    return value.each_member([&](const JsonValue& file) { return visit_file(file, visit); });
}

// A source as the JSON library reads. What goes wrong ends the text.
class SourceBuffer final : public std::streambuf {
public:
    explicit SourceBuffer(Source& source) : source_(source) {}
    const Status& status() const { return status_; }

private:
    int_type underflow() override {
        if (!status_.ok()) return traits_type::eof();
        const auto size = source_.read({reinterpret_cast<std::uint8_t*>(block_.data()), block_.size()});
        if (!size.ok()) status_ = size.status();
        if (!size.ok() || *size == 0) return traits_type::eof();
        setg(block_.data(), block_.data(), block_.data() + *size);
        return traits_type::to_int_type(block_.front());
    }

    Source& source_;
    std::array<char, 64 * 1024> block_;
    Status status_;
};

// Hands the entries of "Files" over as the library comes upon them; everything is dropped on the way.
class FileEntryFilter {
public:
    explicit FileEntryFilter(const VisitFile& visit) : visit_(visit) {}
    const Status& status() const { return status_; }

    bool operator()(int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
        using Event = nlohmann::json::parse_event_t;
        if (depth == 0) return true;
        if (event == Event::key && depth == 1) return in_files_ = to_lower(value.get_ref<std::string&>()) == "files";
        if (!in_files_) return false;
        if (depth == 1 && event != Event::object_start && event != Event::object_end && !value.is_null())
            status_ = Status(Kind::kCorrupt, "member \"Files\" is not an object");
        if (event == Event::key && depth == 2) name_ = value.get_ref<std::string&>();
        const bool is_entry = event == Event::object_end || event == Event::array_end || event == Event::value;
        if (depth != 2 || !is_entry) return true;
        const std::string text = value.dump();
        if (status_.ok()) status_ = visit_file(JsonValue(name_, text), visit_);
        return false;
    }

private:
    const VisitFile& visit_;
    Status status_;
    std::string name_;
    bool in_files_ = false;
};

Status read_tar_file_sets(const JsonValue& value, FilesMetadata& metadata) {
    return value.each_member([&](const JsonValue& part) {
        auto& names = metadata.tar_file_sets.emplace_back(part.name(), std::vector<std::string>()).second;
        return part.each_element([&](const JsonValue& name) { return name.read(names.emplace_back()); });
    });
}

}  // namespace

std::string sentinel_json(const Sentinel& s) {
    ObjectWriter writer;
    writer.number_or_null("LSN", s.start_lsn);
    if (s.is_delta()) {
        writer.number_or_null("DeltaLSN", s.delta_lsn).text("DeltaFrom", s.delta_from);
        writer.text("DeltaFullName", s.delta_full_name).raw("DeltaCount", std::to_string(s.delta_count));
    }
    writer.raw("PgVersion", std::to_string(s.pg_version)).number_or_null("FinishLSN", s.finish_lsn);
    if (s.system_identifier != 0) writer.number("SystemIdentifier", s.system_identifier);
    writer.number("UncompressedSize", s.uncompressed_size).number("CompressedSize", s.compressed_size);
    if (s.data_catalog_size != 0) writer.number("DataCatalogSize", s.data_catalog_size);
    if (!s.tablespaces.empty()) writer.raw("Spec", spec_json(s));
    writer.user_data("UserData", s.user_data);
    if (s.files_metadata_disabled) writer.boolean("FilesMetadataDisabled", true);
    writer.raw("ChkpNum", "null").raw("Version", std::to_string(s.version));
    writer.time("StartTime", s.start_time).time("FinishTime", s.finish_time).text("DateFmt", kDateFormat);
    writer.text("Hostname", s.hostname).text("DataDir", s.data_dir).boolean("IsPermanent", s.is_permanent);
    if (!s.manifest.empty()) writer.text("ForgeManifest", s.manifest);
    if (s.finish_timeline != 0) writer.number("ForgeFinishTimeline", s.finish_timeline);
    return writer.finish();
}

Result<Sentinel> parse_sentinel(std::string_view json) {
    FORGE_ASSIGN(const JsonValue object, JsonValue::parse_object(json, "sentinel"));
    Sentinel sentinel;
    sentinel.version = 0;  // what is not said is not known
    FORGE_TRY(read_fields(kSentinelFields, object, sentinel));
    return sentinel;
}

std::string metadata_json(const Sentinel& s) {
    ObjectWriter writer;
    writer.time("start_time", s.start_time).time("finish_time", s.finish_time).text("date_fmt", kDateFormat);
    writer.text("hostname", s.hostname).text("data_dir", s.data_dir);
    writer.raw("pg_version", std::to_string(s.pg_version));
    writer.number("start_lsn", s.start_lsn.value_or(0)).number("finish_lsn", s.finish_lsn.value_or(0));
    writer.boolean("is_permanent", s.is_permanent);
    writer.number_or_null("system_identifier",
                          s.system_identifier != 0 ? std::optional(s.system_identifier) : std::nullopt);
    writer.number("uncompressed_size", s.uncompressed_size).number("compressed_size", s.compressed_size);
    return writer.user_data("user_data", s.user_data).finish();
}

Result<Sentinel> parse_metadata(std::string_view json) {
    Sentinel sentinel;
    FORGE_TRY(apply_metadata(json, sentinel));
    return sentinel;
}

Status apply_metadata(std::string_view json, Sentinel& sentinel) {
    FORGE_ASSIGN(const JsonValue object, JsonValue::parse_object(json, "metadata"));
    Sentinel said;
    said.is_permanent = sentinel.is_permanent;
    FORGE_TRY(read_fields(kMetadataFields, object, said));
    const auto fill = [](auto& open, const auto& value) {
        if (open == std::remove_cvref_t<decltype(open)>{}) open = value;
    };
    sentinel.is_permanent = said.is_permanent;
    fill(sentinel.start_time, said.start_time);
    fill(sentinel.finish_time, said.finish_time);
    fill(sentinel.hostname, said.hostname);
    fill(sentinel.data_dir, said.data_dir);
    fill(sentinel.pg_version, said.pg_version);
    fill(sentinel.start_lsn, said.start_lsn);
    fill(sentinel.finish_lsn, said.finish_lsn);
    fill(sentinel.system_identifier, said.system_identifier);
    fill(sentinel.uncompressed_size, said.uncompressed_size);
    fill(sentinel.compressed_size, said.compressed_size);
    fill(sentinel.user_data, said.user_data);
    return {};
}

Status FilesMetadataWriter::add_file(std::string_view name, const FileEntry& entry) {
    text_ += at_ == At::kBegin ? "\"Files\":{" : ",";
    at_ = At::kFiles;
    text_.append(json_string(name, false)).append(":").append(file_entry_json(entry));
    return flush(kWriteSize);
}

Status FilesMetadataWriter::add_part(std::string_view name) {
    if (at_ == At::kPart || at_ == At::kMembers) {
        text_ += "],";
    } else {
        end_section();
        text_ += "\"TarFileSets\":{";
    }
    at_ = At::kPart;
    text_.append(json_string(name, false)).append(":[");
    return {};
}

Status FilesMetadataWriter::add_member(std::string_view name) {
    if (at_ == At::kMembers) text_ += ',';
    at_ = At::kMembers;
    text_ += json_string(name, false);
    return flush(kWriteSize);
}

// Before the next member of the document.
void FilesMetadataWriter::end_section() {
    if (at_ == At::kFiles) text_ += "},";
    if (at_ == At::kPart || at_ == At::kMembers) text_ += "]},";
}

Status FilesMetadataWriter::finish(std::string_view databases_by_names) {
    if (!databases_by_names.empty()) {
        end_section();
        text_.append("\"DatabasesByNames\":").append(databases_by_names);
    } else if (at_ != At::kBegin) {
        text_ += at_ == At::kFiles ? "}" : "]}";
    }
    text_ += '}';
    return flush(0);
}

Status FilesMetadataWriter::flush(std::size_t from) {
    if (text_.size() < from) return {};
    FORGE_TRY(sink_.write(as_bytes(text_)));
    text_.clear();
    return {};
}

Result<FilesMetadata> parse_files_metadata(std::string_view json) {
    FORGE_ASSIGN(const JsonValue object, JsonValue::parse_object(json, kFilesMetadata));
    FilesMetadata metadata;
    const VisitFile add = [&](const std::string& name, const FileEntry& entry) {
        metadata.files.insert_or_assign(name, entry);
        return Status();
    };
    FORGE_TRY(object.each_member([&](const JsonValue& member) -> Status {
        const std::string name = to_lower(member.name());
        if (name == "files") return read_files(member, add);
        if (name == "tarfilesets") return read_tar_file_sets(member, metadata);
        if (name == "databasesbynames" && !member.is_null()) metadata.databases_by_names = member.text();
        return {};
    }));
    return metadata;
}

Status each_file_entry(Source& source, const VisitFile& visit) {
    SourceBuffer buffer(source);
    std::istream text(&buffer);
    FileEntryFilter filter(visit);
    const auto document = nlohmann::json::parse(text, std::ref(filter), false);
    FORGE_TRY(buffer.status());
    if (document.is_discarded()) return Status(Kind::kCorrupt, std::string(kFilesMetadata) + " is not valid JSON");
    if (!document.is_object()) return Status(Kind::kCorrupt, std::string(kFilesMetadata) + " is not a JSON object");
    return filter.status();
}

}  // namespace forge::layout
