#include "alambic/text/jinja_value.h"

#include <algorithm>
#include <initializer_list>

#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

int deepest(const std::vector<Value>& items) {
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth());
  return depth;
}

int checked_depth(Run& run, int depth) {
  if (depth > kMaxValueDepth) run.exhausted("values nested more than 250 deep");
  return depth;
}

std::string valid_text(const std::string& text) {
  return valid_utf8_prefix(text) == text.size() ? text : to_valid_utf8(text);
}

// A number that JSON text had and no type of the library holds, as Python reads it.
Value from_written(Run& run, const std::string& spelled) {
  if (spelled.find_first_not_of("-0123456789") != std::string::npos) {
    return Value::number(written_value(spelled));
  }
  const bool negative = spelled[0] == '-';
  Integer value = 0;
  for (const char c : std::string_view(spelled).substr(negative ? 1 : 0)) {
    const int digit = c - '0';
    if (__builtin_mul_overflow(value, Integer{10}, &value) ||
        __builtin_add_overflow(value, Integer{digit}, &value)) {
      run.wrong("an integer of {} digits is more than templates here can hold", spelled.size());
    }
  }
  return Value::integer(negative ? -value : value);
}

}  // namespace

Value Value::text(Run& run, std::string text, bool safe) {
  run.pay_for_text(text.size());
  return Value(Data(std::make_shared<const Text>(Text{std::move(text), safe})));
}

Value Value::literal(std::string_view text) {
  return Value(Data(std::make_shared<const Text>(Text{std::string(text), false})));
}

Value Value::undefined(std::string why) {
  return Value(Data(Undefined{std::make_shared<const std::string>(std::move(why))}));
}

Value Value::sequence(Run& run, SequenceForm form, std::vector<Value> items) {
  run.pay_for_items(items.size());
  const int depth = checked_depth(run, deepest(items) + 1);
  return Value(Data(std::make_shared<const Sequence>(Sequence{form, std::move(items), depth, 0})));
}

Value Value::dict(Run& run, std::vector<std::pair<Value, Value>> entries) {
  run.pay_for_items(entries.size());
  int depth = 0;
  for (const auto& [key, value] : entries) {
    depth = std::max({depth, key.depth(), value.depth()});
  }
  depth = checked_depth(run, depth + 1);
  return Value(Data(std::make_shared<const Dict>(Dict{std::move(entries), depth})));
}

Value Value::from_json(Run& run, const OrderedJson& json, int depth) {
  checked_depth(run, depth);
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return boolean(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return integer(json.get<int64_t>());
    case OrderedJson::value_t::number_unsigned:
      return integer(json.get<uint64_t>());
    case OrderedJson::value_t::number_float:
      return number(json.get<double>());
    case OrderedJson::value_t::string:
      return text(run, valid_text(json.get_ref<const std::string&>()));
    case OrderedJson::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const OrderedJson& item : json) items.push_back(from_json(run, item, depth + 1));
      return list(run, std::move(items));
    }
    case OrderedJson::value_t::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.size());
      for (const auto& item : json.items()) {
        entries.emplace_back(text(run, valid_text(item.key())),
                             from_json(run, item.value(), depth + 1));
      }
      return dict(run, std::move(entries));
    }
    case OrderedJson::value_t::binary:
      return is_written_number(json) ? from_written(run, number_text(json)) : none();
    default:
      return none();
  }
}

bool Value::is_sequence(SequenceForm form) const {
  return is(Kind::kSequence) && as_sequence().form == form;
}

const std::string& Value::why_undefined() const {
  static const std::string absent_argument = "an argument was not provided";
  const auto& why = std::get<Undefined>(data_).why;
  return why ? *why : absent_argument;
}

int Value::depth() const {
  if (is(Kind::kSequence)) return as_sequence().depth;
  if (is(Kind::kDict)) return as_dict().depth;
  // A method holds its object; a loop holds what it walks.
  if (is(Kind::kFunction)) return as_function().self.depth() + 1;
  if (is(Kind::kLoop)) return as_loop().items->depth + 1;
  return 0;
}

bool Value::same_as(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kFloat:
      return false;
    case Kind::kNone:
      return true;
    case Kind::kBool:
      return as_bool() == other.as_bool();
    case Kind::kInteger:
      return as_integer() == other.as_integer();
    case Kind::kText:
      return as_text() == other.as_text();
    case Kind::kSequence:
      return &as_sequence() == &other.as_sequence();
    case Kind::kDict:
      return &as_dict() == &other.as_dict();
    case Kind::kNamespace:
      return &as_namespace() == &other.as_namespace();
    case Kind::kFunction:
      return &as_function() == &other.as_function();
    case Kind::kLoop:
      return &as_loop() == &other.as_loop();
  }
  return false;
}

std::vector<Value> bind(Run& run, std::string_view function, const Arguments& arguments,
                        std::initializer_list<std::string_view> names, size_t required) {
  if (arguments.positional.size() > names.size()) {
    run.wrong("{}() takes at most {} arguments; got {}", function, names.size(),
              arguments.positional.size());
  }
  std::vector<Value> bound = arguments.positional;
  bound.resize(names.size());
  for (const auto& [name, value] : arguments.named) {
    const auto place = std::find(names.begin(), names.end(), name);
    if (place == names.end()) run.wrong("{}() has no argument \"{}\"", function, name);
    Value& slot = bound[static_cast<size_t>(place - names.begin())];
    if (!slot.absent()) run.wrong("{}() got argument \"{}\" twice", function, name);
    slot = value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (bound[i].absent()) {
      run.wrong("{}() wants argument \"{}\"", function, names.begin()[i]);
    }
  }
  return bound;
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.as_bool();
    case Kind::kInteger:
      return value.as_integer() != 0;
    case Kind::kFloat:
      return value.as_float() != 0;
    case Kind::kText:
      return !value.as_text().empty();
    case Kind::kSequence:
      return value.as_sequence().form == SequenceForm::kIterator ||
             !value.as_sequence().items.empty();
    case Kind::kDict:
      return !value.as_dict().entries.empty();
    default:
      return true;
  }
}

std::string_view type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInteger:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kSequence:
      switch (value.as_sequence().form) {
        case SequenceForm::kList:
          return "list";
        case SequenceForm::kTuple:
          return "tuple";
        case SequenceForm::kRange:
          return "range";
        case SequenceForm::kIterator:
          return "generator";
        case SequenceForm::kKeys:
          return "dict_keys";
        case SequenceForm::kValues:
          return "dict_values";
        case SequenceForm::kItems:
          return "dict_items";
      }
      return "list";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

const Value* find_entry(const Dict& dict, std::string_view key) {
  for (const auto& [name, value] : dict.entries) {
    if (name.is_text() && name.as_text() == key) return &value;
  }
  return nullptr;
}

Items iterate(Run& run, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return Items(std::make_shared<const Sequence>());
    case Kind::kSequence: {
      const Sequence& sequence = value.as_sequence();
      if (sequence.form != SequenceForm::kIterator) return Items(value.share_sequence());
      Sequence rest{SequenceForm::kList, {}, sequence.depth, 0};
      rest.items.assign(sequence.items.begin() + static_cast<std::ptrdiff_t>(sequence.taken),
                        sequence.items.end());
      run.pay_for_items(rest.items.size());
      sequence.taken = sequence.items.size();
      return Items(std::make_shared<const Sequence>(std::move(rest)));
    }
    case Kind::kDict: {
      Sequence keys;
      keys.depth = value.depth();
      keys.items.reserve(value.as_dict().entries.size());
      for (const auto& entry : value.as_dict().entries) keys.items.push_back(entry.first);
      run.pay_for_items(keys.items.size());
      return Items(std::make_shared<const Sequence>(std::move(keys)));
    }
    case Kind::kText: {
      Sequence characters;
      const std::string& text = value.as_text();
      for (size_t at = 0; at < text.size();) {
        const size_t length = decode_utf8(text, at).length;
        if (characters.items.size() == kMaxItems) run.pay_for_items(kMaxItems + 1);
        run.step();
        characters.items.push_back(Value::text(run, text.substr(at, length)));
        at += length;
      }
      return Items(std::make_shared<const Sequence>(std::move(characters)));
    }
    case Kind::kLoop:
      run.unsupported("iterating over \"loop\" itself");
    default:
      run.wrong("'{}' object is not iterable", type_name(value));
  }
}

bool has_length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kText:
    case Kind::kDict:
    case Kind::kLoop:
      return true;
    case Kind::kSequence:
      return value.as_sequence().form != SequenceForm::kIterator;
    default:
      return false;
  }
}

size_t length_of(Run& run, const Value& value) {
  if (!has_length(value)) run.wrong("object of type '{}' has no len()", type_name(value));
  switch (value.kind()) {
    case Kind::kText: {
      const std::string& text = value.as_text();
      run.pay_for_text(text.size());
      return static_cast<size_t>(
          std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
    }
    case Kind::kSequence:
      return value.as_sequence().items.size();
    case Kind::kDict:
      return value.as_dict().entries.size();
    case Kind::kLoop:
      return value.as_loop().items->items.size();
    default:
      return 0;
  }
}

int64_t to_index(Run& run, const Value& value, std::string_view what) {
  if (!value.is_integral()) {
    run.wrong("{} is of type '{}'; want an integer", what, type_name(value));
  }
  if (value.as_integer() > INT64_MAX || value.as_integer() < INT64_MIN) {
    run.wrong("{} is out of range", what);
  }
  return static_cast<int64_t>(value.as_integer());
}

const std::string& to_plain_text(Run& run, const Value& value, std::string_view what) {
  if (value.is_undefined()) run.wrong("{}", value.why_undefined());
  if (!value.is_text()) run.wrong("{} is of type '{}'; want a text", what, type_name(value));
  return value.as_text();
}

}  // namespace alambic::jinja
