// The chat formats that are customary without a model's own template, as Jinja of our own. Each
// marks what the model writes, so that training can learn that alone. Thread safety: stateless.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace alambic {

struct BuiltinTemplate {
  std::string_view name, body;
};

// In alphabetical order.
std::span<const BuiltinTemplate> builtin_templates();
// The whole text of one: the macros that all share, and its body.
std::string builtin_source(const BuiltinTemplate& builtin);

}  // namespace alambic
