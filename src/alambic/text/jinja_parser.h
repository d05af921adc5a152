// Template source as a tree. Thread safety: stateless.
// Errors, naming the line: kCorruptData for what jinja2 calls a syntax error, kUnsupported for
// constructs that alambic does not interpret (inheritance, imports, recursive loops, unknown tags,
// filters and tests), kResourceExhausted for one nested or grown beyond reason.
#pragma once

#include <memory>
#include <string_view>

#include "alambic/text/jinja_syntax.h"

namespace alambic::jinja {

std::unique_ptr<const Template> parse_template(std::string_view source, std::string_view where);

}  // namespace alambic::jinja
