#include "core/repository/restore_points.h"

#include <nlohmann/json.hpp>

#include "core/base/text.h"
#include "core/crypto/secretstream.h"
#include "core/layout/json_text.h"

namespace forge::repository {

namespace {

using layout::JsonValue;

constexpr int kFormat = 1;
constexpr std::size_t kLargestObject = 16 << 20;

// A name that is no UTF-8 goes by its bytes.
std::string name_member(const std::string& name) {
    if (!layout::is_utf8(name)) return "\"name_hex\":\"" + to_hex(as_bytes(name)) + "\"";
    return "\"name\":" + nlohmann::json(name).dump(-1, ' ', true);
}

Status read_hex(const JsonValue& member, std::string& target) {
    std::string text;
    FORGE_TRY(member.read(text));
    const auto bytes = from_hex(text);
    if (!bytes) return Status(Kind::kCorrupt, "member " + quoted(member.name()) + " is not in hex digits");
    target = as_text(*bytes);
    return {};
}

Result<RestorePoint> read_point(const JsonValue& element, const std::string& segment) {
    RestorePoint point;
    point.segment = segment;
    std::string lsn;
    FORGE_TRY(element.each_member([&](const JsonValue& member) -> Status {
        if (member.name() == "name") return member.read(point.name);
        if (member.name() == "name_hex") return read_hex(member, point.name);
        if (member.name() == "lsn") return member.read(lsn);
        if (member.name() == "time") return member.read(point.time);
        return {};
    }));
    const auto position = parse_lsn(lsn);
    if (!position || point.name.empty() || point.name.find('\0') != std::string::npos)
        return Status(Kind::kCorrupt, "a restore point lacks its name or its place");
    point.lsn = *position;
    return point;
}

Status check_format(int format) {
    if (format < 1) return Status(Kind::kCorrupt, "its format is not said");
    if (format > kFormat)
        return Status(Kind::kInvalid, "it has format " + std::to_string(format) + ", this version knows up to " +
                                          std::to_string(kFormat));
    return {};
}

}  // namespace

Timeline RestorePoint::timeline() const {
    return parse_number<Timeline>(std::string_view(segment).substr(0, 8), 16).value_or(0);
}

std::string restore_points_json(const RestorePoints& points) {
    std::string list;
    for (const RestorePoint& point : points.points)
        list += (list.empty() ? "{" : ",\n{") + name_member(point.name) + ",\"lsn\":\"" + format_lsn(point.lsn) +
                "\",\"time\":\"" + format_rfc3339(point.time) + "\"}";
    return "{\"format\":" + std::to_string(kFormat) + ",\"segment\":\"" + points.segment +
           "\",\"left_out\":" + std::to_string(points.left_out) + ",\"restore_points\":[" + list + "]}\n";
}

Result<RestorePoints> parse_restore_points(std::string_view json, const std::string& segment) {
    const std::string what = "object " + quoted(layout::restore_points_key(segment));
    FORGE_ASSIGN(const JsonValue object, JsonValue::parse_object(json, what));
    int format = 0;
    RestorePoints points;
    Status read = object.each_member([&](const JsonValue& member) -> Status {
        if (member.name() == "format") return member.read(format);
        if (member.name() == "segment") return member.read(points.segment);
        if (member.name() == "left_out") return member.read(points.left_out);
        if (member.name() != "restore_points") return {};
        return member.each_element([&](const JsonValue& element) -> Status {
            FORGE_ASSIGN(RestorePoint point, read_point(element, segment));
            points.points.push_back(std::move(point));
            return {};
        });
    });
    // What a later version wrote may well look wrong to this one.
    if (const Status known = check_format(format); read.ok() || known.is(Kind::kInvalid)) read = known;
    if (read.ok() && points.segment != segment)
        read = Status(Kind::kCorrupt, "it is that of segment " + quoted(points.segment));
    if (!read.ok()) return std::move(read).with_context(what);
    return points;
}

Status store_restore_points(Repository& repository, const RestorePoints& points, const store::CallContext& context) {
    if (points.points.empty()) return {};
    MemorySink memory;
    std::unique_ptr<Sink> sink = std::make_unique<ForwardSink>(memory);
    if (const crypto::KeyRing& keys = repository.settings().keys; !keys.empty())
        sink = crypto::encryptor(keys.active(), std::move(sink));
    FORGE_TRY(sink->write(as_bytes(restore_points_json(points))));
    FORGE_TRY(sink->finish());
    return repository.store()
        .put_if_absent(layout::restore_points_key(points.segment), memory.bytes(), context)
        .status();
}

Result<RestorePoints> read_restore_points(Repository& repository, const std::string& segment,
                                          const store::CallContext& context) {
    FORGE_ASSIGN(const std::unique_ptr<Source> source,
                 repository.open_object(layout::restore_points_key(segment), codec::Method::kNone, context));
    FORGE_ASSIGN(const std::string json, read_all_text(*source, kLargestObject));
    return parse_restore_points(json, segment);
}

}  // namespace forge::repository
