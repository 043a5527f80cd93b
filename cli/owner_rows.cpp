#include "cli/owner_rows.h"

namespace forge::cli {

namespace {

std::optional<std::string> text_or_null(const std::string& text) {
    return text.empty() ? std::optional<std::string>() : text;
}

}  // namespace

Row owner_row(const std::string& when, const repository::OwnerRecord& record) {
    const bool has_time = record.created_at != Instant{};
    return {when,
            std::to_string(record.cluster.system_identifier),
            text_or_null(record.cluster.cluster_name),
            text_or_null(record.cluster.name_space),
            record.id,
            text_or_null(record.created_by),
            text_or_null(has_time ? format_postgres(record.created_at) : std::string())};
}

}  // namespace forge::cli
