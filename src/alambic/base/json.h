// JSON access with errors that name the file and the key. Depth is bounded, so that hostile nesting
// cannot exhaust the stack.
#pragma once

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "alambic/base/error.h"

namespace alambic {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Parses a whole document; `where` (a file name) opens the error line. Throws kCorruptData.
Json parse_json(std::string_view text, std::string_view where);
// The same, and kCorruptData naming the key where an object has one twice: readers differ in which
// of the two they believe.
Json parse_unique_json(std::string_view text, std::string_view where);
// Such keys are refused here as well.
Json read_json_file(const std::string& path);
// The same with keys in the order of the text and every number as it is spelled. A key that an
// object has twice is refused, naming the item if the document is a list. Throws kCorruptData.
OrderedJson parse_ordered_json(std::string_view text, std::string_view where);
// Serialises; bytes that are not UTF-8 become U+FFFD instead of an exception. Written numbers are
// written so again.
std::string dump_json(const Json& value, int indent = -1);
std::string dump_json(const OrderedJson& value, int indent = -1);

// A number that the library's types do not hold: an integer beyond 64 bits, NaN and infinities as
// Python writes them; from parse_ordered_json also one whose spelling would change (1e3, 1.10, -0).
// It is kept as it is written, in a binary value of this subtype.
inline constexpr uint64_t kWrittenNumber = 'n';
template <class J>
J written_number(std::string_view spelled) {
  return J::binary({spelled.begin(), spelled.end()}, kWrittenNumber);
}
template <class J>
bool is_written_number(const J& value) {
  return value.is_binary() && value.get_binary().has_subtype() &&
         value.get_binary().subtype() == kWrittenNumber;
}
// Any number, written ones included.
template <class J>
bool is_any_number(const J& value) {
  return value.is_number() || is_written_number(value);
}
// A number as it is spelled.
template <class J>
std::string number_text(const J& number) {
  if (!is_written_number(number)) return number.dump();
  return {number.get_binary().begin(), number.get_binary().end()};
}
// The nearest double to a written number; it may be infinite or NaN.
double written_value(std::string_view spelled);

// value[key] as T; kCorruptData naming `where` and the key if it is missing or of another type.
template <class T>
T require(const Json& value, const char* key, std::string_view where) {
  const auto it = value.is_object() ? value.find(key) : value.end();
  if (!value.is_object() || it == value.end()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" is missing", where, key);
  }
  try {
    if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
      // The library would wrap what does not fit, and truncate 1.5.
      const bool fits = it->is_number_unsigned()
                            ? std::in_range<T>(it->get<uint64_t>())
                            : it->is_number_integer() && std::in_range<T>(it->get<int64_t>());
      if (!fits) {
        fail(ErrorCode::kCorruptData, "[{}] key \"{}\" is {}; want an integer in range", where, key,
             dump_json(*it));
      }
    }
    if constexpr (std::is_floating_point_v<T>) {
      if (is_written_number(*it)) {
        const double number = written_value(number_text(*it));
        if (!std::isfinite(number)) {
          fail(ErrorCode::kCorruptData, "[{}] key \"{}\" is {}; want a finite number", where, key,
               number_text(*it));
        }
        return static_cast<T>(number);
      }
    }
    return it->get<T>();
  } catch (const Json::exception&) {
    fail(ErrorCode::kCorruptData, "[{}] key \"{}\" has the wrong type; got {}", where, key,
         it->type_name());
  }
}

// value[key] as T, or `fallback` where the key is absent or null; a wrong type is still an error.
template <class T>
T optional(const Json& value, const char* key, T fallback, std::string_view where) {
  if (!value.is_object() || !value.contains(key) || value.at(key).is_null()) return fallback;
  return require<T>(value, key, where);
}

}  // namespace alambic
