#include "core/report/verdict.h"

#include <algorithm>

#include "core/report/markup.h"

namespace forge::report {

namespace {

class Judge {
public:
    explicit Judge(const Facts& facts) : facts_(facts), newest_(newest_restorable(facts)) {}

    Verdict run() {
        if (facts_.state == Facts::State::kOff) return off();
        if (facts_.state == Facts::State::kError) return unreadable();
        look_at_backups();
        look_at_wal();
        look_at_server();
        std::stable_sort(verdict_.findings.begin(), verdict_.findings.end(),
                         [](const Finding& a, const Finding& b) { return weight(a.level) > weight(b.level); });
        for (const Finding& finding : verdict_.findings)
            if (weight(finding.level) > weight(verdict_.level)) verdict_.level = finding.level;
        answer_good();
        answer_back();
        answer_loss();
        return verdict_;
    }

private:
    static int weight(Level level) {
        return level == Level::kBad ? 3 : level == Level::kWarning ? 2 : level == Level::kUnknown ? 1 : 0;
    }
    void add(Level level, std::string text, std::string hint = {}) {
        verdict_.findings.push_back({level, std::move(text), std::move(hint)});
    }

    Verdict off() {
        verdict_.level = Level::kBad;
        verdict_.good = {"No", "Backups are off: no storage is configured. WAL is accepted and dropped."};
        verdict_.back = {"Not at all", "There is no place to restore from."};
        verdict_.loss = {"Everything", "Nothing of this server is kept elsewhere."};
        add(Level::kBad, "no storage is configured",
            "Set forge_backup.storage, or the variables in forge_backup.env_dir.");
        return verdict_;
    }

    Verdict unreadable() {
        verdict_.level = Level::kUnknown;
        verdict_.good = {"Unknown", "The storage could not be read, so this page cannot tell."};
        verdict_.back = {"Unknown", "The storage could not be read."};
        verdict_.loss = {"Unknown", "The storage could not be read."};
        add(Level::kBad, "the storage could not be read: " + facts_.problem, facts_.hint);
        look_at_server();
        if (facts_.server) answer_loss();
        return verdict_;
    }

    void look_at_backups() {
        if (facts_.backups.empty())
            return add(Level::kBad, "there is no base backup", "Make one: SELECT forge_backup.trigger_basebackup();");
        std::uint64_t broken = 0;
        for (const Backup& backup : facts_.backups) broken += backup.problem.empty() ? 0U : 1U;
        if (newest_ == nullptr)
            return add(Level::kBad, "no base backup can be restored: " + facts_.backups.back().problem,
                       "Make a new one: SELECT forge_backup.trigger_basebackup();");
        if (&facts_.backups.back() != newest_)
            add(Level::kWarning,
                "the newest base backup, " + facts_.backups.back().name +
                    ", cannot be restored: " + facts_.backups.back().problem,
                "A restore takes an older one, " + newest_->name + ".");
        else if (broken > 0)
            add(Level::kWarning, plural(broken, "base backup", "base backups") + " cannot be restored",
                "See the table of base backups.");
        if (!facts_.held.empty() && facts_.retain != 0)
            add(Level::kWarning, "retention deletes nothing: " + facts_.held);
    }

    void look_at_wal() {
        if (newest_ != nullptr && !facts_.next_restore.problem.empty())
            add(Level::kBad,
                "a restore to the end of the archived WAL is not possible: " + facts_.next_restore.problem);
        if (!facts_.next_restore.missing.empty())
            add(Level::kBad,
                "WAL is missing after the newest base backup, from " + facts_.next_restore.missing.front() + " on",
                "A restore ends before it. A new base backup makes later moments restorable again.");
        else if (facts_.wal.open_segments > 0)
            add(Level::kBad,
                plural(facts_.wal.open_segments, "segment", "segments") +
                    " of WAL are missing, and no later base backup goes on behind them",
                "Make a new base backup: SELECT forge_backup.trigger_basebackup();");
        std::uint64_t bridged = 0;
        for (const WalHole& hole : facts_.wal.holes) bridged += hole.needed && !hole.bridge.empty() ? 1U : 0U;
        if (bridged > 0)
            add(Level::kWarning,
                plural(bridged, "hole", "holes") + " in the archived WAL: no moment in it can be restored",
                "A later base backup goes on behind it, so what came afterwards is safe.");
    }

    void look_at_server() {
        if (!facts_.server_problem.empty())
            add(Level::kWarning, "the server could not be asked: " + facts_.server_problem,
                "What follows is what the storage tells.");
        if (!facts_.server) return;
        const Server& server = *facts_.server;
        if (!server.archive_problem.empty())
            add(Level::kBad, "archiving fails: " + server.archive_problem, server.archive_hint);
        for (const StatusRow& row : server.status) {
            const bool is_problem = row.name.ends_with("_problem") && row.name != "archive_problem";
            if (!is_problem || row.value.empty()) continue;
            std::string topic = row.name.substr(0, row.name.size() - std::string_view("_problem").size());
            std::replace(topic.begin(), topic.end(), '_', ' ');
            add(row.name == "retention_problem" ? Level::kWarning : Level::kBad, topic + ": " + row.value, row.detail);
        }
        if (server.dropped_files > 0)
            add(Level::kWarning,
                plural(server.dropped_files, "WAL file was", "WAL files were") + " dropped, not archived");
    }

    void answer_good() {
        switch (verdict_.level) {
            case Level::kGood:
                verdict_.good = {"Yes", "The newest base backup, " + newest_->name +
                                            ", can be restored, and all WAL since is there."};
                break;
            case Level::kWarning:
                verdict_.good = {"Yes, but", "A restore to now works. " +
                                                 plural(verdict_.findings.size(), "thing needs", "things need") +
                                                 " a look."};
                break;
            default:
                verdict_.good = {"No", newest_ == nullptr
                                           ? "There is nothing to restore from."
                                           : "What is wrong is below; older moments may be restorable all the same."};
        }
    }

    void answer_back() {
        if (facts_.earliest == Instant{}) {
            verdict_.back = {newest_ == nullptr ? "Not at all" : "Unknown", newest_ == nullptr
                                                                                ? "No base backup can be restored."
                                                                                : "The recovery window is not known."};
            return;
        }
        const Instant latest = std::max(facts_.latest, facts_.earliest);
        verdict_.back = {span_text(seconds_between(facts_.earliest, facts_.now)),
                         "To any moment from " + time_text(facts_.earliest) + " to " + time_text(latest) + " UTC" +
                             (facts_.wal.hole_count > 0 ? ", but for the holes below." : ".")};
    }

    void answer_loss() {
        if (facts_.server && facts_.server->risk_seconds) {
            const Server& server = *facts_.server;
            verdict_.loss = {*server.risk_seconds > 0 ? span_text(*server.risk_seconds) : "Nothing",
                             *server.risk_seconds > 0
                                 ? "Committed WAL of that age, " + format_size(server.risk_bytes.value_or(0)) +
                                       ", is not in the storage yet."
                                 : "All that was committed is in the storage."};
            return;
        }
        if (facts_.wal.newest_at == Instant{}) {
            verdict_.loss = {"Everything", "No WAL is in the storage."};
            return;
        }
        verdict_.loss = {"≤ " + span_text(std::max(1.0, seconds_between(facts_.wal.newest_at, facts_.now))),
                         "The newest WAL in the storage is that old. What was written since would be lost; on an idle "
                         "server that is nothing."};
        if (facts_.server && facts_.server->backlog_files > 0)
            verdict_.loss.detail = plural(facts_.server->backlog_files, "WAL file", "WAL files") + " (" +
                                   format_size(facts_.server->backlog_bytes) +
                                   ") and the unfinished one wait for the archiver.";
    }

    const Facts& facts_;
    const Backup* newest_;
    Verdict verdict_;
};

}  // namespace

std::string_view level_name(Level level) {
    switch (level) {
        case Level::kGood: return "good";
        case Level::kWarning: return "warning";
        case Level::kBad: return "bad";
        case Level::kUnknown: return "unknown";
    }
    return "unknown";
}

const Backup* newest_restorable(const Facts& facts) {
    for (auto backup = facts.backups.rbegin(); backup != facts.backups.rend(); ++backup)
        if (backup->problem.empty()) return &*backup;
    return nullptr;
}

Verdict judge(const Facts& facts) { return Judge(facts).run(); }

}  // namespace forge::report
