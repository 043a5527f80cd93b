// forge-backup verify [NAME|LATEST]: reads everything a backup and its WAL consist of, and says what is wrong with it.
#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/common.h"
#include "cli/exit_codes.h"
#include "cli/progress_line.h"
#include "cli/table.h"
#include "core/base/text.h"
#include "core/restore/verify.h"

namespace forge::cli {

namespace {

using restore::VerifyFinding;

struct Choice {
    std::string name = std::string(repository::kLatest);
    bool all = false;
    bool json = false;
    bool verbose = false;
    restore::VerifyOptions options;
};
struct Outcome {
    std::vector<VerifyFinding> findings;
    restore::VerifyProgress progress;
    double seconds = 0;
    std::uint64_t problems() const {
        return static_cast<std::uint64_t>(std::count_if(findings.begin(), findings.end(), [](const auto& finding) {
            return finding.level != VerifyFinding::Level::kOk;
        }));
    }
};

std::string_view level_text(VerifyFinding::Level level) {
    constexpr std::array<std::string_view, 3> kTexts{"ok", "warning", "error"};
    return kTexts.at(static_cast<std::size_t>(level));
}

Result<std::vector<repository::BackupEntry>> choose_backups(const Choice& choice, repository::Repository& repository,
                                                            const store::CallContext& context) {
    if (!choice.all) {
        FORGE_ASSIGN(auto backup, repository.find_backup(choice.name, context));
        return std::vector{std::move(backup)};
    }
    FORGE_ASSIGN(auto backups, repository.list_backups(context));
    if (backups.empty())
        return Status(Kind::kInvalid, "there is no backup in " + repository.store().url(),
                      "There is nothing to verify; make a backup first.");
    return backups;
}

Status verify_with_progress(const Choice& choice, const CommandLine& line, Session& session,
                            repository::Repository& repository, Outcome& outcome) {
    FORGE_ASSIGN(const auto backups, choose_backups(choice, repository, session.context()));
    const Steady::time_point started = Steady::now();
    ProgressLine shown(line.global(), session.log(), [&outcome] {
        return ProgressSample{"verifying", outcome.progress.bytes_done.load(), outcome.progress.bytes_total.load()};
    });
    const Status result = restore::verify_backups(
        repository, backups, choice.options,
        [&outcome](const VerifyFinding& finding) { outcome.findings.push_back(finding); }, outcome.progress,
        session.cancel(), session.log());
    outcome.seconds = std::chrono::duration<double>(Steady::now() - started).count();
    // Workers report in the order in which they are ready.
    std::stable_sort(outcome.findings.begin(), outcome.findings.end(),
                     [](const auto& a, const auto& b) { return a.object < b.object; });
    return result;
}

std::string summary(const Outcome& outcome, bool finished) {
    const std::uint64_t objects = outcome.progress.objects_done;
    std::string text = "verified " + std::to_string(objects) + (objects == 1 ? " object, " : " objects, ") +
                       format_size(outcome.progress.bytes_done) + ", in " + format_duration(outcome.seconds) + ": ";
    const std::uint64_t problems = outcome.problems();
    text += problems == 0 ? "no problem found"
                          : std::to_string(problems) + (problems == 1 ? " problem found" : " problems found");
    return text + (finished ? "" : ", not finished");
}

void print_text(const Choice& choice, const Outcome& outcome, bool finished, bool quiet) {
    std::vector<Cells> rows;
    for (const VerifyFinding& finding : outcome.findings) {
        const bool is_ok = finding.level == VerifyFinding::Level::kOk;
        // A remark is worth a line: where the WAL ends.
        if (is_ok && !choice.verbose && (quiet || finding.detail.empty())) continue;
        rows.push_back({std::string(level_text(finding.level)), finding.object, finding.detail});
    }
    if (!rows.empty()) std::fputs(plain_table({"level", "object", "detail"}, rows).c_str(), stdout);
    if (!quiet || outcome.problems() > 0) std::printf("%s\n", summary(outcome, finished).c_str());
}

void print_json(const Outcome& outcome, const Status& result) {
    using Json = nlohmann::ordered_json;
    Json objects = Json::array();
    for (const VerifyFinding& finding : outcome.findings)
        objects.push_back({{"object", finding.object},
                           {"level", level_text(finding.level)},
                           {"stored_size", finding.stored_size},
                           {"detail", finding.detail}});
    const Json document = {{"objects", outcome.progress.objects_done.load()},
                           {"bytes", outcome.progress.bytes_done.load()},
                           {"seconds", outcome.seconds},
                           {"problems", outcome.problems()},
                           {"finished", result.ok()},
                           {"failure", result.message()},
                           {"findings", objects}};
    std::printf("%s\n", document.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
}

}  // namespace

int run_verify(CommandLine& line) {
    Choice choice;
    std::string name;
    std::string rate;
    int jobs = 0;
    line.positional("NAME", name, "name of the backup, or LATEST (default)", false);
    line.flag("--all", choice.all, "every backup; what several of them need is read once");
    line.flag("--all-wal", choice.options.all_wal, "the WAL behind the backup, too, as far as it goes without a gap");
    line.option("--rate-limit", rate, "stored bytes a second, as 500k, 20M, 1G (default: network_rate_limit)", "BYTES");
    line.option("--jobs", jobs, "objects at a time (default: download_concurrency)", "N");
    line.flag("--json", choice.json, "one JSON object with every object that was read");
    line.flag("--verbose", choice.verbose, "also the objects that are fine");
    line.more_help(
        "Reads every object of a backup, of the backups it builds on, and the WAL from its start to its end: "
        "encryption, compression, digests,\n"
        "completeness, page checksums, records of the WAL. Nothing is written anywhere.\n\n"
        "Example:\n"
        "  forge-backup --env-dir /etc/forge_backup verify LATEST --rate-limit 50M\n\n"
        "Exit codes: 0 all was read and is good, 1 something is wrong (a line each) or not all could be read "
        "(an error says why), 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (choice.all && !name.empty()) return line.bad_usage("give the name of a backup, or --all");
    if (!name.empty()) choice.name = name;
    if (jobs < 0 || jobs > 1000) return line.bad_usage("--jobs takes a number from 1 to 1000");
    const auto limit = rate.empty() ? std::optional<std::uint64_t>(0) : parse_rate(rate);
    if (!limit)
        return line.bad_usage("invalid rate " + forge::quoted(rate) +
                              ": write bytes a second, as 500000, 500k, 20M or 1G");

    Session session(line, seconds(2));
    const auto repository = session.open();
    if (!repository) return kExitFailure;
    const settings::Settings& settings = repository->settings();
    choice.options.concurrency = jobs > 0 ? jobs : settings.download_concurrency;
    choice.options.rate_limit = rate.empty() ? settings.network_rate_limit : *limit;
    Outcome outcome;
    const Status result = verify_with_progress(choice, line, session, *repository, outcome);
    if (choice.json)
        print_json(outcome, result);
    else if (result.ok() || !outcome.findings.empty())
        print_text(choice, outcome, result.ok(), line.global().quiet);
    if (!result.ok()) return session.fail(result);
    return outcome.problems() == 0 ? kExitOk : kExitFailure;
}

}  // namespace forge::cli
