// Text from files and from strangers, for a terminal. Thread safety: stateless.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

// Bytes and code points that a terminal acts on, or that hide or turn around what stands beside
// them, as \n, \t, \r, \x1b, \u202e: control characters with DEL and C1, marks of direction, line
// and paragraph separators, tags, and bytes that are no UTF-8. The rest as it is.
std::string printable(std::string_view text);

// The same of a text of several lines, which stay lines.
std::string printable_lines(std::string_view text);

// JSON text with the same code points written as its own escapes: the same values.
std::string printable_json(std::string_view json);

// "1 row", "2 rows".
std::string counted(long long count, std::string_view one, std::string_view many = {});

}  // namespace alambic
