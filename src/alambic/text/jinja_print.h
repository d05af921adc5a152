// Values as text: Python's str() and repr(), and json.dumps() as transformers calls it.
// Thread safety: stateless. Errors: through Run; what Python would print with an address in it
// (functions, generators) is unsupported.
#pragma once

#include <optional>
#include <string>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

std::string to_text(Run& run, const Value& value);  // str()
std::string to_repr(Run& run, const Value& value);  // repr()
// str(), escaped for HTML unless it is a safe text.
std::string to_html(Run& run, const Value& value);
// repr() of a float: the shortest digits that read back, 1.0, 1e+16, inf.
std::string float_text(double value);
std::string integer_text(Integer value);

struct JsonStyle {
  std::optional<std::string> indent;  // one level of it; nothing: all on one line
  std::string item_separator = ", ", key_separator = ": ";
  bool ensure_ascii = false, sort_keys = false;
};
std::string to_json(Run& run, const Value& value, const JsonStyle& style);

}  // namespace alambic::jinja
