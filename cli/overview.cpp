#include "cli/overview.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "cli/verbs.h"
#include "cli/version.h"

namespace forge::cli {

namespace {

constexpr std::string_view kNotes = R"(Examples:
  Which backups are there?
      forge-backup --env-dir /etc/forge_backup backup-list
  What would a restore to half past nine reach?
      forge-backup --env-dir /etc/forge_backup plan --target-time '2026-11-22 09:30:00+01'
  Do it, into a new directory:
      forge-backup --env-dir /etc/forge_backup restore --target-dir /srv/pg/restored --target-time '2026-11-22 09:30:00+01'
  Is everything in order?
      forge-backup --env-dir /etc/forge_backup check

Settings come from the options, then from the environment (WALG_…, AWS_…), then from the files of --env-dir, and last, where --pgdata
names a data directory, from the forge_backup.* settings of its server. The options of settings may stand before or after the command.

Exit codes: 0 done, 1 failed, 2 wrong usage. wal-fetch: 74 the archive has no such file, 200 the archive cannot be asked now.

"forge-backup COMMAND --help" explains a command.
)";

// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

}  // namespace

void print_overview() {
    std::printf("forge-backup %.*s: backups of PostgreSQL in an S3 bucket or a directory, and the way back\n\n",
                static_cast<int>(version().size()), version().data());
    std::printf("Usage: forge-backup [OPTIONS] COMMAND [ARGUMENTS]\n\nCommands:\n");
    for (const Verb& verb : all_verbs())
        if (!verb.hidden)
            std::printf("  %-14.*s%.*s\n", static_cast<int>(verb.name.size()), verb.name.data(),
                        static_cast<int>(verb.purpose.size()), verb.purpose.data());
    std::printf("\n%.*s", static_cast<int>(kNotes.size()), kNotes.data());
}

std::string_view overview_notes() { return kNotes; }

void complain_about_verb(const std::string& name) {
    const Verb* nearest = nullptr;
    std::size_t best = std::max<std::size_t>(2, name.size() / 2);
    for (const Verb& verb : all_verbs()) {
        if (verb.hidden) continue;
        const std::size_t this_one = distance(name, verb.name);
        if (this_one > best || (nearest != nullptr && this_one == best)) continue;
        best = this_one;
        nearest = &verb;
    }
    std::fprintf(stderr, "forge-backup: error: command \"%s\" does not exist\n", name.c_str());
    if (nearest != nullptr)
        std::fprintf(stderr, "forge-backup: hint: Perhaps you meant \"%.*s\".\n",
                     static_cast<int>(nearest->name.size()), nearest->name.data());
    else
        std::fputs("forge-backup: hint: Try \"forge-backup --help\".\n", stderr);
}

}  // namespace forge::cli
