#include "core/report/page.h"


#include <algorithm>
#include <array>
#include <initializer_list>
#include <stdexcept>

#include "core/base/bytes.h"
#include "core/base/libcrypto.h"
#include "core/report/charts.h"
#include "core/report/markup.h"
#include "core/report/style.h"
#include "core/report/verdict.h"

namespace forge::report {

namespace {

// "sha256-…", by which the page's policy knows its own stylesheet.
std::string style_digest() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    if (EVP_Digest(kStyle.data(), kStyle.size(), digest.data(), &length, EVP_sha256(), nullptr) != 1)
        throw std::runtime_error("SHA-256 is not available");
    return "sha256-" + to_base64(ByteView(digest.data(), length));
}

// A table with a caption, in a place of its own that scrolls where the page is narrow.
class Table {
public:
    struct Column {
        std::string_view name;
        std::string_view kind = {};  // class of its cells: "n" a figure, "t" a time, "mono" a name, "w" a text
    };
    Table(std::string_view caption, std::initializer_list<Column> columns) : columns_(columns) {
        html_ = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" + escaped(caption) +
                "\"><table><caption>" + escaped(caption) + "</caption><thead><tr>";
        for (const Column& column : columns_) html_ += cell("th scope=\"col\"", "th", column, column.name);
        html_ += "</tr></thead><tbody>\n";
    }
    void row(std::initializer_list<std::string_view> cells) {
        html_ += "<tr>";
        auto column = columns_.begin();
        for (const std::string_view text : cells) html_ += cell("td", "td", *column++, text);
        html_ += "</tr>\n";
    }
    std::string finish() const { return html_ + "</tbody></table></div>\n"; }

private:
    static std::string cell(std::string_view open, std::string_view close, const Column& column,
                            std::string_view text) {
        return "<" + std::string(open) +
               (column.kind.empty() ? std::string() : " class=\"" + std::string(column.kind) + "\"") + ">" +
               escaped(text) + "</" + std::string(close) + ">";
    }
    std::vector<Column> columns_;
    std::string html_;
};

std::string shown(std::size_t rows, std::size_t all, std::string_view what) {
    if (rows == all) return count_text(all) + " " + std::string(what);
    return "The newest " + count_text(rows) + " of " + count_text(all) + " " + std::string(what);
}

class Page {
public:
    explicit Page(const Facts& facts) : facts_(facts), verdict_(judge(facts)), axis_(axis_of(facts)) {}

    std::string write() {
        head();
        answers();
        if (facts_.state == Facts::State::kOn) {
            timeline();
            risk();
            backups();
            holes();
            restore_points();
            retention();
        }
        if (facts_.server) {
            events();
            server();
        }
        settings();
        foot();
        return std::move(html_);
    }

private:
    void add(std::string_view markup) { html_ += markup; }
    void heading(std::string_view id, std::string_view text) {
        add("<section aria-labelledby=\"" + std::string(id) + "\"><h2 id=\"" + std::string(id) + "\">" + escaped(text) +
            "</h2>\n");
    }
    void end_section() { add("</section>\n"); }
    void note(std::string_view text) { add("<p class=\"note\">" + escaped(text, 2 * kMostCharacters) + "</p>\n"); }

    void head() {
        add("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        add("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '" + style_digest() +
            "'; base-uri 'none'; form-action 'none'\">\n");
        add("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"robots\" content=\"noindex\">\n");
        add("<title>Backups: " + escaped(verdict_.good.value) + " – " + escaped(place()) + "</title>\n");
        add("<style>" + std::string(kStyle) + "</style>\n</head>\n<body>\n");
        add("<a class=\"skip\" href=\"#content\">Skip to the content</a>\n<header><h1>Backups of " + escaped(place()) +
            "</h1>\n<p>" + (facts_.owner.empty() ? "" : escaped(facts_.owner) + ". ") + "As of <time datetime=\"" +
            format_rfc3339(facts_.now, 0) + "\">" + time_text(facts_.now) + " UTC</time>, from " +
            std::string(sources()) + ". All times are UTC.</p></header>\n<main id=\"content\">\n");
    }
    std::string place() const { return facts_.storage.empty() ? "no storage" : facts_.storage; }
    std::string_view sources() const {
        if (facts_.server) return facts_.state == Facts::State::kOn ? "the storage and the server" : "the server alone";
        return "the storage alone";
    }

    void answers() {
        const std::string level(level_name(verdict_.level));
        add("<dl class=\"answers\" id=\"verdict\" data-level=\"" + level + "\">\n");
        answer("Is my backup good?", verdict_.good, level);
        answer("How far back can I go?", verdict_.back, "");
        answer("What would be lost now?", verdict_.loss, "");
        add("</dl>\n");
        if (verdict_.findings.empty()) return;
        constexpr std::size_t kMostFindings = 20;
        add("<ul class=\"findings\" aria-label=\"What needs a look\">\n");
        for (std::size_t i = 0; i < std::min(verdict_.findings.size(), kMostFindings); ++i) {
            const Finding& finding = verdict_.findings[i];
            const bool bad = finding.level == Level::kBad;
            add("<li class=\"is-" + std::string(level_name(finding.level)) + "\"><b class=\"" +
                std::string(level_name(finding.level)) + "\">" + (bad ? "✕ Error" : "! Warning") + "</b>" +
                escaped(finding.text, 700) +
                (finding.hint.empty() ? "" : "<span class=\"hint\">" + escaped(finding.hint, 700) + "</span>") +
                "</li>\n");
        }
        add("</ul>\n");
    }
    void answer(std::string_view question, const Answer& answer, const std::string& level) {
        add("<div><dt>" + escaped(question) + "</dt><dd class=\"value " + level + "\">" + escaped(answer.value) +
            "</dd><dd>" + escaped(answer.detail) + "</dd></div>\n");
    }

    void timeline() {
        heading("timeline", "Backups and WAL over time");
        add(draw_timeline(facts_, axis_));
        const auto key = [](std::string_view mark, std::string_view text) {
            return "<li><svg aria-hidden=\"true\" viewBox=\"-7 -7 14 14\">" + std::string(mark) + "</svg>" +
                   std::string(text) + "</li>";
        };
        add("<ul class=\"key\" aria-label=\"Marks\">" +
            key("<rect class=\"full\" x=\"-5\" y=\"-5\" width=\"10\" height=\"10\"/>", "full backup") +
            key("<circle class=\"delta\" r=\"4\"/>", "delta, below what it builds on") +
            key("<rect class=\"full permanent\" x=\"-5\" y=\"-5\" width=\"10\" height=\"10\"/>", "permanent") +
            key("<path class=\"broken\" d=\"M-4-4L4 4M-4 4L4-4\"/>", "cannot be restored") +
            (facts_.restore_points.empty()
                 ? std::string()
                 : key("<rect class=\"point\" x=\"-1.5\" y=\"-6\" width=\"3\" height=\"12\"/>", "restore point")) +
            key("<rect class=\"hole\" x=\"-2\" y=\"-7\" width=\"4\" height=\"14\"/>", "WAL is missing") + "</ul>\n");
        if (!facts_.next_restore.backup.empty())
            note("A restore to the end of the archived WAL takes " + facts_.next_restore.backup +
                 (facts_.next_restore.reached == Instant{}
                      ? "."
                      : " and reaches the commit of " + time_text(facts_.next_restore.reached) + " UTC."));
        end_section();
    }

    void risk() {
        heading("risk", "Data at risk over time");
        if (facts_.wal.pauses.empty() && !(facts_.server && !facts_.server->risk_history.empty())) {
            note("There is no WAL in the storage.");
        } else {
            add(draw_risk(facts_, axis_));
            note(facts_.server && !facts_.server->risk_history.empty()
                     ? "Measured by the server: how long the oldest committed change had been waiting to be in the "
                       "storage."
                     : "The longest time in each slice that passed since the last upload: the most that a loss of the "
                       "server could have cost. While nothing is written, nothing is at risk, and the figure grows all "
                       "the same.");
        }
        end_section();
    }

    void backups() {
        heading("backups", "Base backups");
        if (facts_.backups.empty()) {
            note("There is none.");
            return end_section();
        }
        add("<div class=\"pair\">\n" + draw_sizes(facts_) + draw_durations(facts_) + "</div>\n");
        if (std::any_of(facts_.backups.begin(), facts_.backups.end(),
                        [](const Backup& backup) { return !backup.parent.empty(); }))
            add("<ul class=\"key\" aria-label=\"Bars\"><li><svg aria-hidden=\"true\" viewBox=\"-7 -7 14 14\"><rect "
                "class=\"size\" x=\"-4\" "
                "y=\"-6\" width=\"8\" height=\"12\"/></svg>full</li><li><svg aria-hidden=\"true\" viewBox=\"-7 -7 14 "
                "14\"><rect "
                "class=\"size delta\" x=\"-4\" y=\"-6\" width=\"8\" height=\"12\"/></svg>delta</li></ul>\n");
        const std::size_t rows = std::min(facts_.backups.size(), kMostRows);
        Table table(shown(rows, facts_.backups.size(), "base backups, newest first"), {{"Finished", "t"},
                                                                                       {"Name", "mono"},
                                                                                       {"Kind"},
                                                                                       {"Duration", "n"},
                                                                                       {"Data", "n"},
                                                                                       {"Stored", "n"},
                                                                                       {"Restorable", "w"},
                                                                                       {"Retention", "w"},
                                                                                       {"User data", "w"}});
        for (std::size_t i = 0; i < rows; ++i)
            backup_row(table, *(facts_.backups.rbegin() + static_cast<std::ptrdiff_t>(i)));
        add(table.finish());
        end_section();
    }
    void backup_row(Table& table, const Backup& backup) const {
        const std::string kind =
            (backup.parent.empty() ? std::string("full") : "delta " + std::to_string(backup.depth)) +
            (backup.permanent ? ", permanent" : "");
        const bool timed = backup.start != Instant{} && backup.finish != Instant{};
        table.row(
            {time_text(backup.finish), backup.name, kind,
             timed ? span_text(seconds_between(backup.start, backup.finish)) : "–", format_size(backup.uncompressed),
             format_size(backup.stored), backup.problem.empty() ? "yes" : "no: " + backup.problem,
             !facts_.held.empty() ? "stays" : (backup.keep ? "stays: " : "goes: ") + backup.reason, backup.user_data});
    }

    void holes() {
        const Wal& wal = facts_.wal;
        heading("wal", "Archived WAL");
        note(wal.objects == 0 ? std::string("There is none.")
                              : plural(wal.objects, "segment", "segments") + ", " + format_size(wal.bytes) +
                                    " stored, from " + time_text(wal.oldest_at) + " to " + time_text(wal.newest_at) +
                                    " UTC. The newest is " + wal.newest + ".");
        if (wal.hole_count > 0) {
            Table table(shown(wal.holes.size(), wal.hole_count, "holes, newest first"), {{"From", "mono"},
                                                                                         {"To", "mono"},
                                                                                         {"Segments", "n"},
                                                                                         {"Between uploads of", "t"},
                                                                                         {"What it means", "w"}});
            for (auto hole = wal.holes.rbegin(); hole != wal.holes.rend(); ++hole)
                table.row({hole->first, hole->last, count_text(hole->segments),
                           time_text(hole->after) + " – " + time_text(hole->before),
                           !hole->needed ? "Nothing: no backup needs it."
                           : hole->bridge.empty()
                               ? "No restore leads through it, and no later backup goes on behind it."
                               : "No moment in it can be restored; " + hole->bridge + " goes on behind it."});
            add(table.finish());
        }
        if (facts_.server && !facts_.server->gaps.empty()) {
            Table table("Gaps that the server knows of", {{"From", "mono"},
                                                          {"To", "mono"},
                                                          {"Files", "n"},
                                                          {"Reason"},
                                                          {"Since", "t"},
                                                          {"Until", "t"},
                                                          {"State"}});
            for (const Gap& gap : facts_.server->gaps)
                table.row({gap.first, gap.last, count_text(gap.files), gap.reason, gap.since, gap.until, gap.state});
            add(table.finish());
        }
        end_section();
    }

    void restore_points() {
        const std::vector<RestorePoint>& all = facts_.restore_points;
        if (all.empty()) return;
        heading("restore-points", "Restore points");
        Table table(shown(std::min(all.size(), kMostRows), facts_.restore_point_count, "restore points, newest first"),
                    {{"Time", "t"}, {"Name", "w"}, {"Position", "mono"}, {"Timeline", "n"}, {"Reached from", "mono"}});
        for (std::size_t i = 0; i < std::min(all.size(), kMostRows); ++i) {
            const RestorePoint& point = all[all.size() - 1 - i];
            table.row({time_text(point.time), point.name, format_lsn(point.lsn), std::to_string(point.timeline),
                       point.backup.empty() ? "no backup" : point.backup});
        }
        add(table.finish());
        end_section();
    }

    void retention() {
        heading("retention", "Retention");
        if (facts_.retain == 0)
            note("Everything is kept: forge_backup.retain is 0.");
        else if (!facts_.held.empty())
            note("Nothing is deleted: " + facts_.held + ".");
        else
            note("The newest " + std::to_string(facts_.retain) + " backups stay, and what recovery to the last " +
                 std::to_string(facts_.retain) + " days needs. " +
                 (facts_.going_objects == 0
                      ? "Nothing is to be deleted now."
                      : "To be deleted now: " + plural(facts_.going_objects, "object", "objects") + ", " +
                            format_size(facts_.going_bytes) + "."));
        end_section();
    }

    void events() {
        const std::vector<Event>& all = facts_.server->events;
        heading("events", "Events");
        if (all.empty()) {
            note("The server remembers none.");
            return end_section();
        }
        const std::size_t rows = std::min(all.size(), kMostRows);
        Table table(shown(rows, all.size(), "events, newest first"),
                    {{"Time", "t"}, {"Kind"}, {"Outcome"}, {"Subject", "mono"}, {"Detail", "w"}});
        for (std::size_t i = 0; i < rows; ++i) {
            const Event& event = all[all.size() - 1 - i];
            table.row({event.time, event.kind, event.outcome, event.subject, event.detail});
        }
        add(table.finish());
        end_section();
    }

    void server() {
        heading("server", "State of the server");
        Table table("What status() says", {{"Name"}, {"Value", "w"}, {"Detail", "w"}});
        std::size_t rows = 0;
        for (const StatusRow& row : facts_.server->status)
            if (!row.name.starts_with("setting.") && rows++ < 3 * kMostRows)
                table.row({row.name, row.value, row.detail});
        add(table.finish());
        end_section();
    }

    void settings() {
        if (facts_.settings.empty()) return;
        heading("settings", "Settings");
        Table table("Effective settings and where each comes from; a secret is never shown",
                    {{"Setting"}, {"Value", "w"}, {"Source", "w"}});
        for (std::size_t i = 0; i < std::min(facts_.settings.size(), 3 * kMostRows); ++i)
            table.row({facts_.settings[i].name, facts_.settings[i].value, facts_.settings[i].source});
        add(table.finish());
        end_section();
    }

    void foot() {
        add("</main>\n<footer>" + escaped(facts_.program) +
            ". This page is one file: it loads nothing and runs nothing.</footer>\n</body>\n</html>\n");
    }

    const Facts& facts_;
    const Verdict verdict_;
    const TimeAxis axis_;
    std::string html_;
};

}  // namespace

std::string page(const Facts& facts) { return in_ascii(Page(facts).write()); }

}  // namespace forge::report
