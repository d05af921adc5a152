#include "alambic/text/jinja_methods.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "alambic/text/jinja_format.h"
#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_text.h"

namespace alambic::jinja {
namespace {

using MethodCall = Value (*)(Run&, const Value&, const Arguments&);
struct Method {
  std::string_view name;
  MethodCall call;
};

std::optional<std::string_view> optional_text(Run& run, const Value& value) {
  if (value.absent() || value.is_none()) return std::nullopt;
  return to_plain_text(run, value, "the argument");
}

int64_t optional_integer(Run& run, const Value& value, int64_t fallback) {
  return value.absent() ? fallback : to_index(run, value, "the argument");
}

void no_names(const Run& run, std::string_view method, const Arguments& arguments) {
  if (!arguments.named.empty()) run.wrong("{}() takes no keyword arguments", method);
}

// A text made from `self`, as safe as it is.
Value made_from(Run& run, const Value& self, std::string text) {
  return Value::text(run, std::move(text), self.is_safe());
}

Value texts(Run& run, const Value& self, const std::vector<std::string_view>& pieces,
            SequenceForm form) {
  std::vector<Value> items;
  run.pay_for_items(pieces.size());
  items.reserve(pieces.size());
  for (const std::string_view piece : pieces) {
    items.push_back(made_from(run, self, std::string(piece)));
  }
  return Value::sequence(run, form, std::move(items));
}

template <Side side>
Value strip_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "strip", arguments);
  const auto args = bind(run, "strip", arguments, {"chars"}, 0);
  run.pay_for_text(self.as_text().size());
  return made_from(run, self,
                   std::string(strip(self.as_text(), optional_text(run, args[0]), side)));
}

template <Side from>
Value split_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "split", arguments, {"sep", "maxsplit"}, 0);
  const auto separator = optional_text(run, args[0]);
  if (separator && separator->empty()) run.wrong("empty separator");
  run.pay_for_text(self.as_text().size());
  return texts(run, self,
               split_text(self.as_text(), separator, optional_integer(run, args[1], -1), from),
               SequenceForm::kList);
}

Value splitlines_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "splitlines", arguments, {"keepends"}, 0);
  run.pay_for_text(self.as_text().size());
  return texts(run, self, split_text_lines(self.as_text(), truth(args[0])), SequenceForm::kList);
}

template <bool last>
Value partition_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "partition", arguments);
  const auto args = bind(run, "partition", arguments, {"sep"}, 1);
  const std::string& separator = to_plain_text(run, args[0], "the separator");
  if (separator.empty()) run.wrong("empty separator");
  const std::string_view text = self.as_text();
  const size_t at = last ? text.rfind(separator) : text.find(separator);
  if (at == std::string_view::npos) {
    return last ? texts(run, self, {"", "", text}, SequenceForm::kTuple)
                : texts(run, self, {text, "", ""}, SequenceForm::kTuple);
  }
  return texts(run, self, {text.substr(0, at), separator, text.substr(at + separator.size())},
               SequenceForm::kTuple);
}

// The part of the text that optional `start` and `end` arguments leave; nothing if start lies
// behind the end.
std::optional<std::string_view> window(Run& run, std::string_view text, const Value& start,
                                       const Value& end, size_t* skipped) {
  *skipped = 0;
  const bool from_start = start.absent() || start.is_none();
  if (from_start && (end.absent() || end.is_none())) return text;
  const auto size = static_cast<int64_t>(count_characters(text));
  const auto place = [&](const Value& value, int64_t fallback) {
    if (value.absent() || value.is_none()) return fallback;
    const int64_t at = to_index(run, value, "the position");
    return at < 0 ? std::max<int64_t>(at + size, 0) : at;
  };
  const int64_t begin = place(start, 0), stop = std::min(place(end, size), size);
  if (begin > size || begin > stop) return std::nullopt;
  const size_t first = byte_of_character(text, static_cast<size_t>(begin));
  const size_t last = byte_of_character(text, static_cast<size_t>(stop));
  *skipped = static_cast<size_t>(begin);
  return text.substr(first, last - first);
}

template <bool suffix>
Value starts_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, suffix ? "endswith" : "startswith", arguments);
  const auto args =
      bind(run, suffix ? "endswith" : "startswith", arguments, {"prefix", "start", "end"}, 1);
  size_t skipped = 0;
  const auto text = window(run, self.as_text(), args[1], args[2], &skipped);
  const auto fits = [&](const Value& affix) {
    const std::string& part = to_plain_text(run, affix, "the argument");
    return text && (suffix ? text->ends_with(part) : text->starts_with(part));
  };
  if (!args[0].is_sequence(SequenceForm::kTuple)) return Value::boolean(fits(args[0]));
  const auto& affixes = args[0].as_sequence().items;
  run.step(affixes.size());
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), fits));
}

enum class Search { kFind, kLast, kIndex, kLastIndex };

template <Search search>
Value find_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "find", arguments);
  const auto args = bind(run, "find", arguments, {"sub", "start", "end"}, 1);
  const std::string& wanted = to_plain_text(run, args[0], "the argument");
  run.pay_for_text(self.as_text().size());
  size_t skipped = 0;
  const auto text = window(run, self.as_text(), args[1], args[2], &skipped);
  constexpr bool kLast = search == Search::kLast || search == Search::kLastIndex;
  const size_t at = !text   ? std::string_view::npos
                    : kLast ? text->rfind(wanted)
                            : text->find(wanted);
  if (at != std::string_view::npos) {
    const size_t place = skipped + count_characters(text->substr(0, at));
    return Value::integer(static_cast<Integer>(place));
  }
  if (search == Search::kIndex || search == Search::kLastIndex) run.wrong("substring not found");
  return Value::integer(-1);
}

Value count_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "count", arguments);
  const auto args = bind(run, "count", arguments, {"sub", "start", "end"}, 1);
  const std::string& wanted = to_plain_text(run, args[0], "the argument");
  run.pay_for_text(self.as_text().size());
  size_t skipped = 0;
  const auto text = window(run, self.as_text(), args[1], args[2], &skipped);
  if (!text) return Value::integer(0);
  if (wanted.empty()) return Value::integer(static_cast<Integer>(count_characters(*text)) + 1);
  return Value::integer(
      static_cast<Integer>(split_text(*text, wanted, -1, Side::kLeft).size() - 1));
}

Value replace_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "replace", arguments);
  const auto args = bind(run, "replace", arguments, {"old", "new", "count"}, 2);
  run.pay_for_text(self.as_text().size());
  const std::string& from = to_plain_text(run, args[0], "the argument");
  const std::string& to = to_plain_text(run, args[1], "the argument");
  const int64_t count = optional_integer(run, args[2], -1);
  return made_from(run, self,
                   replace_text(self.as_text(), from, self.is_safe() ? to_html(run, args[1]) : to,
                                count, kMaxTextBytes));
}

Value join_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "join", arguments);
  const auto args = bind(run, "join", arguments, {"iterable"}, 1);
  if (args[0].is_undefined()) return made_from(run, self, "");
  std::string out;
  bool first = true;
  for (const Value& item : iterate(run, args[0])) {
    if (!item.is_text() && !self.is_safe()) {
      run.wrong("join() wants texts; got an item of type '{}'", type_name(item));
    }
    if (!first) out += self.as_text();
    first = false;
    out += self.is_safe() ? to_html(run, item) : item.as_text();
    run.step(1 + self.as_text().size() / 32);
    if (out.size() > kMaxTextBytes) break;
  }
  return made_from(run, self, std::move(out));
}

enum class Pad { kLeft, kRight, kCenter };

template <Pad pad>
Value pad_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "center", arguments);
  const auto args = bind(run, "center", arguments, {"width", "fillchar"}, 1);
  const int64_t width = to_index(run, args[0], "the width");
  const std::string fill =
      args[1].absent() ? " " : to_plain_text(run, args[1], "the fill character");
  if (count_characters(fill) != 1) run.wrong("the fill character must be one character long");
  const std::string& text = self.as_text();
  const auto length = static_cast<int64_t>(count_characters(text));
  if (width <= length) return self;
  if (width > static_cast<int64_t>(kMaxTextBytes)) run.pay_for_text(kMaxTextBytes + 1);
  const auto missing = static_cast<size_t>(width - length);
  size_t left = 0;
  if (pad == Pad::kRight) left = missing;
  // Python puts the odd one on the left where the width is odd.
  if (pad == Pad::kCenter) left = missing / 2 + (missing & static_cast<size_t>(width) & 1);
  std::string out;
  for (size_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (size_t i = left; i < missing; ++i) out += fill;
  return made_from(run, self, std::move(out));
}

Value zfill_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "zfill", arguments, {"width"}, 1);
  const int64_t width = to_index(run, args[0], "the width");
  std::string text = self.as_text();
  const auto length = static_cast<int64_t>(count_characters(text));
  if (width <= length) return self;
  if (width > static_cast<int64_t>(kMaxTextBytes)) run.pay_for_text(kMaxTextBytes + 1);
  const bool sign = !text.empty() && (text[0] == '+' || text[0] == '-');
  text.insert(sign ? 1 : 0, static_cast<size_t>(width - length), '0');
  return made_from(run, self, std::move(text));
}

template <bool suffix>
Value remove_affix_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "removeprefix", arguments, {"prefix"}, 1);
  const std::string& affix = to_plain_text(run, args[0], "the argument");
  std::string_view text = self.as_text();
  if (suffix && text.ends_with(affix)) text.remove_suffix(affix.size());
  if (!suffix && text.starts_with(affix)) text.remove_prefix(affix.size());
  return made_from(run, self, std::string(text));
}

template <std::string (*function)(std::string_view)>
Value case_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "upper", arguments, {}, 0);
  run.pay_for_text(self.as_text().size());
  return made_from(run, self, function(self.as_text()));
}

template <CharacterTest test>
Value character_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "isalpha", arguments, {}, 0);
  run.pay_for_text(self.as_text().size());
  return Value::boolean(all_characters(self.as_text(), test));
}

template <bool upper>
Value has_case_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "isupper", arguments, {}, 0);
  run.pay_for_text(self.as_text().size());
  return Value::boolean(has_case(self.as_text(), upper));
}

Value is_identifier_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "isidentifier", arguments, {}, 0);
  run.pay_for_text(self.as_text().size());
  return Value::boolean(is_identifier(self.as_text()));
}

Value format_method(Run& run, const Value& self, const Arguments& arguments) {
  return made_from(run, self, brace_format(run, self, arguments));
}

Value count_items_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "count", arguments, {"value"}, 1);
  const auto& items = self.as_sequence().items;
  return Value::integer(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(run, item, args[0]); }));
}

Value index_of_item_method(Run& run, const Value& self, const Arguments& arguments) {
  const auto args = bind(run, "index", arguments, {"value"}, 1);
  const auto& items = self.as_sequence().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (equal(run, items[i], args[0])) return Value::integer(static_cast<Integer>(i));
  }
  run.wrong("the value is not in the list");
}

Value copy_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "copy", arguments, {}, 0);
  return self;
}

Value get_method(Run& run, const Value& self, const Arguments& arguments) {
  no_names(run, "get", arguments);
  const auto args = bind(run, "get", arguments, {"key", "default"}, 1);
  if (const Value* found = find_key(run, self.as_dict(), args[0])) return *found;
  return args[1].absent() ? Value::none() : args[1];
}

template <SequenceForm form>
Value view_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "items", arguments, {}, 0);
  std::vector<Value> items;
  const auto& entries = self.as_dict().entries;
  run.pay_for_items(entries.size());
  items.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    if (form == SequenceForm::kKeys) {
      items.push_back(key);
    } else if (form == SequenceForm::kValues) {
      items.push_back(value);
    } else {
      items.push_back(Value::tuple(run, {key, value}));
    }
  }
  return Value::sequence(run, form, std::move(items));
}

Value cycle_method(Run& run, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) run.wrong("no items for cycling given");
  return arguments.positional[self.as_loop().index % arguments.positional.size()];
}

Value is_integer_method(Run& run, const Value& self, const Arguments& arguments) {
  bind(run, "is_integer", arguments, {}, 0);
  const double value = self.as_float();
  return Value::boolean(std::isfinite(value) && std::floor(value) == value);
}

// Null: Python has it, this interpreter has not.
constexpr Method kTextMethods[] = {
    {"capitalize", case_method<capitalize>},
    {"casefold", nullptr},
    {"center", pad_method<Pad::kCenter>},
    {"count", count_method},
    {"encode", nullptr},
    {"endswith", starts_method<true>},
    {"expandtabs", nullptr},
    {"find", find_method<Search::kFind>},
    {"format", format_method},
    {"format_map", nullptr},
    {"index", find_method<Search::kIndex>},
    {"isalnum", character_method<CharacterTest::kAlnum>},
    {"isalpha", character_method<CharacterTest::kAlpha>},
    {"isascii", character_method<CharacterTest::kAscii>},
    {"isdecimal", character_method<CharacterTest::kDecimal>},
    {"isdigit", character_method<CharacterTest::kDigit>},
    {"isidentifier", is_identifier_method},
    {"islower", has_case_method<false>},
    {"isnumeric", character_method<CharacterTest::kNumeric>},
    {"isprintable", nullptr},
    {"isspace", character_method<CharacterTest::kSpace>},
    {"istitle", nullptr},
    {"isupper", has_case_method<true>},
    {"join", join_method},
    {"ljust", pad_method<Pad::kLeft>},
    {"lower", case_method<to_lower>},
    {"lstrip", strip_method<Side::kLeft>},
    {"maketrans", nullptr},
    {"partition", partition_method<false>},
    {"removeprefix", remove_affix_method<false>},
    {"removesuffix", remove_affix_method<true>},
    {"replace", replace_method},
    {"rfind", find_method<Search::kLast>},
    {"rindex", find_method<Search::kLastIndex>},
    {"rjust", pad_method<Pad::kRight>},
    {"rpartition", partition_method<true>},
    {"rsplit", split_method<Side::kRight>},
    {"rstrip", strip_method<Side::kRight>},
    {"split", split_method<Side::kLeft>},
    {"splitlines", splitlines_method},
    {"startswith", starts_method<false>},
    {"strip", strip_method<Side::kBoth>},
    {"swapcase", case_method<swap_case>},
    {"title", case_method<title_words>},
    {"translate", nullptr},
    {"upper", case_method<to_upper>},
    {"zfill", zfill_method},
};
constexpr Method kTupleMethods[] = {{"count", count_items_method}, {"index", index_of_item_method}};
constexpr Method kListMethods[] = {
    {"copy", copy_method}, {"count", count_items_method}, {"index", index_of_item_method}};
constexpr Method kRangeMethods[] = {{"count", count_items_method},
                                    {"index", index_of_item_method},
                                    {"start", nullptr},
                                    {"step", nullptr},
                                    {"stop", nullptr}};
constexpr Method kDictMethods[] = {{"copy", copy_method},
                                   {"fromkeys", nullptr},
                                   {"get", get_method},
                                   {"items", view_method<SequenceForm::kItems>},
                                   {"keys", view_method<SequenceForm::kKeys>},
                                   {"values", view_method<SequenceForm::kValues>}};
constexpr Method kViewMethods[] = {{"isdisjoint", nullptr}, {"mapping", nullptr}};
constexpr Method kIntegerMethods[] = {
    {"as_integer_ratio", nullptr}, {"bit_count", nullptr},   {"bit_length", nullptr},
    {"conjugate", nullptr},        {"denominator", nullptr}, {"imag", nullptr},
    {"numerator", nullptr},        {"real", nullptr},        {"to_bytes", nullptr}};
constexpr Method kFloatMethods[] = {
    {"as_integer_ratio", nullptr},     {"conjugate", nullptr}, {"hex", nullptr}, {"imag", nullptr},
    {"is_integer", is_integer_method}, {"real", nullptr}};
constexpr Method kLoopMethods[] = {{"changed", nullptr}, {"cycle", cycle_method}};

constexpr std::string_view kForbiddenOfLists[] = {"append", "clear",  "extend",  "insert",
                                                  "pop",    "remove", "reverse", "sort"};
constexpr std::string_view kForbiddenOfDicts[] = {"clear", "pop", "popitem", "setdefault",
                                                  "update"};

std::span<const Method> methods_of(const Value& object) {
  switch (object.kind()) {
    case Kind::kText:
      return kTextMethods;
    case Kind::kDict:
      return kDictMethods;
    case Kind::kBool:
    case Kind::kInteger:
      return kIntegerMethods;
    case Kind::kFloat:
      return kFloatMethods;
    case Kind::kLoop:
      return kLoopMethods;
    case Kind::kSequence:
      switch (object.as_sequence().form) {
        case SequenceForm::kList:
          return kListMethods;
        case SequenceForm::kTuple:
          return kTupleMethods;
        case SequenceForm::kRange:
          return kRangeMethods;
        case SequenceForm::kIterator:
          return {};
        default:
          return kViewMethods;
      }
    default:
      return {};
  }
}

bool forbidden(const Value& object, std::string_view name) {
  if (name.starts_with("__") && name.ends_with("__")) return true;
  const auto among = [name](std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return (object.is_sequence(SequenceForm::kList) && among(kForbiddenOfLists)) ||
         (object.is_dict() && among(kForbiddenOfDicts));
}

Value neighbour(const Loop& loop, bool exists, size_t index, const char* message) {
  return exists ? loop.items->items[index] : Value::undefined(message);
}

std::optional<Value> loop_attribute(const Loop& loop, std::string_view name) {
  const size_t length = loop.items->items.size(), index = loop.index;
  const auto count = [](size_t number) { return Value::integer(static_cast<Integer>(number)); };
  if (name == "index") return count(index + 1);
  if (name == "index0") return count(index);
  if (name == "revindex") return count(length - index);
  if (name == "revindex0") return count(length - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == length);
  if (name == "length") return count(length);
  // Only recursive loops, which are not supported, go deeper.
  if (name == "depth") return Value::integer(1);
  if (name == "depth0") return Value::integer(0);
  if (name == "previtem") {
    return neighbour(loop, index > 0, index - 1, "there is no previous item");
  }
  if (name == "nextitem") {
    return neighbour(loop, index + 1 < length, index + 1, "there is no next item");
  }
  return std::nullopt;
}

Value unsupported_method(Run& run, const Value& self, const Arguments&) {
  run.unsupported("this method of '{}'", type_name(self));
}

}  // namespace

std::optional<Value> method_of(Run& run, const Value& object, std::string_view name) {
  if (object.is(Kind::kLoop)) {
    if (auto attribute = loop_attribute(object.as_loop(), name)) return attribute;
  }
  const auto methods = methods_of(object);
  const auto found = std::find_if(methods.begin(), methods.end(),
                                  [name](const Method& method) { return method.name == name; });
  if (found != methods.end()) {
    run.step();
    Function function;
    function.name = found->name;
    function.method = found->call != nullptr ? found->call : unsupported_method;
    function.self = object;
    return Value::of(std::make_shared<const Function>(std::move(function)));
  }
  if (forbidden(object, name)) {
    return Value::undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(object)));
  }
  return std::nullopt;
}

}  // namespace alambic::jinja
