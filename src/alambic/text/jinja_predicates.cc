#include <algorithm>
#include <cmath>

#include "alambic/text/jinja_filters.h"
#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_text.h"

namespace alambic::jinja {
namespace {

using TestCall = bool (*)(Run&, const Value&, const Arguments&);
struct Test {
  std::string_view name;
  TestCall call;
};

template <bool (*question)(const Value&)>
bool plain(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "test", arguments, {}, 0);
  return question(value);
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is(Kind::kBool); }
bool is_true(const Value& value) { return value.is(Kind::kBool) && value.as_bool(); }
bool is_false(const Value& value) { return value.is(Kind::kBool) && !value.as_bool(); }
bool is_integer(const Value& value) { return value.is(Kind::kInteger); }
bool is_float(const Value& value) { return value.is(Kind::kFloat); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_text(); }
bool is_mapping(const Value& value) { return value.is_dict(); }
bool is_callable(const Value& value) { return value.is(Kind::kFunction); }
bool is_never(const Value&) { return false; }

bool is_sequence(const Value& value) {
  if (!value.is(Kind::kSequence)) {
    return value.is_text() || value.is_dict() || value.is_undefined();
  }
  const SequenceForm form = value.as_sequence().form;
  return form == SequenceForm::kList || form == SequenceForm::kTuple ||
         form == SequenceForm::kRange;
}

bool is_iterable(const Value& value) {
  return value.is_text() || value.is_dict() || value.is_undefined() || value.is(Kind::kSequence) ||
         value.is(Kind::kLoop);
}

bool is_odd(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "odd", arguments, {}, 0);
  const Value rest = calculate(run, Operator::kModulo, value, Value::integer(2));
  return equal(run, rest, Value::integer(1));
}

bool is_even(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "even", arguments, {}, 0);
  const Value rest = calculate(run, Operator::kModulo, value, Value::integer(2));
  return equal(run, rest, Value::integer(0));
}

bool is_divisible(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "divisibleby", arguments, {"num"}, 1);
  const Value rest = calculate(run, Operator::kModulo, value, args[0]);
  return equal(run, rest, Value::integer(0));
}

template <bool upper>
bool is_cased(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "lower", arguments, {}, 0);
  return has_case(to_text(run, value), upper);
}

bool is_same(Run& run, const Value& value, const Arguments& arguments) {
  return value.same_as(bind(run, "sameas", arguments, {"other"}, 1)[0]);
}

template <Comparison comparison>
bool compares(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "test", arguments, {"other"}, 1);
  return compare(run, comparison, value, args[0]);
}

bool is_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "filter", arguments, {}, 0);
  return value.is_text() && filter_exists(value.as_text());
}

bool is_test(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "test", arguments, {}, 0);
  return value.is_text() && test_exists(value.as_text());
}

constexpr Test kTests[] = {{"!=", compares<Comparison::kNotEqual>},
                           {"<", compares<Comparison::kLess>},
                           {"<=", compares<Comparison::kLessEqual>},
                           {"==", compares<Comparison::kEqual>},
                           {">", compares<Comparison::kGreater>},
                           {">=", compares<Comparison::kGreaterEqual>},
                           {"boolean", plain<is_boolean>},
                           {"callable", plain<is_callable>},
                           {"defined", plain<is_defined>},
                           {"divisibleby", is_divisible},
                           {"eq", compares<Comparison::kEqual>},
                           {"equalto", compares<Comparison::kEqual>},
                           {"escaped", plain<is_never>},
                           {"even", is_even},
                           {"false", plain<is_false>},
                           {"filter", is_filter},
                           {"float", plain<is_float>},
                           {"ge", compares<Comparison::kGreaterEqual>},
                           {"greaterthan", compares<Comparison::kGreater>},
                           {"gt", compares<Comparison::kGreater>},
                           {"in", compares<Comparison::kIn>},
                           {"integer", plain<is_integer>},
                           {"iterable", plain<is_iterable>},
                           {"le", compares<Comparison::kLessEqual>},
                           {"lessthan", compares<Comparison::kLess>},
                           {"lower", is_cased<false>},
                           {"lt", compares<Comparison::kLess>},
                           {"mapping", plain<is_mapping>},
                           {"ne", compares<Comparison::kNotEqual>},
                           {"none", plain<is_none>},
                           {"number", plain<is_number>},
                           {"odd", is_odd},
                           {"sameas", is_same},
                           {"sequence", plain<is_sequence>},
                           {"string", plain<is_string>},
                           {"test", is_test},
                           {"true", plain<is_true>},
                           {"undefined", plain<is_undefined>},
                           {"upper", is_cased<true>}};

const Test* find_test(std::string_view name) {
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [name](const Test& test) { return test.name == name; });
  return found == std::end(kTests) ? nullptr : found;
}

}  // namespace

bool test_exists(std::string_view name) { return find_test(name) != nullptr; }

bool apply_test(Run& run, std::string_view name, const Value& value, const Arguments& arguments) {
  run.step();
  return find_test(name)->call(run, value, arguments);
}

}  // namespace alambic::jinja
