// Runs a parsed template over variables. Thread safety: one Run, one thread; a Template may be
// shared. Errors: through Run.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "alambic/text/jinja_syntax.h"

namespace alambic::jinja {

struct Output {
  std::string text;
  std::vector<std::pair<size_t, size_t>> generated;  // bytes between {% generation %} markers
  bool generated_elsewhere = false;  // markers within a macro or block, whose place is not known
};

// `variables` by NameId of the template, absent where there is none.
Output interpret(Run& run, const Template& tree, std::vector<Value> variables);

}  // namespace alambic::jinja
