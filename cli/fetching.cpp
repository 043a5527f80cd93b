#include "cli/fetching.h"

#include <nlohmann/json.hpp>

#include "cli/progress_line.h"
#include "core/base/text.h"

namespace forge::cli {

Status fetch_with_progress(const CommandLine& line, Session& session, repository::Repository& repository,
                           const repository::BackupEntry& backup, const restore::FetchOptions& options) {
    restore::FetchProgress progress;
    const Steady::time_point started = Steady::now();
    Status result;
    {
        ProgressLine shown(line.global(), session.log(), [&progress] {
            return ProgressSample{"fetching", progress.bytes_done.load(), progress.bytes_total.load()};
        });
        result = restore::fetch_backup(repository, backup, options, progress, session.cancel(), session.log());
    }
    if (!result.ok()) return result;
    const double span = std::chrono::duration<double>(Steady::now() - started).count();
    const std::uint64_t bytes = progress.bytes_done;
    session.log().log(LogLevel::kNotice,
                      "fetched " + std::to_string(progress.files_done.load()) + " files, " + format_size(bytes) +
                          ", in " + format_duration(span) + " (" +
                          format_size(static_cast<std::uint64_t>(static_cast<double>(bytes) / std::max(span, 0.001))) +
                          "/s)");
    return {};
}

Result<std::map<std::string, std::string>> read_restore_spec(const std::string& path) {
    FORGE_ASSIGN(const std::string text, read_file(path, 1U << 20));
    const auto spec = nlohmann::json::parse(text, nullptr, false);
    const Status wrong(Kind::kInvalid, "file " + forge::quoted(path) + " is no restore specification",
                       "It looks like {\"tablespaces\": [\"16384\"], \"16384\": {\"loc\": \"/new/directory\"}}.");
    if (!spec.is_object()) return wrong;
    std::map<std::string, std::string> mapping;
    for (const auto& [oid, entry] : spec.items()) {
        if (oid.find_first_not_of("0123456789") != std::string::npos) continue;
        if (!entry.is_object() || !entry.contains("loc") || !entry["loc"].is_string()) return wrong;
        mapping[oid] = entry["loc"].get<std::string>();
    }
    return mapping;
}

Result<std::map<std::string, std::string>> parse_tablespace_mapping(const std::vector<std::string>& words) {
    std::map<std::string, std::string> mapping;
    for (const std::string& word : words) {
        std::string from;
        std::string to;
        bool after = false;
        for (std::size_t i = 0; i < word.size(); ++i) {
            if (word[i] == '\\' && i + 1 < word.size() && word[i + 1] == '=')
                (after ? to : from) += word[++i];
            else if (word[i] == '=' && !after)
                after = true;
            else
                (after ? to : from) += word[i];
        }
        if (from.empty() || to.empty())
            return Status(Kind::kInvalid, "invalid tablespace mapping " + forge::quoted(word),
                          "Use OID=NEWDIR or OLDDIR=NEWDIR.");
        mapping[from] = absolute_path(to);
    }
    return mapping;
}

}  // namespace forge::cli
