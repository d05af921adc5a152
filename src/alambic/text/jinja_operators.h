// Python's operators on values: equality, order, membership, arithmetic, and the ways to get at
// parts of a value. Thread safety: stateless. Errors: through Run, as Python raises TypeError,
// ZeroDivisionError and the like; integers beyond 127 bits are refused.
#pragma once

#include <string_view>
#include <vector>

#include "alambic/text/jinja_value.h"

namespace alambic::jinja {

enum class Operator { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class Comparison {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

bool equal(Run& run, const Value& a, const Value& b);
bool less(Run& run, const Value& a, const Value& b);
bool contains(Run& run, const Value& container, const Value& item);
bool compare(Run& run, Comparison comparison, const Value& a, const Value& b);
Value calculate(Run& run, Operator operation, const Value& a, const Value& b);
Value negate(Run& run, const Value& value);
Value plus(Run& run, const Value& value);

// a.name, and a[key]: the one prefers methods, the other entries, and each falls back to the other,
// as jinja2 has it. What does not exist is undefined.
Value attribute_of(Run& run, const Value& object, std::string_view name);
Value item_of(Run& run, const Value& object, const Value& key);
// a[start:stop:step]; absent or none for an end that is not given.
Value slice_of(Run& run, const Value& object, const Value& start, const Value& stop,
               const Value& step);
// The entry for a key of any kind, or null.
const Value* find_key(Run& run, const Dict& dict, const Value& key);
// Sets an entry, replacing what Python considers the same key.
void set_entry(Run& run, std::vector<std::pair<Value, Value>>& entries, Value key, Value value);

// A stable sort that bears a comparison which throws or contradicts itself.
template <class T, class Less>
void merge_sort(std::vector<T>& items, const Less& less) {
  std::vector<T> merged;
  merged.reserve(items.size());
  for (size_t width = 1; width < items.size(); width *= 2) {
    merged.clear();
    for (size_t begin = 0; begin < items.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, items.size());
      const size_t end = std::min(middle + width, items.size());
      size_t left = begin, right = middle;
      while (left < middle || right < end) {
        const bool take_right = left == middle || (right < end && less(items[right], items[left]));
        merged.push_back(std::move(items[take_right ? right++ : left++]));
      }
    }
    items.swap(merged);
  }
}

}  // namespace alambic::jinja
