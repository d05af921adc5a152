// Fields of one row, private to the readers of this room.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/base/trimmed.h"

namespace alambic {

inline bool is_blank(std::string_view text) { return trimmed(text).empty(); }

// Whether the row has a field that is not null.
inline bool has(const OrderedJson& row, std::string_view key) {
  const auto found = row.find(key);
  return found != row.end() && !found->is_null();
}

// The names of a row's fields, for messages.
inline std::string names_in(const std::vector<std::string>& fields) {
  const std::string names = fmt::format("{}", fmt::join(fields, ", "));
  return names.empty() ? "none" : names.substr(0, 200);
}

}  // namespace alambic
