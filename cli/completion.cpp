// forge-backup completion: scripts by which bash and zsh complete commands, options and their values, from the texts
// that
// --help shows. The scripts hold all they need: no program is started while somebody types.
#include <cstdio>

#include "cli/command_line.h"
#include "cli/exit_codes.h"
#include "core/base/text.h"

namespace forge::cli {

namespace {

struct CommandText {
    const Verb* verb;
    VerbText text;
};

std::vector<CommandText> all_commands() {
    std::vector<CommandText> result;
    for (const Verb& verb : all_verbs())
        if (!verb.hidden) result.push_back({&verb, CommandLine::describe(verb)});
    return result;
}

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
    std::string result;
    for (const std::string& word : words) result += (result.empty() ? "" : std::string(separator)) + word;
    return result;
}

bool is_shared(const OptionText& option) { return !option.group.empty(); }

// What the value of an option is made of: "dirs", "files", the words allowed, or nothing known.
bool is_directory(const OptionText& option) { return option.value_name == "DIR"; }
bool is_file(const OptionText& option) { return option.value_name == "FILE" || option.value_name == "LIST"; }

// --- bash
// --------------------------------------------------------------------------------------------------------------

// Names of the options that `wanted` picks, a pattern of case: "--env-dir|--pgdata".
template <typename Wanted>
std::string pattern_of(const std::vector<OptionText>& options, Wanted wanted) {
    std::vector<std::string> names;
    for (const OptionText& option : options)
        if (wanted(option))
            for (const std::string& name : split(option.names, ',')) names.push_back(name);
    return joined(names, "|");
}

// Lines of a case that say what follows an option: nothing where it takes no value.
std::string bash_values(const std::vector<OptionText>& options) {
    std::string lines;
    const auto add = [&](const std::string& pattern, const std::string& action) {
        if (!pattern.empty()) lines += "                " + pattern + ") " + action + "; return ;;\n";
    };
    for (const OptionText& option : options)
        if (!option.values.empty())
            add(pattern_of({option}, [](const auto&) { return true; }),
                "_forge_backup_words '" + joined(option.values, " ") + "'");
    add(pattern_of(options, is_directory), "_forge_backup_files -d");
    add(pattern_of(options, is_file), "_forge_backup_files -f");
    add(pattern_of(options,
                   [](const OptionText& option) {
                       return !option.value_name.empty() && option.values.empty() && !is_directory(option) &&
                              !is_file(option);
                   }),
        ":");
    return lines;
}

std::string bash_script() {
    const std::vector<CommandText> commands = all_commands();
    std::vector<std::string> names;
    std::vector<OptionText> shared;
    for (const OptionText& option : commands.front().text.options)
        if (is_shared(option)) shared.push_back(option);
    std::string cases;
    for (const CommandText& command : commands) {
        names.emplace_back(command.verb->name);
        std::vector<OptionText> own = command.text.options;
        std::erase_if(own, is_shared);
        std::string options = pattern_of(own, [](const auto&) { return true; });
        for (char& letter : options)
            if (letter == '|') letter = ' ';
        cases += "        " + names.back() + ")\n            options='" + options + (options.empty() ? "" : " ") +
                 "--help'\n";
        if (const std::string values = bash_values(own); !values.empty())
            cases += "            case $before in\n" + values + "            esac\n";
        cases += "            ;;\n";
    }
    std::string shared_options = pattern_of(shared, [](const auto&) { return true; });
    const std::string takes_value =
        pattern_of(shared, [](const OptionText& option) { return !option.value_name.empty(); });
    for (char& letter : shared_options)
        if (letter == '|') letter = ' ';
    return "# Completion of forge-backup for bash; made by \"forge-backup completion bash\".\n\n"
           "_forge_backup_words() { mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$word\"); }\n"
           "_forge_backup_files() {\n"
           "    mapfile -t COMPREPLY < <(compgen \"$1\" -- \"$word\")\n"
           "    compopt -o filenames 2>/dev/null\n"
           "}\n\n"
           "_forge_backup() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command= options= i\n"
           "    for ((i = 1; i < COMP_CWORD; ++i)); do\n"
           "        case ${COMP_WORDS[i]} in\n"
           "            " +
           takes_value +
           ") ((++i)) ;;\n"
           "            " +
           joined(names, "|") +
           ")\n"
           "                command=${COMP_WORDS[i]}\n"
           "                break\n"
           "                ;;\n"
           "        esac\n"
           "    done\n"
           "    case $before in\n" +
           bash_values(shared) +
           "    esac\n"
           "    case $command in\n"
           "        '') options='--help --version' ;;\n" +
           cases +
           "    esac\n"
           "    if [[ $word == -* ]]; then\n"
           "        _forge_backup_words \"$options " +
           shared_options +
           "\"\n"
           "    elif [[ -z $command ]]; then\n"
           "        _forge_backup_words '" +
           joined(names, " ") +
           "'\n"
           "    else\n"
           "        _forge_backup_files -f\n"
           "    fi\n"
           "}\n\n"
           "complete -F _forge_backup forge-backup\n";
}

// --- zsh
// ---------------------------------------------------------------------------------------------------------------

// Within single quotes, where `special` has a meaning of its own.
std::string zsh_text(std::string_view text, std::string_view special) {
    std::string result;
    for (const char letter : text) {
        if (special.find(letter) != special.npos) result += '\\';
        if (letter == '\'')
            result += "'\\''";
        else
            result += letter;
    }
    return result;
}

// As _arguments wants them, a line each.
std::string zsh_options(const std::vector<OptionText>& options, const std::string& indent) {
    std::string lines;
    for (const OptionText& option : options) {
        std::string value;
        if (!option.value_name.empty()) value = ":" + option.value_name + ":";
        if (!option.values.empty())
            value += "(" + joined(option.values, " ") + ")";
        else if (is_directory(option))
            value += "_files -/";
        else if (is_file(option))
            value += "_files";
        for (const std::string& name : split(option.names, ','))
            lines += indent + "'" + name + "[" + zsh_text(option.help, "[]\\") + "]" + value + "'\n";
    }
    return lines;
}

std::string zsh_script() {
    const std::vector<CommandText> commands = all_commands();
    std::vector<OptionText> shared;
    for (const OptionText& option : commands.front().text.options)
        if (is_shared(option)) shared.push_back(option);
    std::string names;
    std::string cases;
    for (const CommandText& command : commands) {
        const std::string name(command.verb->name);
        names += "        '" + name + ":" + zsh_text(command.verb->purpose, ":\\") + "'\n";
        std::vector<OptionText> own = command.text.options;
        std::erase_if(own, is_shared);
        cases += "        " + name + ")\n            options=(\n" + zsh_options(own, "                ") +
                 "            )\n            ;;\n";
    }
    return "#compdef forge-backup\n"
           "# Completion of forge-backup for zsh; made by \"forge-backup completion zsh\".\n\n"
           "_forge_backup() {\n"
           "    local curcontext=$curcontext state line\n"
           "    local -A opt_args\n"
           "    local -a shared commands options\n"
           "    shared=(\n"
           "        '(- *)'{-h,--help}'[show help]'\n" +
           zsh_options(shared, "        ") +
           "    )\n"
           "    commands=(\n" +
           names +
           "    )\n"
           "    _arguments -C $shared '(- *)'{-V,--version}'[print the version]' '1:command:->command' "
           "'*::argument:->argument' && return\n"
           "    if [[ $state == command ]]; then\n"
           "        _describe -t commands command commands\n"
           "        return\n"
           "    fi\n"
           "    case $line[1] in\n" +
           cases +
           "    esac\n"
           "    _arguments $shared $options '*:argument:_files'\n"
           "}\n\n"
           "_forge_backup \"$@\"\n";
}

}  // namespace

int run_completion(CommandLine& line) {
    std::string shell;
    line.positional("SHELL", shell, "bash or zsh", true);
    line.more_help("Examples:\n"
                   "  forge-backup completion bash > ~/.local/share/bash-completion/completions/forge-backup\n"
                   "  forge-backup completion zsh > /usr/local/share/zsh/site-functions/_forge-backup\n\n"
                   "Exit codes: 0 done, 2 wrong usage.\n");
    if (const auto code = line.parse()) return *code;
    if (shell != "bash" && shell != "zsh") return line.bad_usage("shell " + quoted(shell) + " is not bash or zsh");
    std::fputs((shell == "bash" ? bash_script() : zsh_script()).c_str(), stdout);
    return kExitOk;
}

}  // namespace forge::cli
