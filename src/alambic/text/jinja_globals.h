// The functions that every template sees: range, dict, namespace, raise_exception, strftime_now.
// Thread safety: stateless. Errors: through Run; raise_exception's message is one.
#pragma once

#include <memory>
#include <string_view>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

// Absent if there is none of this name.
Value global_function(std::string_view name);
Value call_global(Run& run, std::string_view name, const Arguments& arguments);
std::unique_ptr<Namespace> make_namespace(Run& run, const Arguments& arguments);
void set_member(Run& run, Namespace& space, const std::string& name, const Value& value);

}  // namespace alambic::jinja
