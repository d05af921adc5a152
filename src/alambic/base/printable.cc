#include "alambic/base/printable.h"

#include <fmt/format.h>

#include <cstdint>

namespace alambic {
namespace {

struct Point {
  uint32_t value = 0;
  size_t bytes = 1;
  bool valid = false;
};

Point point_at(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1, true};
  const size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < size) return {first, 1, false};
  uint32_t value = first & (0xFFU >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {first, 1, false};
    value = value << 6 | (byte(i) & 0x3FU);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool valid =
      value >= kLeast[size] && value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF);
  return {value, valid ? size : 1, valid};
}

bool acts_on_terminals(uint32_t point) {
  const auto within = [&](uint32_t low, uint32_t high) { return point >= low && point <= high; };
  return point < 0x20 || within(0x7F, 0x9F) || point == 0x061C || within(0x200E, 0x200F) ||
         within(0x2028, 0x202E) || within(0x2060, 0x206F) || point == 0xFEFF ||
         within(0xFFF9, 0xFFFB) || within(0xE0000, 0xE007F);
}

std::string escaped(uint32_t point) {
  switch (point) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return point < 0x80      ? fmt::format("\\x{:02x}", point)
             : point < 0x10000 ? fmt::format("\\u{:04x}", point)
                               : fmt::format("\\U{:08x}", point);
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const Point point = point_at(text);
    if (!point.valid) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else if (acts_on_terminals(point.value)) {
      result += escaped(point.value);
    } else {
      result += text.substr(0, point.bytes);
    }
    text.remove_prefix(point.bytes);
  }
  return result;
}

std::string printable_lines(std::string_view text) {
  std::string result;
  for (;;) {
    const size_t end = text.find('\n');
    result += printable(text.substr(0, end));
    if (end == std::string_view::npos) return result;
    result += '\n';
    text.remove_prefix(end + 1);
  }
}

std::string printable_json(std::string_view json) {
  std::string result;
  while (!json.empty()) {
    const Point point = point_at(json);
    if (point.valid && point.value > 0x7E && acts_on_terminals(point.value)) {
      if (point.value < 0x10000) {
        result += fmt::format("\\u{:04x}", point.value);
      } else {
        const uint32_t rest = point.value - 0x10000;
        result += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
      }
    } else {
      result += json.substr(0, point.bytes);
    }
    json.remove_prefix(point.bytes);
  }
  return result;
}

std::string counted(long long count, std::string_view one, std::string_view many) {
  if (count == 1) return fmt::format("1 {}", one);
  return many.empty() ? fmt::format("{} {}s", count, one) : fmt::format("{} {}", count, many);
}

}  // namespace alambic
