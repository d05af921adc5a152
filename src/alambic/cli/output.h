// Where results and remarks go. Thread safety: one thread.
#pragma once

#include <string>
#include <string_view>

#include "alambic/base/json.h"

namespace alambic {

// The reader of standard output has gone: there is nobody left to work for.
struct OutputClosed {};

// Writes to standard output at once. Throws OutputClosed, or kIo where the system refuses (a full
// disk).
void print_result(std::string_view text);
// One line of JSON, or indented over several.
void print_json(const OrderedJson& value, int indent = -1);
void print_json(const Json& value, int indent = -1);
// A line on standard error, dim on a terminal; control characters are escaped.
void print_remark(std::string_view line);
// "alambic: message" on standard error, whatever the message holds, on one line; control characters
// are escaped (base/printable.h).
void print_error(std::string_view message);

}  // namespace alambic
