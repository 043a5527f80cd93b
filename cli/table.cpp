#include "cli/table.h"

#include <algorithm>

#include "core/base/bytes.h"
#include "core/base/text.h"
#include "core/layout/json_text.h"

namespace forge::cli {

namespace {

std::vector<std::size_t> widths_of(const Cells& header, const std::vector<Cells>& rows) {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < header.size(); ++i) {
        std::size_t width = header[i].size();
        for (const Cells& row : rows) width = std::max(width, row[i].size());
        widths.push_back(width);
    }
    return widths;
}

// Digits that stand for a quantity; the 24 of a WAL segment are a name.
bool is_number(const std::string& text) {
    return text.size() < 20 && !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

}  // namespace

std::string plain_table(const Cells& header, const std::vector<Cells>& rows) {
    const std::vector<std::size_t> widths = widths_of(header, rows);
    std::string text;
    const auto add_line = [&](const Cells& cells) {
        for (std::size_t i = 0; i < cells.size(); ++i) {
            text += cells[i];
            if (i + 1 < cells.size()) text.append(widths[i] + 1 - cells[i].size(), ' ');
        }
        text += '\n';
    };
    add_line(header);
    for (const Cells& row : rows) add_line(row);
    return text;
}

std::string framed_table(const Cells& header, const std::vector<Cells>& rows) {
    std::vector<bool> to_the_right;
    for (std::size_t i = 0; i < header.size(); ++i)
        to_the_right.push_back(!rows.empty() && std::all_of(rows.begin(), rows.end(),
                                                            [i](const Cells& row) { return is_number(row[i]); }));
    return framed_table(header, rows, to_the_right);
}

std::string framed_table(const Cells& header, const std::vector<Cells>& rows, const std::vector<bool>& to_the_right) {
    const std::vector<std::size_t> widths = widths_of(header, rows);
    std::string rule = "+";
    for (const std::size_t width : widths) rule += std::string(width + 2, '-') + "+";
    rule += "\n";
    std::string text = rule;
    const auto add_line = [&](const Cells& cells) {
        text += "|";
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const std::string blanks(widths[i] - cells[i].size(), ' ');
            text += " " + (to_the_right[i] ? blanks + cells[i] : cells[i] + blanks) + " |";
        }
        text += "\n";
    };
    add_line(header);
    text += rule;
    for (const Cells& row : rows) add_line(row);
    return text + rule;
}

std::string printable(std::string_view text) {
    const bool utf8 = layout::is_utf8(text);
    const auto byte_at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const unsigned char byte = byte_at(i);
        // U+0080 to U+009F, control characters as well, are C2 80 to C2 9F.
        const bool control = byte < 0x20 || byte == 0x7F || (utf8 && byte == 0xC2 && byte_at(i + 1) < 0xA0);
        const bool continues_control = utf8 && i > 0 && byte_at(i - 1) == 0xC2 && byte < 0xA0;
        if (control || continues_control || (byte >= 0x80 && !utf8))
            out += "\\x" + to_hex(ByteView(&byte, 1));
        else
            out += text[i];
    }
    return out;
}

std::string name_value_list(const std::vector<std::pair<std::string, std::string>>& rows) {
    std::size_t width = 0;
    for (const auto& [name, value] : rows) width = std::max(width, name.size());
    std::string text;
    for (const auto& [name, value] : rows) {
        std::string label = name + std::string(width - name.size(), ' ') + " | ";
        std::string_view rest = value;
        while (rest.ends_with('\n')) rest.remove_suffix(1);
        for (const std::string& line : split(rest, '\n')) {
            text += label + line;
            text.erase(text.find_last_not_of(' ') + 1);
            text += '\n';
            label = std::string(width, ' ') + " | ";
        }
    }
    return text;
}

}  // namespace forge::cli
