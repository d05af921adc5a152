// The filters (value | name(…)) and tests (value is name …) that templates use, by name.
// Thread safety: stateless. Errors: through Run.
#pragma once

#include <string_view>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

bool filter_exists(std::string_view name);
bool test_exists(std::string_view name);
// `name` must exist.
Value apply_filter(Run& run, std::string_view name, const Value& value, const Arguments& arguments);
bool apply_test(Run& run, std::string_view name, const Value& value, const Arguments& arguments);

}  // namespace alambic::jinja
