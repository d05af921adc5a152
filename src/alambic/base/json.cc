#include "alambic/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "alambic/base/file.h"
#include "alambic/base/json_parser.h"

namespace alambic {
namespace {

template <class J>
bool holds_written_number(const J& value) {
  if (!value.is_structured()) return is_written_number(value);
  return std::any_of(value.begin(), value.end(),
                     [](const J& item) { return holds_written_number(item); });
}

// As the library writes it, but for written numbers, which it knows nothing of.
template <class J>
void write(const J& value, int indent, int depth, std::string& out) {
  if (is_written_number(value)) {
    out += number_text(value);
    return;
  }
  if (!value.is_structured() || value.empty()) {
    out += value.dump(-1, ' ', false, J::error_handler_t::replace);
    return;
  }
  const auto new_line = [&](int columns) {
    if (indent >= 0)
      out.append("\n").append(static_cast<size_t>(indent) * static_cast<size_t>(columns), ' ');
  };
  const bool object = value.is_object();
  out += object ? '{' : '[';
  bool first = true;
  for (auto it = value.begin(); it != value.end(); ++it) {
    if (!first) out += ',';
    first = false;
    new_line(depth + 1);
    if (object) {
      out += J(it.key()).dump(-1, ' ', false, J::error_handler_t::replace);
      out += indent >= 0 ? ": " : ":";
    }
    write(*it, indent, depth + 1, out);
  }
  new_line(depth);
  out += object ? '}' : ']';
}

template <class J>
std::string dump(const J& value, int indent) {
  if (!holds_written_number(value)) {
    return value.dump(indent, ' ', false, J::error_handler_t::replace);
  }
  std::string out;
  write(value, indent, 0, out);
  return out;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where) {
  return parse_json_text<Json>(text, where, KeyRule::kLastWins);
}

Json parse_unique_json(std::string_view text, std::string_view where) {
  return parse_json_text<Json>(text, where, KeyRule::kUnique);
}

OrderedJson parse_ordered_json(std::string_view text, std::string_view where) {
  return parse_json_text<OrderedJson>(text, where, KeyRule::kUnique);
}

Json read_json_file(const std::string& path) { return parse_unique_json(read_file(path), path); }

double written_value(std::string_view spelled) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (spelled.ends_with("Infinity")) {
    value = std::numeric_limits<double>::infinity();
    return spelled[0] == '-' ? -value : value;
  }
  const auto read = std::from_chars(spelled.data(), spelled.data() + spelled.size(), value);
  if (read.ec == std::errc::result_out_of_range) {
    value = std::strtod(std::string(spelled).c_str(), nullptr);
  }
  return value;
}

std::string dump_json(const Json& value, int indent) { return dump(value, indent); }
std::string dump_json(const OrderedJson& value, int indent) { return dump(value, indent); }

}  // namespace alambic
