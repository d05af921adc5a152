// Python's two ways to format text: "%s of %d" % values, and "{} of {n:>3}".format(…).
// Thread safety: stateless. Errors: through Run; rare options are unsupported by name.
#pragma once

#include <string>
#include <string_view>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

// `values`: a tuple, a dict for %(name)s, or the one value.
// What is put into a safe text is escaped.
std::string percent_format(Run& run, const Value& format, const Value& values);
std::string brace_format(Run& run, const Value& format, const Arguments& arguments);

}  // namespace alambic::jinja
