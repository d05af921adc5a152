// What stands behind a dot: methods of str, list, tuple and dict, and what `loop` knows.
// Thread safety: stateless. Errors: through Run.
#pragma once

#include <optional>
#include <string_view>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

// The method or attribute that Python's type has under this name; nothing if it has none. What the
// sandbox forbids is undefined; what is not supported says so when it is called.
std::optional<Value> method_of(Run& run, const Value& object, std::string_view name);

}  // namespace alambic::jinja
