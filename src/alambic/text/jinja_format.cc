#include "alambic/text/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_print.h"
#include "alambic/text/jinja_text.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

constexpr int kMaxPrecision = 300;
constexpr int64_t kMaxWidth = 1 << 20;

struct FieldStyle {
  std::string fill = " ";
  char align = 0;  // < > ^ =, or nothing said
  char sign = 0;   // + or space
  bool alternate = false, grouped = false;
  int64_t width = 0;
  int precision = -1;
  char type = 0;
};

// Reads a decimal number; -1 where there is none.
int64_t read_number(const Run& run, std::string_view text, size_t& at) {
  if (at >= text.size() || text[at] < '0' || text[at] > '9') return -1;
  int64_t number = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
    number = number * 10 + (text[at++] - '0');
    if (number > kMaxWidth) run.exhausted("a field of more than a million characters");
  }
  return number;
}

int checked_precision(const Run& run, int64_t precision) {
  if (precision > kMaxPrecision) run.unsupported("a precision beyond 300 digits");
  return static_cast<int>(precision);
}

std::string padded(Run& run, std::string_view text, size_t sign_length, const FieldStyle& style,
                   char default_align) {
  const auto length = static_cast<int64_t>(count_characters(text));
  if (style.width <= length) return std::string(text);
  const auto missing = static_cast<size_t>(style.width - length);
  run.pay_for_text(missing * style.fill.size() + text.size());
  const char align = style.align != 0 ? style.align : default_align;
  size_t left = 0;
  if (align == '>') left = missing;
  if (align == '^') left = missing / 2;
  std::string out;
  if (align == '=') {
    out += text.substr(0, sign_length);
    text.remove_prefix(sign_length);
    left = missing;
  }
  for (size_t i = 0; i < left; ++i) out += style.fill;
  out += text;
  for (size_t i = left; i < missing; ++i) out += style.fill;
  return out;
}

void group_thousands(std::string& digits) {
  const size_t point = std::min(digits.find('.'), digits.size());
  for (size_t at = point; at > 3; at -= 3) digits.insert(at - 3, ",");
}

std::string print_float(double value, char type, int precision, bool alternate) {
  std::string format = alternate ? "%#.*" : "%.*";
  format += type;
  const int size = std::snprintf(nullptr, 0, format.c_str(), precision, value);
  std::string out(static_cast<size_t>(std::max(size, 0)) + 1, '\0');
  std::snprintf(out.data(), out.size(), format.c_str(), precision, value);
  out.pop_back();
  return out;
}

std::string digits_in_base(Integer value, char type) {
  if (type == 'd') return integer_text(value);
  const unsigned base = type == 'x' || type == 'X' ? 16 : type == 'o' ? 8 : 2;
  std::string out;
  do {
    const auto digit = static_cast<size_t>(value % base);
    out += (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[digit];
    value /= base;
  } while (value > 0);
  std::reverse(out.begin(), out.end());
  return out;
}

// A number of `negative` sign whose digits are already there, with sign and padding.
std::string finish_number(Run& run, bool negative, const std::string& prefix, std::string digits,
                          const FieldStyle& style) {
  if (style.grouped) group_thousands(digits);
  std::string sign = negative ? "-" : style.sign != 0 ? std::string(1, style.sign) : "";
  sign += prefix;
  return padded(run, sign + digits, sign.size(), style, '>');
}

std::string format_integer(Run& run, Integer value, const FieldStyle& style) {
  constexpr Integer kLowest = Integer{1} << 126;
  if (value <= -kLowest) run.unsupported("formatting so large an integer");
  const char type = style.type == 0 || style.type == 'i' || style.type == 'u' ? 'd' : style.type;
  std::string digits = digits_in_base(value < 0 ? -value : value, type);
  if (std::cmp_less(digits.size(), style.precision)) {
    digits.insert(0, static_cast<size_t>(style.precision) - digits.size(), '0');
  }
  std::string prefix;
  if (style.alternate && type != 'd') prefix = std::string("0") + type;
  return finish_number(run, value < 0, prefix, std::move(digits), style);
}

std::string format_float(Run& run, double value, const FieldStyle& style) {
  const bool percent = style.type == '%';
  const char type = percent ? 'f' : style.type;
  const double shown = std::fabs(percent ? value * 100 : value);
  const int precision = style.precision < 0 ? 6 : style.precision;
  std::string digits;
  if (!std::isfinite(value)) {
    const bool capital = type == 'F' || type == 'E' || type == 'G';
    digits = std::isnan(value) ? (capital ? "NAN" : "nan") : (capital ? "INF" : "inf");
  } else if (type == 0 && style.precision < 0) {
    digits = float_text(shown);
  } else if (type == 0) {
    run.unsupported("a float format with precision and without type");
  } else {
    digits = print_float(shown, type, precision, style.alternate);
  }
  if (percent) digits += '%';
  return finish_number(run, std::signbit(value) && !std::isnan(value), "", std::move(digits),
                       style);
}

std::string format_text(Run& run, std::string_view text, const FieldStyle& style,
                        char default_align) {
  if (style.precision >= 0) {
    text = text.substr(0, byte_of_character(text, static_cast<size_t>(style.precision)));
  }
  return padded(run, text, 0, style, default_align);
}

// ---- the % operator

class PercentFormatter {
 public:
  PercentFormatter(Run& run, const Value& format, const Value& values)
      : run_(run), format_(format.as_text()), safe_(format.is_safe()), values_(values) {}

  std::string format() {
    std::string out;
    while (at_ < format_.size()) {
      const size_t mark = std::min(format_.find('%', at_), format_.size());
      out += format_.substr(at_, mark - at_);
      at_ = mark;
      if (at_ == format_.size()) break;
      ++at_;
      out += field();
      run_.step();
      if (out.size() > kMaxTextBytes) break;
    }
    const bool mapping = !values_.is_text() && !values_.is_sequence(SequenceForm::kTuple) &&
                         (values_.is_dict() || values_.is(Kind::kSequence));
    if (!mapping && next_ < available() && !named_) {
      run_.wrong("not all arguments converted during string formatting");
    }
    run_.pay_for_text(out.size());
    return out;
  }

 private:
  size_t available() const {
    return values_.is_sequence(SequenceForm::kTuple) ? values_.as_sequence().items.size() : 1;
  }
  const Value& next_value() {
    if (next_ >= available()) run_.wrong("not enough arguments for format string");
    const size_t index = next_++;
    return values_.is_sequence(SequenceForm::kTuple) ? values_.as_sequence().items[index] : values_;
  }
  char take() {
    if (at_ >= format_.size()) run_.wrong("incomplete format");
    return format_[at_++];
  }
  int64_t number_or_star() {
    if (at_ < format_.size() && format_[at_] == '*') {
      ++at_;
      const int64_t number = to_index(run_, next_value(), "* of a format");
      if (number > kMaxWidth || number < -kMaxWidth) run_.exhausted("a field that wide");
      return number;
    }
    return read_number(run_, format_, at_);
  }

  std::string field() {
    const Value* named = nullptr;
    if (at_ < format_.size() && format_[at_] == '(') {
      const size_t end = format_.find(')', at_);
      if (end == std::string_view::npos) run_.wrong("incomplete format key");
      const std::string_view key = format_.substr(at_ + 1, end - at_ - 1);
      if (!values_.is_dict()) run_.wrong("format requires a mapping");
      named = find_entry(values_.as_dict(), key);
      if (named == nullptr) run_.wrong("the format names a missing key \"{}\"", key);
      named_ = true;
      at_ = end + 1;
    }
    FieldStyle style;
    bool zero = false;
    for (char flag = take();; flag = take()) {
      if (flag == '-') {
        style.align = '<';
      } else if (flag == '+') {
        style.sign = '+';
      } else if (flag == ' ') {
        if (style.sign == 0) style.sign = ' ';
      } else if (flag == '#') {
        style.alternate = true;
      } else if (flag == '0') {
        zero = true;
      } else {
        --at_;
        break;
      }
    }
    style.width = number_or_star();
    if (style.width < -1) {
      style.align = '<';
      style.width = -style.width;
    }
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      style.precision = checked_precision(run_, std::max<int64_t>(number_or_star(), 0));
    }
    style.type = take();
    if (style.type == '%') return "%";
    const Value& value = named != nullptr ? *named : next_value();
    if (zero && style.align == 0 && style.type != 's' && style.type != 'r') {
      style.fill = "0";
      style.align = '=';
    }
    return convert(value, style);
  }

  std::string escaped(const std::string& text) const { return safe_ ? escape_html(text) : text; }

  std::string convert(const Value& value, FieldStyle style) {
    switch (style.type) {
      case 's':
        return format_text(run_, safe_ ? to_html(run_, value) : to_text(run_, value), style, '>');
      case 'r':
        return format_text(run_, escaped(to_repr(run_, value)), style, '>');
      case 'd':
      case 'i':
      case 'u':
        if (value.is(Kind::kFloat) && std::fabs(value.as_float()) < 1e30) {
          return format_integer(run_, static_cast<Integer>(value.as_float()), style);
        }
        [[fallthrough]];
      case 'x':
      case 'X':
      case 'o':
        if (!value.is_integral()) {
          run_.wrong("%{} format: an integer is required, not {}", style.type, type_name(value));
        }
        return format_integer(run_, value.as_integer(), style);
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
        if (!value.is_number()) run_.wrong("must be real number, not {}", type_name(value));
        return format_float(run_, value.as_float(), style);
      case 'c': {
        if (value.is_text() && count_characters(value.as_text()) == 1) {
          return format_text(run_, value.as_text(), style, '>');
        }
        const int64_t code = to_index(run_, value, "%c");
        if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
          run_.wrong("%c arg not in range(0x110000)");
        }
        std::string character;
        append_utf8(character, static_cast<char32_t>(code));
        return format_text(run_, character, style, '>');
      }
      default:
        run_.unsupported("the format %{}", static_cast<int>(style.type) < 32 ? '?' : style.type);
    }
  }

  Run& run_;
  std::string_view format_;
  bool safe_;
  const Value& values_;
  size_t at_ = 0, next_ = 0;
  bool named_ = false;
};

// ---- str.format

FieldStyle parse_spec(const Run& run, std::string_view spec) {
  FieldStyle style;
  size_t at = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  const size_t first = spec.empty() ? 0 : decode_utf8(spec, 0).length;
  if (first < spec.size() && is_align(spec[first])) {
    style.fill = spec.substr(0, first);
    style.align = spec[first];
    at = first + 1;
  } else if (!spec.empty() && is_align(spec[0])) {
    style.align = spec[0];
    at = 1;
  }
  const auto accept = [&](char c) {
    if (at >= spec.size() || spec[at] != c) return false;
    ++at;
    return true;
  };
  if (accept('+')) {
    style.sign = '+';
  } else if (accept(' ')) {
    style.sign = ' ';
  } else {
    accept('-');
  }
  style.alternate = accept('#');
  if (at < spec.size() && spec[at] == '0' && style.align == 0) {
    style.fill = "0";
    style.align = '=';
  }
  style.width = read_number(run, spec, at);
  style.grouped = accept(',');
  if (accept('.')) {
    const int64_t precision = read_number(run, spec, at);
    if (precision < 0) run.wrong("Format specifier missing precision");
    style.precision = checked_precision(run, precision);
  }
  if (at < spec.size()) style.type = spec[at++];
  if (at != spec.size()) run.wrong("Invalid format specifier \"{}\"", spec);
  return style;
}

std::string format_value(Run& run, const Value& value, std::string_view spec) {
  if (spec.empty()) return to_text(run, value);
  const FieldStyle style = parse_spec(run, spec);
  const bool integer_type =
      std::string_view("bdoxX").find(style.type) != std::string_view::npos && style.type != 0;
  const bool float_type =
      std::string_view("eEfFgG%").find(style.type) != std::string_view::npos && style.type != 0;
  if (value.is_text() && (style.type == 's' || style.type == 0)) {
    if (style.align == '=' && style.fill != "0") run.wrong("'=' alignment not allowed in a text");
    FieldStyle of_text = style;
    if (style.align == '=') of_text.align = '<';
    return format_text(run, value.as_text(), of_text, '<');
  }
  if (value.is_number() && float_type) return format_float(run, value.as_float(), style);
  if (value.is_integral() && (style.type == 0 || integer_type)) {
    if (value.is(Kind::kBool) && style.type == 0) run.unsupported("formatting a bool");
    if (style.precision >= 0) run.wrong("Precision not allowed in integer format specifier");
    return format_integer(run, value.as_integer(), style);
  }
  if (value.is(Kind::kFloat) && style.type == 0) return format_float(run, value.as_float(), style);
  run.wrong("unsupported format \"{}\" for a value of type '{}'", spec, type_name(value));
}

class BraceFormatter {
 public:
  BraceFormatter(Run& run, const Value& format, const Arguments& arguments)
      : run_(run), format_(format.as_text()), safe_(format.is_safe()), arguments_(arguments) {}

  std::string format() {
    std::string out;
    for (size_t at = 0; at < format_.size();) {
      const size_t brace = std::min(format_.find_first_of("{}", at), format_.size());
      out += format_.substr(at, brace - at);
      at = brace;
      if (at == format_.size()) break;
      const char c = format_[at];
      if (at + 1 < format_.size() && format_[at + 1] == c) {
        out += c;
        at += 2;
        continue;
      }
      const size_t end = format_.find('}', at);
      if (c == '}') run_.wrong("Single '}}' encountered in format string");
      if (end == std::string_view::npos) run_.wrong("Single '{{' encountered in format string");
      const std::string_view field = format_.substr(at + 1, end - at - 1);
      if (field.find('{') != std::string_view::npos) run_.unsupported("a format within a format");
      out += format_field(field);
      run_.step();
      if (out.size() > kMaxTextBytes) break;
      at = end + 1;
    }
    run_.pay_for_text(out.size());
    return out;
  }

 private:
  std::string format_field(std::string_view field) {
    const size_t colon = std::min(field.find(':'), field.size());
    const std::string_view spec = colon < field.size() ? field.substr(colon + 1) : "";
    std::string_view path = field.substr(0, colon);
    const size_t mark = std::min(path.find('!'), path.size());
    const std::string_view conversion = path.substr(mark);
    path = path.substr(0, mark);
    Value value = value_at(path);
    if (conversion == "!r") {
      value = Value::text(run_, to_repr(run_, value));
    } else if (conversion == "!s") {
      value = Value::text(run_, to_text(run_, value));
    } else if (!conversion.empty()) {
      run_.wrong("Unknown conversion specifier \"{}\"", conversion);
    }
    if (safe_ && value.is_safe() && spec.empty()) return value.as_text();
    const std::string text = format_value(run_, value, spec);
    return safe_ ? escape_html(text) : text;
  }

  Value value_at(std::string_view path) {
    const size_t end = std::min(path.find_first_of(".["), path.size());
    Value value = argument(path.substr(0, end));
    path.remove_prefix(end);
    while (!path.empty()) {
      if (path[0] == '.') {
        const size_t stop = std::min(path.find_first_of(".[", 1), path.size());
        value = attribute_of(run_, value, path.substr(1, stop - 1));
        path.remove_prefix(stop);
        continue;
      }
      const size_t stop = path.find(']');
      if (path[0] != '[' || stop == std::string_view::npos) {
        run_.wrong("a broken field name in a format string");
      }
      const std::string_view key = path.substr(1, stop - 1);
      size_t at = 0;
      const int64_t number = read_number(run_, key, at);
      value = item_of(run_, value,
                      number >= 0 && at == key.size() ? Value::integer(number)
                                                      : Value::text(run_, std::string(key)));
      path.remove_prefix(stop + 1);
    }
    return value;
  }

  const Value& argument(std::string_view name) {
    size_t at = 0;
    int64_t number = read_number(run_, name, at);
    if (name.empty()) {
      number = next_++;
      automatic_ = true;
    } else if (number >= 0 && at == name.size()) {
      manual_ = true;
    } else {
      for (const auto& [key, value] : arguments_.named) {
        if (key == name) return value;
      }
      run_.wrong("the format names a missing argument \"{}\"", name);
    }
    if (automatic_ && manual_) run_.wrong("automatic and manual field numbers in one format");
    if (std::cmp_greater_equal(number, arguments_.positional.size())) {
      run_.wrong("Replacement index {} out of range for positional args tuple", number);
    }
    return arguments_.positional[static_cast<size_t>(number)];
  }

  Run& run_;
  std::string_view format_;
  bool safe_;
  const Arguments& arguments_;
  int64_t next_ = 0;
  bool automatic_ = false, manual_ = false;
};

}  // namespace

std::string percent_format(Run& run, const Value& format, const Value& values) {
  return PercentFormatter(run, format, values).format();
}

std::string brace_format(Run& run, const Value& format, const Arguments& arguments) {
  return BraceFormatter(run, format, arguments).format();
}

}  // namespace alambic::jinja
