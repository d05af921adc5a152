#include "alambic/text/jinja_filters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "alambic/text/jinja_format.h"
#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_sequence_filters.h"
#include "alambic/text/jinja_text.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

// str() of the value a text filter is applied to, paid for once more for the work on it.
std::string subject_text(Run& run, const Value& value) {
  std::string text = to_text(run, value);
  run.pay_for_text(text.size());
  return text;
}

template <std::string (*function)(std::string_view)>
Value case_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "upper", arguments, {}, 0);
  return Value::text(run, function(subject_text(run, value)), value.is_safe());
}

// A word begins after white space or one of -({[<.
std::string title_of_filter(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const auto separates = [&](size_t place) {
      return std::string_view("-({[<").find(text[place]) != std::string_view::npos ||
             is_python_space(decode_utf8(text, place).code);
    };
    const bool separator = separates(at);
    while (end < text.size() && separates(end) == separator) {
      end += decode_utf8(text, end).length;
    }
    const size_t first = decode_utf8(text, at).length;
    out += to_upper(text.substr(at, first));
    out += to_lower(text.substr(at + first, end - at - first));
    at = end;
  }
  return out;
}

Value title_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "title", arguments, {}, 0);
  return Value::text(run, title_of_filter(subject_text(run, value)));
}

Value trim_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "trim", arguments, {"chars"}, 0);
  std::optional<std::string_view> characters;
  if (!args[0].absent() && !args[0].is_none()) characters = to_plain_text(run, args[0], "chars");
  return Value::text(run, std::string(strip(subject_text(run, value), characters, Side::kBoth)),
                     value.is_safe());
}

Value replace_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "replace", arguments, {"old", "new", "count"}, 2);
  const int64_t count =
      args[2].absent() || args[2].is_none() ? -1 : to_index(run, args[2], "count");
  return Value::text(run, replace_text(subject_text(run, value), to_text(run, args[0]),
                                       to_text(run, args[1]), count, kMaxTextBytes));
}

Value string_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "string", arguments, {}, 0);
  return value.is_text() ? value : Value::text(run, to_text(run, value));
}

Value safe_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "safe", arguments, {}, 0);
  return Value::text(run, to_text(run, value), true);
}

Value escape_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "escape", arguments, {}, 0);
  return Value::text(run, to_html(run, value), true);
}

Value indent_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "indent", arguments, {"width", "first", "blank"}, 0);
  std::string indent(4, ' ');
  if (args[0].is_text()) {
    indent = args[0].as_text();
  } else if (!args[0].absent()) {
    const int64_t width = to_index(run, args[0], "width");
    if (width > static_cast<int64_t>(kMaxTextBytes)) run.pay_for_text(kMaxTextBytes + 1);
    indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  std::string text = to_plain_text(run, value, "what indent() is applied to");
  run.pay_for_text(text.size());
  text += '\n';
  std::string out;
  bool first = true;
  for (const std::string_view line : split_text_lines(text, false)) {
    if (!first) out += '\n';
    if (first ? truth(args[1]) : truth(args[2]) || !line.empty()) out += indent;
    first = false;
    out += line;
    run.pay_for_text(indent.size());
    if (out.size() > kMaxTextBytes) break;
  }
  return Value::text(run, std::move(out), value.is_safe());
}

Value truncate_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const int64_t length = args[0].absent() ? 255 : to_index(run, args[0], "length");
  const std::string end = args[2].absent() ? "..." : to_plain_text(run, args[2], "end");
  const int64_t leeway =
      args[3].absent() || args[3].is_none() ? 5 : to_index(run, args[3], "leeway");
  const auto end_length = static_cast<int64_t>(count_characters(end));
  if (length < end_length || leeway < 0) run.wrong("truncate() wants room for \"{}\"", end);
  const std::string& text = to_plain_text(run, value, "what truncate() is applied to");
  run.pay_for_text(text.size());
  const auto size = static_cast<int64_t>(count_characters(text));
  if (size <= length || size - length <= leeway) return value;
  std::string kept =
      text.substr(0, byte_of_character(text, static_cast<size_t>(length - end_length)));
  if (!truth(args[1])) kept.resize(std::min(kept.rfind(' '), kept.size()));
  return Value::text(run, kept + end, value.is_safe());
}

Value wordcount_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "wordcount", arguments, {}, 0);
  const std::string text = subject_text(run, value);
  Integer words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const size_t length = decode_utf8(text, at).length;
    const std::string_view character = std::string_view(text).substr(at, length);
    const bool word = character == "_" || all_characters(character, CharacterTest::kAlnum);
    words += static_cast<Integer>(word && !inside);
    inside = word;
    at += length;
  }
  return Value::integer(words);
}

Value center_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "center", arguments, {"width"}, 0);
  const Value text = string_filter(run, value, {});
  const Value method = attribute_of(run, text, "center");
  return method.as_function().method(run, text,
                                     {{args[0].absent() ? Value::integer(80) : args[0]}, {}});
}

Value format_filter(Run& run, const Value& value, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty()) {
    run.wrong("can't handle positional and keyword arguments at the same time");
  }
  const Value format = string_filter(run, value, {});
  if (arguments.named.empty()) {
    const Value values = Value::tuple(run, arguments.positional);
    return Value::text(run, percent_format(run, format, values), format.is_safe());
  }
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(arguments.named.size());
  for (const auto& [name, item] : arguments.named) {
    entries.emplace_back(Value::text(run, name), item);
  }
  const Value values = Value::dict(run, std::move(entries));
  return Value::text(run, percent_format(run, format, values), format.is_safe());
}

Value default_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "default", arguments, {"default_value", "boolean"}, 0);
  if (!value.is_undefined() && !(truth(args[1]) && !truth(value))) return value;
  return args[0].absent() ? Value::text(run, "") : args[0];
}

Value length_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "length", arguments, {}, 0);
  return Value::integer(static_cast<Integer>(length_of(run, value)));
}

Value attr_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "attr", arguments, {"name"}, 1);
  const std::string& name = to_plain_text(run, args[0], "the name");
  // Unlike a dot, this filter does not look into a dict.
  const Value bare = value.is_dict() ? Value::dict(run, {}) : value;
  const Value found = attribute_of(run, bare, name);
  return value.is_dict() && !found.is_undefined() ? attribute_of(run, value, name) : found;
}

// ---- numbers

// The number that Python's float() reads from a text.
std::optional<double> parse_float(std::string_view text) {
  text = strip(text, std::nullopt, Side::kBoth);
  std::string clean;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '9';
    };
    if (text[i] == '_') {
      if (i == 0 || !digit(i - 1) || !digit(i + 1)) return std::nullopt;
      continue;
    }
    clean += text[i];
  }
  std::string_view rest = clean;
  const bool negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty() || rest[0] == '-' || rest.find('(') != std::string_view::npos) {
    return std::nullopt;
  }
  double value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (end != rest.data() + rest.size() || error == std::errc::invalid_argument) {
    return std::nullopt;
  }
  if (error == std::errc::result_out_of_range) {
    // Too large or too small: the sign of the exponent tells.
    const size_t exponent = rest.find_first_of("eE");
    const bool small = exponent != std::string_view::npos && exponent + 1 < rest.size() &&
                       rest[exponent + 1] == '-';
    value = small ? 0 : HUGE_VAL;
  }
  return negative ? -value : value;
}

std::optional<Integer> parse_integer(const Run& run, std::string_view text, int64_t base) {
  text = strip(text, std::nullopt, Side::kBoth);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const auto prefixed = [&](char small, char capital) {
    return text.size() > 2 && text[0] == '0' && (text[1] == small || text[1] == capital);
  };
  const auto take_prefix = [&](char small, char capital, int64_t its_base) {
    if ((base != its_base && base != 0) || !prefixed(small, capital)) return;
    base = its_base;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  };
  take_prefix('x', 'X', 16);
  take_prefix('o', 'O', 8);
  take_prefix('b', 'B', 2);
  if (base == 0) base = 10;
  if (base < 2 || base > 36 || text.empty()) return std::nullopt;
  Integer value = 0;
  bool may_separate = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '_' && may_separate && i + 1 < text.size()) {
      may_separate = false;
      continue;
    }
    const char small = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9'           ? c - '0'
                      : small >= 'a' && small <= 'z' ? small - 'a' + 10
                                                     : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, Integer{base}, &value) ||
        __builtin_add_overflow(value, Integer{digit}, &value)) {
      run.unsupported("an integer beyond 127 bits");
    }
    may_separate = true;
  }
  return negative ? -value : value;
}

Integer truncated(const Run& run, double value) {
  if (std::fabs(value) >= 1e38) run.unsupported("an integer beyond 127 bits");
  return static_cast<Integer>(value);
}

void refuse_undefined_number(const Run& run, const Value& value) {
  if (value.is_undefined()) run.wrong("{}", value.why_undefined());
}

Value int_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "int", arguments, {"default", "base"}, 0);
  refuse_undefined_number(run, value);
  std::optional<double> number;
  if (value.is_integral()) return Value::integer(value.as_integer());
  if (value.is(Kind::kFloat)) number = value.as_float();
  if (value.is_text()) {
    run.pay_for_text(value.as_text().size());
    const int64_t base = args[1].absent() ? 10 : to_index(run, args[1], "base");
    if (const auto whole = parse_integer(run, value.as_text(), base)) {
      return Value::integer(*whole);
    }
    number = parse_float(value.as_text());
  }
  if (number && std::isfinite(*number)) return Value::integer(truncated(run, *number));
  return args[0].absent() ? Value::integer(0) : args[0];
}

Value float_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "float", arguments, {"default"}, 0);
  refuse_undefined_number(run, value);
  if (value.is_number()) return Value::number(value.as_float());
  if (value.is_text()) {
    run.pay_for_text(value.as_text().size());
    if (const auto number = parse_float(value.as_text())) return Value::number(*number);
  }
  return args[0].absent() ? Value::number(0) : args[0];
}

Value abs_filter(Run& run, const Value& value, const Arguments& arguments) {
  bind(run, "abs", arguments, {}, 0);
  if (value.is(Kind::kFloat)) return Value::number(std::fabs(value.as_float()));
  if (!value.is_integral()) {
    refuse_undefined_number(run, value);
    run.wrong("bad operand type for abs(): '{}'", type_name(value));
  }
  return value.as_integer() < 0 ? negate(run, value) : plus(run, value);
}

Value round_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args = bind(run, "round", arguments, {"precision", "method"}, 0);
  const int64_t precision = args[0].absent() ? 0 : to_index(run, args[0], "precision");
  const std::string method = args[1].absent() ? "common" : to_text(run, args[1]);
  if (method != "common" && method != "ceil" && method != "floor") {
    run.wrong("method must be common, ceil or floor");
  }
  refuse_undefined_number(run, value);
  if (!value.is_number()) run.wrong("round() of a value of type '{}'", type_name(value));
  if (precision < 0 || precision > 300) run.unsupported("rounding to so many digits");
  if (method == "common") {
    if (value.is_integral()) return plus(run, value);
    // printf rounds the exact binary value, as Python does.
    const std::string digits =
        percent_format(run, Value::literal(fmt::format("%.{}f", precision)), value);
    return Value::number(parse_float(digits).value_or(value.as_float()));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.as_float() * scale;
  if (!std::isfinite(scaled)) run.wrong("cannot convert float infinity or NaN to integer");
  return Value::number((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

// ---- JSON

Value tojson_filter(Run& run, const Value& value, const Arguments& arguments) {
  const auto args =
      bind(run, "tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = truth(args[0]);
  style.sort_keys = truth(args[3]);
  if (args[1].is_text()) {
    style.indent = args[1].as_text();
  } else if (!args[1].absent() && !args[1].is_none()) {
    const int64_t width = to_index(run, args[1], "indent");
    if (width > 1000) run.unsupported("an indent of more than 1000");
    style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (!args[2].absent() && !args[2].is_none()) {
    const auto separators = iterate(run, args[2]);
    if (separators.size() != 2) run.wrong("separators want two texts");
    style.item_separator = to_plain_text(run, separators[0], "the separator");
    style.key_separator = to_plain_text(run, separators[1], "the separator");
  }
  return Value::text(run, to_json(run, value, style));
}

constexpr Filter kFilters[] = {{"abs", abs_filter},
                               {"attr", attr_filter},
                               {"batch", batch_filter},
                               {"capitalize", case_filter<capitalize>},
                               {"center", center_filter},
                               {"count", length_filter},
                               {"d", default_filter},
                               {"default", default_filter},
                               {"dictsort", dictsort_filter},
                               {"e", escape_filter},
                               {"escape", escape_filter},
                               {"first", first_filter},
                               {"float", float_filter},
                               {"forceescape", escape_filter},
                               {"format", format_filter},
                               {"indent", indent_filter},
                               {"int", int_filter},
                               {"items", items_filter},
                               {"join", join_filter},
                               {"last", last_filter},
                               {"length", length_filter},
                               {"list", list_filter},
                               {"lower", case_filter<to_lower>},
                               {"map", map_filter},
                               {"max", max_filter},
                               {"min", min_filter},
                               {"reject", reject_filter},
                               {"rejectattr", rejectattr_filter},
                               {"replace", replace_filter},
                               {"reverse", reverse_filter},
                               {"round", round_filter},
                               {"safe", safe_filter},
                               {"select", select_filter},
                               {"selectattr", selectattr_filter},
                               {"slice", slice_filter},
                               {"sort", sort_filter},
                               {"string", string_filter},
                               {"sum", sum_filter},
                               {"title", title_filter},
                               {"tojson", tojson_filter},
                               {"trim", trim_filter},
                               {"truncate", truncate_filter},
                               {"unique", unique_filter},
                               {"upper", case_filter<to_upper>},
                               {"wordcount", wordcount_filter}};

const Filter* find_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [name](const Filter& filter) { return filter.name == name; });
  return found == std::end(kFilters) ? nullptr : found;
}

}  // namespace

bool filter_exists(std::string_view name) { return find_filter(name) != nullptr; }

Value apply_filter(Run& run, std::string_view name, const Value& value,
                   const Arguments& arguments) {
  run.step();
  return find_filter(name)->call(run, value, arguments);
}

}  // namespace alambic::jinja
