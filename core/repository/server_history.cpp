#include "core/repository/server_history.h"

#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::repository {

namespace {

constexpr std::size_t kLongestHistory = 1 << 20;

}  // namespace

Result<std::vector<layout::HistoryEntry>> read_history(Repository& repository, const std::string& data_directory,
                                                       Timeline timeline, const store::CallContext& context) {
    const std::string name = layout::history_name(timeline);
    auto text = read_file(join_path(data_directory, "pg_wal/" + name), kLongestHistory);
    if (!text.ok()) text = repository.read_wal_text(name, context);
    auto entries = text.ok() ? layout::parse_history(*text) : Result<std::vector<layout::HistoryEntry>>(text.status());
    if (!entries.ok()) return entries.status().with_context("timeline history " + quoted(name));
    return entries;
}

}  // namespace forge::repository
