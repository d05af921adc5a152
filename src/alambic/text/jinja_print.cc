#include "alambic/text/jinja_print.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "alambic/text/jinja_operators.h"
#include "alambic/text/jinja_text.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

// Collects text and pays for it as it grows: values share their parts, so that a small one can
// print as a huge one.
class Printer {
 public:
  explicit Printer(Run& run) : run_(run) {}
  void add(std::string_view text) {
    run_.step(1 + text.size() / 32);
    out_ += text;
    if (out_.size() > kMaxTextBytes) run_.exhausted("a text of more than 16 MiB");
  }
  Run& run() { return run_; }
  std::string take() { return std::move(out_); }

 private:
  Run& run_;
  std::string out_;
};

bool is_printable(char32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return code == ' ';
    default:
      return true;
  }
}

std::string repr_of_text(std::string_view text) {
  const bool single = text.find('\'') == std::string_view::npos;
  const char quote = single || text.find('"') != std::string_view::npos ? '\'' : '"';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const auto code = static_cast<uint32_t>(step.code);
    if (code == static_cast<unsigned char>(quote) || code == '\\') {
      out += '\\';
      out += static_cast<char>(code);
    } else if (code == '\n') {
      out += "\\n";
    } else if (code == '\r') {
      out += "\\r";
    } else if (code == '\t') {
      out += "\\t";
    } else if (is_printable(step.code)) {
      out += text.substr(at, step.length);
    } else if (code < 0x100) {
      out += fmt::format("\\x{:02x}", code);
    } else if (code < 0x10000) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += fmt::format("\\U{:08x}", code);
    }
    at += step.length;
  }
  out += quote;
  return out;
}

void print_repr(Printer& printer, const Value& value);

void print_items(Printer& printer, std::string_view open, const Sequence& sequence,
                 std::string_view close) {
  printer.add(open);
  bool first = true;
  for (const Value& item : sequence.items) {
    if (!first) printer.add(", ");
    first = false;
    print_repr(printer, item);
  }
  printer.add(close);
}

void print_sequence(Printer& printer, const Sequence& sequence) {
  switch (sequence.form) {
    case SequenceForm::kList:
      return print_items(printer, "[", sequence, "]");
    case SequenceForm::kTuple:
      return print_items(printer, "(", sequence, sequence.items.size() == 1 ? ",)" : ")");
    case SequenceForm::kKeys:
      return print_items(printer, "dict_keys([", sequence, "])");
    case SequenceForm::kValues:
      return print_items(printer, "dict_values([", sequence, "])");
    case SequenceForm::kItems:
      return print_items(printer, "dict_items([", sequence, "])");
    case SequenceForm::kRange:
      printer.run().unsupported("printing a range");
    case SequenceForm::kIterator:
      printer.run().unsupported("printing a generator");
  }
}

void print_dict(Printer& printer, const std::vector<std::pair<Value, Value>>& entries) {
  printer.add("{");
  bool first = true;
  for (const auto& [key, item] : entries) {
    if (!first) printer.add(", ");
    first = false;
    print_repr(printer, key);
    printer.add(": ");
    print_repr(printer, item);
  }
  printer.add("}");
}

void print_repr(Printer& printer, const Value& value) {
  const Run::Nested nested(printer.run());
  switch (value.kind()) {
    case Kind::kUndefined:
      return printer.add("Undefined");
    case Kind::kNone:
      return printer.add("None");
    case Kind::kBool:
      return printer.add(value.as_bool() ? "True" : "False");
    case Kind::kInteger:
      return printer.add(integer_text(value.as_integer()));
    case Kind::kFloat:
      return printer.add(float_text(value.as_float()));
    case Kind::kText:
      if (!value.is_safe()) return printer.add(repr_of_text(value.as_text()));
      return printer.add("Markup(" + repr_of_text(value.as_text()) + ")");
    case Kind::kSequence:
      return print_sequence(printer, value.as_sequence());
    case Kind::kDict:
      return print_dict(printer, value.as_dict().entries);
    case Kind::kNamespace: {
      printer.add("<Namespace {");
      bool first = true;
      for (const auto& [name, item] : value.as_namespace().entries) {
        if (!first) printer.add(", ");
        first = false;
        printer.add(repr_of_text(name));
        printer.add(": ");
        print_repr(printer, item);
      }
      return printer.add("}>");
    }
    case Kind::kFunction:
      printer.run().unsupported("printing a function");
    case Kind::kLoop:
      printer.run().unsupported("printing \"loop\"");
  }
}

std::string json_text(std::string_view text, bool ensure_ascii) {
  std::string out = "\"";
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    const auto code = static_cast<uint32_t>(step.code);
    switch (code) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\b':
        out += "\\b";
        break;
      default:
        if (code < 0x20 || (ensure_ascii && code > 0x7e && code < 0x10000)) {
          out += fmt::format("\\u{:04x}", code);
        } else if (ensure_ascii && code >= 0x10000) {
          out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + ((code - 0x10000) >> 10),
                             0xdc00 + ((code - 0x10000) & 0x3ff));
        } else {
          out += text.substr(at, step.length);
        }
    }
    at += step.length;
  }
  return out + '"';
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_text(value);
}

std::string json_key(Run& run, const Value& key) {
  switch (key.kind()) {
    case Kind::kText:
      return key.as_text();
    case Kind::kNone:
      return "null";
    case Kind::kBool:
      return key.as_bool() ? "true" : "false";
    case Kind::kInteger:
      return integer_text(key.as_integer());
    case Kind::kFloat:
      return json_float(key.as_float());
    default:
      run.wrong("a JSON key cannot be of type '{}'", type_name(key));
  }
}

class JsonPrinter {
 public:
  JsonPrinter(Run& run, const JsonStyle& style) : printer_(run), style_(style) {}

  void print(const Value& value, int level) {
    const Run::Nested nested(printer_.run());
    switch (value.kind()) {
      case Kind::kNone:
        return printer_.add("null");
      case Kind::kBool:
        return printer_.add(value.as_bool() ? "true" : "false");
      case Kind::kInteger:
        return printer_.add(integer_text(value.as_integer()));
      case Kind::kFloat:
        return printer_.add(json_float(value.as_float()));
      case Kind::kText:
        return printer_.add(json_text(value.as_text(), style_.ensure_ascii));
      case Kind::kDict:
        return print_object(value.as_dict(), level);
      case Kind::kSequence:
        if (value.is_sequence(SequenceForm::kList) || value.is_sequence(SequenceForm::kTuple)) {
          return print_array(value.as_sequence(), level);
        }
        break;
      default:
        break;
    }
    printer_.run().wrong("Object of type {} is not JSON serializable", type_name(value));
  }
  std::string take() { return printer_.take(); }

 private:
  void new_line(int level) {
    if (!style_.indent) return;
    printer_.add("\n");
    for (int i = 0; i < level; ++i) printer_.add(*style_.indent);
  }

  void print_array(const Sequence& array, int level) {
    if (array.items.empty()) return printer_.add("[]");
    printer_.add("[");
    bool first = true;
    for (const Value& item : array.items) {
      if (!first) printer_.add(style_.item_separator);
      first = false;
      new_line(level + 1);
      print(item, level + 1);
    }
    new_line(level);
    printer_.add("]");
  }

  void print_object(const Dict& dict, int level) {
    if (dict.entries.empty()) return printer_.add("{}");
    std::vector<const std::pair<Value, Value>*> entries;
    entries.reserve(dict.entries.size());
    for (const auto& entry : dict.entries) entries.push_back(&entry);
    if (style_.sort_keys) {
      merge_sort(entries, [this](const auto* a, const auto* b) {
        return less(printer_.run(), a->first, b->first);
      });
    }
    printer_.add("{");
    bool first = true;
    for (const auto* entry : entries) {
      if (!first) printer_.add(style_.item_separator);
      first = false;
      new_line(level + 1);
      printer_.add(json_text(json_key(printer_.run(), entry->first), style_.ensure_ascii));
      printer_.add(style_.key_separator);
      print(entry->second, level + 1);
    }
    new_line(level);
    printer_.add("}");
  }

  Printer printer_;
  const JsonStyle& style_;
};

}  // namespace

std::string integer_text(Integer value) { return fmt::format("{}", value); }

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string_view scientific(buffer.data(), static_cast<size_t>(end - buffer.data()));
  const size_t mark = scientific.find('e');
  const int exponent = std::atoi(std::string(scientific.substr(mark + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(scientific);
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed)
          .ptr;
  std::string out(buffer.data(), fixed);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string to_repr(Run& run, const Value& value) {
  Printer printer(run);
  print_repr(printer, value);
  return printer.take();
}

std::string to_text(Run& run, const Value& value) {
  if (value.is_text()) return value.as_text();
  return value.is_undefined() ? "" : to_repr(run, value);
}

std::string to_html(Run& run, const Value& value) {
  return value.is_safe() ? value.as_text() : escape_html(to_text(run, value));
}

std::string to_json(Run& run, const Value& value, const JsonStyle& style) {
  JsonPrinter printer(run, style);
  printer.print(value, 0);
  return printer.take();
}

}  // namespace alambic::jinja
