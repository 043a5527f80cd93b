// forge-backup man: manual pages, in the language of man(7), from the texts that --help shows. Nothing in them depends
// on where or when they are made.
#include <cstdio>

#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "cli/overview.h"
#include "cli/version.h"
#include "core/base/file.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

// Text as man(7) wants it: a bare hyphen may be set as another character there, a line that begins with a point or a
// quote is an instruction.
std::string escaped(std::string_view text) {
    constexpr std::string_view kEllipsis = "…";
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool begins_line = result.empty() || result.back() == '\n';
        if (begins_line && (text[i] == '.' || text[i] == '\'')) result += "\\&";
        if (text.substr(i).starts_with(kEllipsis)) {
            result += "\\[u2026]";
            i += kEllipsis.size() - 1;
        } else if (text[i] == '\\') {
            result += "\\e";
        } else {
            if (text[i] == '-') result += '\\';
            result += text[i];
        }
    }
    return result;
}

std::string bold(std::string_view text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(std::string_view text) { return "\\fI" + escaped(text) + "\\fR"; }
std::string section(std::string_view title) { return ".SH " + std::string(title) + "\n"; }
// Indented lines stay as they are.
std::string block(std::string_view lines) { return ".PP\n.nf\n" + escaped(lines) + "\n.fi\n"; }

std::vector<std::string_view> paragraphs_of(std::string_view text) {
    std::vector<std::string_view> result;
    while (!text.empty()) {
        const std::size_t end = text.find("\n\n");
        std::string_view one = text.substr(0, end);
        if (one.ends_with('\n')) one.remove_suffix(1);
        if (!one.empty()) result.push_back(one);
        text = end == text.npos ? std::string_view() : text.substr(end + 2);
    }
    return result;
}

// The text below the options: prose, then "Example…:" above indented lines, and "Exit codes: …".
struct Notes {
    std::string prose;
    std::string examples;
    std::string exit_codes;
};

Notes notes_of(std::string_view text) {
    constexpr std::string_view kExitCodes = "Exit codes: ";
    Notes notes;
    for (const std::string_view paragraph : paragraphs_of(text)) {
        if (paragraph.starts_with("Example")) {
            const std::size_t end = paragraph.find('\n');
            const std::string_view title = paragraph.substr(0, end);
            if (title.find('(') != title.npos) notes.examples += escaped(title) + "\n";
            notes.examples += block(paragraph.substr(end + 1));
        } else if (paragraph.starts_with(kExitCodes)) {
            notes.exit_codes += escaped(paragraph.substr(kExitCodes.size())) + "\n";
        } else if (paragraph.starts_with(' ')) {
            notes.prose += block(paragraph);
        } else {
            notes.prose += ".PP\n" + escaped(paragraph) + "\n";
        }
    }
    return notes;
}

std::string head(const std::string& name, std::string_view purpose) {
    std::string title;
    for (const char letter : name) title += static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
    std::string lower(purpose);
    lower[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(lower[0])));
    return ".TH " + escaped(title) + " 1 \"\" \"forge_backup " + std::string(version()) +
           "\" \"forge_backup manual\"\n" + section("NAME") + escaped(name) + " \\- " + escaped(lower) + "\n" +
           section("SYNOPSIS");
}

std::string entry(const OptionText& option) {
    std::string names;
    for (const std::string& name : split(option.names, ',')) names += (names.empty() ? "" : ", ") + bold(name);
    if (!option.value_name.empty()) names += " " + italic(option.value_name);
    return ".TP\n" + names + "\n" + escaped(option.help) + "\n";
}

// Options below their headings; the verb's own have none.
std::string options_section(const std::vector<OptionText>& options) {
    std::string text = section("OPTIONS");
    std::string group;
    for (const OptionText& option : options) {
        if (option.group != group) text += ".SS " + option.group + "\n";
        group = option.group;
        text += entry(option);
    }
    return text + ".SS Help\n" + entry({"-h,--help", "", "show a short form of this page"});
}

std::string tail(const Notes& notes, std::string_view see_also) {
    return (notes.exit_codes.empty() ? "" : section("EXIT STATUS") + notes.exit_codes) +
           (notes.examples.empty() ? "" : section("EXAMPLES") + notes.examples) + section("SEE ALSO") +
           std::string(see_also);
}

std::string page_name(const Verb& verb) { return "forge-backup-" + std::string(verb.name); }
std::string reference(const std::string& page) { return "\n.BR " + escaped(page) + " (1)"; }

std::string page_of(const Verb& verb) {
    const VerbText text = CommandLine::describe(verb);
    const Notes notes = notes_of(text.more);
    std::string page = head(page_name(verb), verb.purpose);
    page += bold("forge-backup " + std::string(verb.name)) + " [" + italic("OPTIONS") + "]";
    for (const OptionText& argument : text.arguments)
        page += argument.required ? " " + italic(argument.names) : " [" + italic(argument.names) + "]";
    page += "\n" + section("DESCRIPTION") + escaped(verb.purpose) + ".\n" + notes.prose;
    if (!text.arguments.empty()) page += section("ARGUMENTS");
    for (const OptionText& argument : text.arguments)
        page += ".TP\n" + italic(argument.names) + "\n" + escaped(argument.help) + "\n";
    return page + options_section(text.options) + tail(notes, reference("forge-backup").substr(1) + "\n");
}

std::string page_of_program() {
    const Notes notes = notes_of(overview_notes());
    std::string page = head("forge-backup", "backups of PostgreSQL in an S3 bucket or a directory, and the way back");
    page +=
        bold("forge-backup") + " [" + italic("OPTIONS") + "] " + italic("COMMAND") + " [" + italic("ARGUMENTS") +
        "]\n" + section("DESCRIPTION") +
        "Restores what the extension forge_backup of PostgreSQL stores, and looks after it. The server itself starts\n"
        "the same program as its helper.\n" +
        notes.prose + section("COMMANDS");
    std::string see_also;
    std::vector<OptionText> shared;
    for (const Verb& verb : all_verbs()) {
        if (verb.hidden) continue;
        page += ".TP\n" + bold(verb.name) + "\n" + escaped(verb.purpose) + ".\n";
        see_also += reference(page_name(verb));
        if (shared.empty()) shared = CommandLine::describe(verb).options;
    }
    std::erase_if(shared, [](const OptionText& option) { return option.group.empty(); });
    shared.push_back({"-V,--version", "", "print the version", "Messages"});
    return page + options_section(shared) + tail(notes, see_also.substr(1) + "\n");
}

int write_all(const std::string& directory) {
    const auto write = [&](const std::string& name, const std::string& page) {
        const std::string path = directory + "/" + name + ".1";
        const Status written = write_file_durably(path, as_bytes(page), 0644);
        if (!written.ok()) std::fprintf(stderr, "forge-backup man: error: %s\n", written.message().c_str());
        return written.ok();
    };
    if (!write("forge-backup", page_of_program())) return kExitFailure;
    for (const Verb& verb : all_verbs())
        if (!verb.hidden && !write(page_name(verb), page_of(verb))) return kExitFailure;
    return kExitOk;
}

}  // namespace

int run_man(CommandLine& line) {
    std::string command;
    std::string directory;
    line.positional("COMMAND", command, "command whose page is wanted; without, the page of the program", false);
    line.option("--into", directory, "write all pages into this directory", "DIR");
    line.more_help("Example:\n"
                   "  forge-backup man restore | man -l -\n\n"
                   "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (!directory.empty()) return write_all(directory);
    if (command.empty()) {
        std::fputs(page_of_program().c_str(), stdout);
        return kExitOk;
    }
    for (const Verb& verb : all_verbs()) {
        if (verb.hidden || verb.name != command) continue;
        std::fputs(page_of(verb).c_str(), stdout);
        return kExitOk;
    }
    return line.bad_usage("command " + quoted(command) + " does not exist");
}

}  // namespace forge::cli
