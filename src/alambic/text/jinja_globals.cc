#include "alambic/text/jinja_globals.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

constexpr std::array<std::string_view, 5> kGlobals = {"range", "dict", "namespace",
                                                      "raise_exception", "strftime_now"};
// Globals of jinja2 that templates hardly use.
constexpr std::array<std::string_view, 3> kUnsupportedGlobals = {"cycler", "joiner", "lipsum"};

Value make_range(Run& run, const Arguments& arguments) {
  if (!arguments.named.empty()) run.wrong("range() takes no keyword arguments");
  const auto args = bind(run, "range", arguments, {"start", "stop", "step"}, 1);
  const bool one = args[1].absent();
  const int64_t start = one ? 0 : to_index(run, args[0], "range()");
  const int64_t stop = to_index(run, one ? args[0] : args[1], "range()");
  const int64_t step = args[2].absent() ? 1 : to_index(run, args[2], "range()");
  if (step == 0) run.wrong("range() arg 3 must not be zero");
  const Integer distance = step > 0 ? Integer{stop} - start : Integer{start} - stop;
  const Integer stride = step > 0 ? Integer{step} : -Integer{step};
  const Integer count = distance > 0 ? (distance - 1) / stride + 1 : 0;
  if (count > kMaxRange) run.exhausted("a range of more than 100000 numbers");
  std::vector<Value> numbers;
  numbers.reserve(static_cast<size_t>(count));
  for (Integer i = 0; i < count; ++i) numbers.push_back(Value::integer(start + i * step));
  return Value::sequence(run, SequenceForm::kRange, std::move(numbers));
}

// What dict(…) makes of a mapping or pairs, and keywords.
std::vector<std::pair<Value, Value>> dict_entries(Run& run, const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) run.wrong("dict() takes at most one argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is_dict()) {
      run.pay_for_items(source.as_dict().entries.size());
      entries = source.as_dict().entries;
    } else {
      for (const Value& pair : iterate(run, source)) {
        const auto both = iterate(run, pair);
        if (both.size() != 2) run.wrong("dict() wants pairs");
        set_entry(run, entries, both[0], both[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) {
    set_entry(run, entries, Value::text(run, name), value);
  }
  return entries;
}

Value formatted_time(Run& run, const Arguments& arguments) {
  const auto args = bind(run, "strftime_now", arguments, {"format"}, 1);
  const std::string& format = to_plain_text(run, args[0], "the format");
  if (format.size() > 200) run.unsupported("so long a time format");
  const std::time_t now = run.now();
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 8192> buffer{};
  const size_t size = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  return Value::text(run, to_valid_utf8({buffer.data(), size}));
}

}  // namespace

Value global_function(std::string_view name) {
  const bool known = std::find(kGlobals.begin(), kGlobals.end(), name) != kGlobals.end() ||
                     std::find(kUnsupportedGlobals.begin(), kUnsupportedGlobals.end(), name) !=
                         kUnsupportedGlobals.end();
  if (!known) return Value();
  Function function;
  function.name = name;
  return Value::of(std::make_shared<const Function>(std::move(function)));
}

Value call_global(Run& run, std::string_view name, const Arguments& arguments) {
  if (name == "range") return make_range(run, arguments);
  if (name == "dict") return Value::dict(run, dict_entries(run, arguments));
  if (name == "strftime_now") return formatted_time(run, arguments);
  if (name == "raise_exception") {
    const auto args = bind(run, name, arguments, {"message"}, 1);
    run.wrong("the template refuses: {}", to_text(run, args[0]));
  }
  run.unsupported("the function {}()", name);
}

std::unique_ptr<Namespace> make_namespace(Run& run, const Arguments& arguments) {
  auto space = std::make_unique<Namespace>();
  for (const auto& [key, value] : dict_entries(run, arguments)) {
    set_member(run, *space, to_plain_text(run, key, "a name in a namespace"), value);
  }
  return space;
}

void set_member(Run& run, Namespace& space, const std::string& name, const Value& value) {
  if (name.starts_with('_')) {
    run.wrong("a namespace cannot hold '{}': names that begin with _ are reserved", name);
  }
  run.step(1 + space.entries.size() / 8);
  for (auto& [key, old] : space.entries) {
    if (key == name) {
      old = value;
      return;
    }
  }
  space.entries.emplace_back(name, value);
}

}  // namespace alambic::jinja
