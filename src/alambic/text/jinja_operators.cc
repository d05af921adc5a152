#include "alambic/text/jinja_operators.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "alambic/text/jinja_format.h"
#include "alambic/text/jinja_methods.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_text.h"

namespace alambic::jinja {
namespace {

// Sequences that compare with each other, item by item.
bool comparable(const Value& a, const Value& b) {
  if (!a.is(Kind::kSequence) || !b.is(Kind::kSequence)) return false;
  const SequenceForm form = a.as_sequence().form;
  return form == b.as_sequence().form &&
         (form == SequenceForm::kList || form == SequenceForm::kTuple);
}

bool equal_items(Run& run, const Sequence& a, const Sequence& b) {
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(run, a.items[i], b.items[i])) return false;
  }
  return true;
}

bool equal_entries(Run& run, const Dict& a, const Dict& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::all_of(a.entries.begin(), a.entries.end(), [&](const auto& entry) {
    const Value* other = find_key(run, b, entry.first);
    return other != nullptr && equal(run, entry.second, *other);
  });
}

void refuse_undefined(const Run& run, const Value& a) {
  if (a.is_undefined()) run.wrong("{}", a.why_undefined());
}

[[noreturn]] void refuse_operands(const Run& run, std::string_view sign, const Value& a,
                                  const Value& b) {
  refuse_undefined(run, a);
  refuse_undefined(run, b);
  run.wrong("unsupported operand type(s) for {}: '{}' and '{}'", sign, type_name(a), type_name(b));
}

std::string_view sign_of(Operator operation) {
  switch (operation) {
    case Operator::kAdd:
      return "+";
    case Operator::kSubtract:
      return "-";
    case Operator::kMultiply:
      return "*";
    case Operator::kDivide:
      return "/";
    case Operator::kFloorDivide:
      return "//";
    case Operator::kModulo:
      return "%";
    case Operator::kPower:
      return "**";
  }
  return "?";
}

Integer floor_divide(Integer a, Integer b) {
  const Integer quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// Python's float remainder has the sign of the divisor.
double float_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

double float_floor_divide(double a, double b) {
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (rest < 0) != (b < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

std::optional<Integer> integer_power(Integer base, Integer exponent) {
  Integer result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return std::nullopt;
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return std::nullopt;
  }
  return result;
}

Value calculate_integers(Run& run, Operator operation, Integer a, Integer b) {
  Integer result = 0;
  bool overflow = false;
  switch (operation) {
    case Operator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case Operator::kSubtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case Operator::kMultiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case Operator::kDivide:
      if (b == 0) run.wrong("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b));
    case Operator::kFloorDivide:
    case Operator::kModulo: {
      if (b == 0) run.wrong("integer division or modulo by zero");
      if (b == -1) {  // the one division that can overflow
        overflow = __builtin_sub_overflow(Integer{0}, a, &result);
        if (operation == Operator::kModulo) return Value::integer(0);
        break;
      }
      const Integer quotient = floor_divide(a, b);
      result = operation == Operator::kFloorDivide ? quotient : a - quotient * b;
      break;
    }
    case Operator::kPower: {
      if (b < 0) {
        if (a == 0) run.wrong("0.0 cannot be raised to a negative power");
        return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      const auto power = integer_power(a, b);
      overflow = !power;
      result = power.value_or(0);
      break;
    }
  }
  if (overflow) run.unsupported("an integer beyond 127 bits");
  return Value::integer(result);
}

Value calculate_floats(Run& run, Operator operation, double a, double b) {
  switch (operation) {
    case Operator::kAdd:
      return Value::number(a + b);
    case Operator::kSubtract:
      return Value::number(a - b);
    case Operator::kMultiply:
      return Value::number(a * b);
    case Operator::kDivide:
      if (b == 0) run.wrong("float division by zero");
      return Value::number(a / b);
    case Operator::kFloorDivide:
      if (b == 0) run.wrong("float floor division by zero");
      return Value::number(float_floor_divide(a, b));
    case Operator::kModulo:
      if (b == 0) run.wrong("float modulo");
      return Value::number(float_modulo(a, b));
    case Operator::kPower:
      break;
  }
  if (a == 0 && b < 0) run.wrong("0.0 cannot be raised to a negative power");
  const double power = std::pow(a, b);
  if (std::isnan(power) && !std::isnan(a) && !std::isnan(b)) {
    run.unsupported("a complex number");
  }
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
    run.wrong("the result of ** is too large");
  }
  return Value::number(power);
}

Value repeated(Run& run, const Value& value, Integer count) {
  count = std::max<Integer>(count, 0);
  if (value.is_text()) {
    const std::string& text = value.as_text();
    if (!text.empty() && count > static_cast<Integer>(kMaxTextBytes / text.size())) {
      run.pay_for_text(kMaxTextBytes + 1);
    }
    std::string out;
    out.reserve(text.size() * static_cast<size_t>(text.empty() ? 0 : count));
    for (Integer i = 0; !text.empty() && i < count; ++i) out += text;
    return Value::text(run, std::move(out), value.is_safe());
  }
  const Sequence& sequence = value.as_sequence();
  std::vector<Value> items;
  if (!sequence.items.empty()) {
    if (count > static_cast<Integer>(kMaxItems / sequence.items.size())) {
      run.pay_for_items(kMaxItems + 1);
    }
    run.pay_for_items(sequence.items.size() * static_cast<size_t>(count));
    items.reserve(sequence.items.size() * static_cast<size_t>(count));
    for (Integer i = 0; i < count; ++i) {
      items.insert(items.end(), sequence.items.begin(), sequence.items.end());
    }
  }
  return Value::sequence(run, sequence.form, std::move(items));
}

bool repeatable(const Value& value) {
  return value.is_text() || value.is_sequence(SequenceForm::kList) ||
         value.is_sequence(SequenceForm::kTuple);
}

std::optional<int64_t> slice_end(Run& run, const Value& value) {
  if (value.absent() || value.is_none()) return std::nullopt;
  if (!value.is_integral()) {
    refuse_undefined(run, value);
    run.wrong("slice indices must be integers or None");
  }
  // Far outside is as good as at the end.
  const Integer bound = Integer{1} << 60;
  return static_cast<int64_t>(std::clamp(value.as_integer(), -bound, bound));
}

Value missing(const Value& object, std::string_view name) {
  return Value::undefined(fmt::format("'{}{}' has no attribute '{}'",
                                      object.is_none() ? "None" : type_name(object),
                                      object.is_none() ? "" : " object", name));
}

// a[key] of what can be indexed; null for anything else or what is not there.
std::optional<Value> subscript(Run& run, const Value& object, const Value& key) {
  if (object.is_dict()) {
    const Value* found = find_key(run, object.as_dict(), key);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  }
  if (!key.is_integral()) return std::nullopt;
  const bool text = object.is_text();
  const bool sequence = object.is_sequence(SequenceForm::kList) ||
                        object.is_sequence(SequenceForm::kTuple) ||
                        object.is_sequence(SequenceForm::kRange);
  if (!text && !sequence) return std::nullopt;
  const auto size = static_cast<Integer>(length_of(run, object));
  Integer at = key.as_integer();
  if (at < 0) at += size;
  if (at < 0 || at >= size) return std::nullopt;
  if (sequence) return object.as_sequence().items[static_cast<size_t>(at)];
  const auto range = SliceRange{static_cast<int64_t>(at), 1, 1};
  return Value::text(run, slice_text(object.as_text(), range), object.is_safe());
}

}  // namespace

bool equal(Run& run, const Value& a, const Value& b) {
  const Run::Nested nested(run);
  run.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
    return a.as_float() == b.as_float();
  }
  if (a.kind() != b.kind()) return false;
  if (a.is_text()) {
    run.step(std::min(a.as_text().size(), b.as_text().size()) / 32);
    return a.as_text() == b.as_text();
  }
  if (a.is_dict()) return equal_entries(run, a.as_dict(), b.as_dict());
  if (comparable(a, b)) return equal_items(run, a.as_sequence(), b.as_sequence());
  return a.is_undefined() || a.same_as(b);
}

bool less(Run& run, const Value& a, const Value& b) {
  const Run::Nested nested(run);
  run.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_integer() < b.as_integer();
    return a.as_float() < b.as_float();
  }
  if (a.is_text() && b.is_text()) {
    run.step(std::min(a.as_text().size(), b.as_text().size()) / 32);
    return a.as_text() < b.as_text();
  }
  if (comparable(a, b)) {
    const auto& left = a.as_sequence().items;
    const auto& right = b.as_sequence().items;
    for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(run, left[i], right[i])) return less(run, left[i], right[i]);
    }
    return left.size() < right.size();
  }
  refuse_undefined(run, a);
  refuse_undefined(run, b);
  run.wrong("cannot order '{}' and '{}'", type_name(a), type_name(b));
}

bool contains(Run& run, const Value& container, const Value& item) {
  if (container.is_text()) {
    if (!item.is_text()) {
      run.wrong("'in <string>' requires string as left operand, not {}", type_name(item));
    }
    run.step(container.as_text().size() / 32);
    return container.as_text().find(item.as_text()) != std::string::npos;
  }
  if (container.is_dict()) return find_key(run, container.as_dict(), item) != nullptr;
  if (!container.is(Kind::kSequence) && !container.is_undefined()) {
    run.wrong("argument of type '{}' is not iterable", type_name(container));
  }
  const auto items = iterate(run, container);
  return std::any_of(items.begin(), items.end(), [&](const Value& candidate) {
    return candidate.same_as(item) || equal(run, candidate, item);
  });
}

bool compare(Run& run, Comparison comparison, const Value& a, const Value& b) {
  // Not less is not "greater or equal" where a NaN takes part.
  const bool floats = a.is_number() && b.is_number() && !(a.is_integral() && b.is_integral());
  switch (comparison) {
    case Comparison::kEqual:
      return equal(run, a, b);
    case Comparison::kNotEqual:
      return !equal(run, a, b);
    case Comparison::kLess:
      return less(run, a, b);
    case Comparison::kLessEqual:
      return floats ? a.as_float() <= b.as_float() : !less(run, b, a);
    case Comparison::kGreater:
      return less(run, b, a);
    case Comparison::kGreaterEqual:
      return floats ? a.as_float() >= b.as_float() : !less(run, a, b);
    case Comparison::kIn:
      return contains(run, b, a);
    case Comparison::kNotIn:
      return !contains(run, b, a);
  }
  return false;
}

Value calculate(Run& run, Operator operation, const Value& a, const Value& b) {
  run.step();
  if (operation == Operator::kModulo && a.is_text()) {
    return Value::text(run, percent_format(run, a, b), a.is_safe());
  }
  if (a.is_integral() && b.is_integral()) {
    return calculate_integers(run, operation, a.as_integer(), b.as_integer());
  }
  if (a.is_number() && b.is_number()) {
    return calculate_floats(run, operation, a.as_float(), b.as_float());
  }
  if (operation == Operator::kAdd) {
    if (a.is_text() && b.is_text()) {
      run.pay_for_text(a.as_text().size() + b.as_text().size());
      if (a.is_safe() || b.is_safe()) {
        return Value::text(run, to_html(run, a) + to_html(run, b), true);
      }
      return Value::text(run, a.as_text() + b.as_text());
    }
    if (comparable(a, b)) {
      const auto& left = a.as_sequence().items;
      const auto& right = b.as_sequence().items;
      run.pay_for_items(left.size() + right.size());
      std::vector<Value> items;
      items.reserve(left.size() + right.size());
      items.insert(items.end(), left.begin(), left.end());
      items.insert(items.end(), right.begin(), right.end());
      return Value::sequence(run, a.as_sequence().form, std::move(items));
    }
  }
  if (operation == Operator::kMultiply) {
    if (repeatable(a) && b.is_integral()) return repeated(run, a, b.as_integer());
    if (a.is_integral() && repeatable(b)) return repeated(run, b, a.as_integer());
  }
  refuse_operands(run, sign_of(operation), a, b);
}

Value negate(Run& run, const Value& value) {
  if (value.is(Kind::kFloat)) return Value::number(-value.as_float());
  if (!value.is_integral()) {
    refuse_undefined(run, value);
    run.wrong("bad operand type for unary -: '{}'", type_name(value));
  }
  return calculate_integers(run, Operator::kSubtract, 0, value.as_integer());
}

Value plus(Run& run, const Value& value) {
  if (value.is(Kind::kFloat)) return value;
  if (!value.is_integral()) {
    refuse_undefined(run, value);
    run.wrong("bad operand type for unary +: '{}'", type_name(value));
  }
  return Value::integer(value.as_integer());
}

const Value* find_key(Run& run, const Dict& dict, const Value& key) {
  if (key.is_dict() || key.is_sequence(SequenceForm::kList)) {
    run.wrong("unhashable type: '{}'", type_name(key));
  }
  run.step(dict.entries.size() / 8);
  if (key.is_text()) return find_entry(dict, key.as_text());
  for (const auto& [name, value] : dict.entries) {
    if (!name.is_text() && equal(run, name, key)) return &value;
  }
  return nullptr;
}

void set_entry(Run& run, std::vector<std::pair<Value, Value>>& entries, Value key, Value value) {
  if (key.is_dict() || key.is_sequence(SequenceForm::kList)) {
    run.wrong("unhashable type: '{}'", type_name(key));
  }
  run.step(1 + entries.size() / 8);
  for (auto& [name, old] : entries) {
    if (name.kind() == key.kind() || (name.is_number() && key.is_number())) {
      if (equal(run, name, key)) {
        old = std::move(value);
        return;
      }
    }
  }
  entries.emplace_back(std::move(key), std::move(value));
}

Value attribute_of(Run& run, const Value& object, std::string_view name) {
  run.step();
  if (object.is_undefined()) run.wrong("{}", object.why_undefined());
  if (auto method = method_of(run, object, name)) return std::move(*method);
  if (object.is(Kind::kNamespace)) {
    for (const auto& [key, value] : object.as_namespace().entries) {
      if (key == name) return value;
    }
  }
  if (object.is_dict()) {
    run.step(object.as_dict().entries.size() / 8);
    if (const Value* found = find_entry(object.as_dict(), name)) return *found;
  }
  return missing(object, name);
}

Value item_of(Run& run, const Value& object, const Value& key) {
  run.step();
  if (object.is_undefined()) run.wrong("{}", object.why_undefined());
  if (object.is_dict() && (key.is_dict() || key.is_sequence(SequenceForm::kList))) {
    return missing(object, "?");
  }
  if (auto found = subscript(run, object, key)) return std::move(*found);
  if (key.is_text()) {
    if (auto method = method_of(run, object, key.as_text())) return std::move(*method);
    if (object.is(Kind::kNamespace)) return attribute_of(run, object, key.as_text());
    return missing(object, key.as_text());
  }
  return Value::undefined(fmt::format("{} object has no element {}", type_name(object),
                                      key.is_integral() ? integer_text(key.as_integer()) : "?"));
}

Value slice_of(Run& run, const Value& object, const Value& start, const Value& stop,
               const Value& step) {
  if (object.is_undefined()) run.wrong("{}", object.why_undefined());
  const int64_t stride = slice_end(run, step).value_or(1);
  const auto first = slice_end(run, start), last = slice_end(run, stop);
  const bool sequence = object.is_sequence(SequenceForm::kList) ||
                        object.is_sequence(SequenceForm::kTuple) ||
                        object.is_sequence(SequenceForm::kRange);
  if (!object.is_text() && !sequence) {
    return Value::undefined(fmt::format("{} object cannot be sliced", type_name(object)));
  }
  if (stride == 0) run.wrong("slice step cannot be zero");
  const SliceRange range = slice_range(length_of(run, object), first, last, stride);
  if (object.is_text()) {
    run.pay_for_text(object.as_text().size());
    return Value::text(run, slice_text(object.as_text(), range), object.is_safe());
  }
  run.pay_for_items(static_cast<size_t>(range.count));
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(range.count));
  int64_t at = range.start;
  for (int64_t i = 0; i < range.count; ++i) {
    items.push_back(object.as_sequence().items[static_cast<size_t>(at)]);
    if (i + 1 < range.count) at += range.step;
  }
  return Value::sequence(run, object.as_sequence().form, std::move(items));
}

}  // namespace alambic::jinja
