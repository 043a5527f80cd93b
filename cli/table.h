// Tables as text: the plain form of WAL-G's listings and the framed one for people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace forge::cli {

using Cells = std::vector<std::string>;

// Cells padded with blanks to the width of their column plus one, nothing after the last; one line a row
// (walg-format 9.1).
std::string plain_table(const Cells& header, const std::vector<Cells>& rows);
// Lines of +, - and | around the cells; a column whose cells are all numbers is aligned to the right.
std::string framed_table(const Cells& header, const std::vector<Cells>& rows);
// The same, where `to_the_right` says of each column how it is aligned.
std::string framed_table(const Cells& header, const std::vector<Cells>& rows, const std::vector<bool>& to_the_right);
// What a terminal may be sent of a text from somewhere: control characters, and all that is not ASCII where the text is no
// UTF-8, become \xNN.
std::string printable(std::string_view text);
// "name | value" without frame, for rows of two; values of several lines are indented.
std::string name_value_list(const std::vector<std::pair<std::string, std::string>>& rows);

}  // namespace forge::cli
