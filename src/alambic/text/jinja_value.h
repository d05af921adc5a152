// Values of a template: what Python would call None, bool, int, float, str, list, tuple, dict and a
// few more. Immutable, as jinja2's sandbox has it, but for namespaces, which the interpreter owns
// and values only point at; so values form no cycles. Text is UTF-8, always valid.
//
// Ownership: a Value shares what it holds. It must not outlive its rendering. Thread safety: values
// of one rendering belong to one thread. Errors: through Run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/jinja_run.h"

namespace alambic::jinja {

using Integer = __int128;  // wide enough for any JSON integer; Python's have no bound

enum class Kind {
  kUndefined,
  kNone,
  kBool,
  kInteger,
  kFloat,
  kText,
  kSequence,
  kDict,
  kNamespace,
  kFunction,
  kLoop
};

class Value;
struct Arguments;
struct Statement;
struct Scope;

struct Undefined {
  std::shared_ptr<const std::string> why;  // what using it says; null: an argument not given
};
struct None {};
struct Text {
  std::string content;
  bool safe = false;
};

enum class SequenceForm { kList, kTuple, kRange, kIterator, kKeys, kValues, kItems };
struct Sequence;
struct Dict;
struct Namespace;
struct Function;
struct Loop;

class Value {
 public:
  Value() = default;  // absent
  static Value none() { return Value(Data(None{})); }
  static Value boolean(bool value) { return Value(Data(value)); }
  static Value integer(Integer value) { return Value(Data(value)); }
  static Value number(double value) { return Value(Data(value)); }
  // A safe text is HTML (what |safe makes): other text that meets it is escaped. It behaves as
  // Python's markupsafe.Markup.
  static Value text(Run& run, std::string text, bool safe = false);
  static Value literal(std::string_view text);  // short texts of the program's own
  static Value undefined(std::string why);
  static Value list(Run& run, std::vector<Value> items) {
    return sequence(run, SequenceForm::kList, std::move(items));
  }
  static Value tuple(Run& run, std::vector<Value> items) {
    return sequence(run, SequenceForm::kTuple, std::move(items));
  }
  static Value sequence(Run& run, SequenceForm form, std::vector<Value> items);
  // Keys must already be distinct.
  static Value dict(Run& run, std::vector<std::pair<Value, Value>> entries);
  static Value of(Namespace& space) { return Value(Data(&space)); }
  static Value of(std::shared_ptr<const Function> function) {
    return Value(Data(std::move(function)));
  }
  static Value of(std::shared_ptr<const Loop> loop) { return Value(Data(std::move(loop))); }
  static Value from_json(Run& run, const OrderedJson& json, int depth = 0);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool absent() const { return is(Kind::kUndefined) && !std::get<Undefined>(data_).why; }
  bool is_text() const { return is(Kind::kText); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_dict() const { return is(Kind::kDict); }
  bool is_sequence(SequenceForm form) const;
  // bool counts as an integer, as in Python.
  bool is_integral() const { return is(Kind::kBool) || is(Kind::kInteger); }
  bool is_number() const { return is_integral() || is(Kind::kFloat); }

  bool as_bool() const { return std::get<bool>(data_); }
  Integer as_integer() const {
    return is(Kind::kBool) ? Integer{as_bool()} : std::get<Integer>(data_);
  }
  double as_float() const {
    return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(as_integer());
  }
  const std::string& as_text() const {
    return std::get<std::shared_ptr<const Text>>(data_)->content;
  }
  bool is_safe() const { return is_text() && std::get<std::shared_ptr<const Text>>(data_)->safe; }
  const Sequence& as_sequence() const { return *std::get<std::shared_ptr<const Sequence>>(data_); }
  const std::shared_ptr<const Sequence>& share_sequence() const {
    return std::get<std::shared_ptr<const Sequence>>(data_);
  }
  const Dict& as_dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& as_namespace() const { return *std::get<Namespace*>(data_); }
  const Function& as_function() const { return *std::get<std::shared_ptr<const Function>>(data_); }
  const Loop& as_loop() const { return *std::get<std::shared_ptr<const Loop>>(data_); }
  const std::string& why_undefined() const;

  int depth() const;  // 0 for what holds nothing
  // Whether both share the same object, as far as Python's `is` can be seen.
  bool same_as(const Value& other) const;

 private:
  using Data =
      std::variant<Undefined, None, bool, Integer, double, std::shared_ptr<const Text>,
                   std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, Namespace*,
                   std::shared_ptr<const Function>, std::shared_ptr<const Loop>>;
  explicit Value(Data data) : data_(std::move(data)) {}
  Data data_;
};

struct Sequence {
  SequenceForm form = SequenceForm::kList;
  std::vector<Value> items;
  int depth = 1;
  mutable size_t taken = 0;  // of an iterator: what it has already given
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> entries;
};

// Something to call: a method of a value, a macro, or a function that every template sees.
struct Function {
  std::string name;
  Value (*method)(Run&, const Value& self, const Arguments&) = nullptr;
  Value self;
  const Statement* macro = nullptr;  // with the scope that it was written in
  Scope* scope = nullptr;
};

struct Loop {
  std::shared_ptr<const Sequence> items;
  mutable size_t index = 0;
};

// Arguments of a call, evaluated.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};
// Puts arguments in the order of `names`, what is not given being absent. Refuses too many, unknown
// and doubly given ones, and fewer than the first `required`.
std::vector<Value> bind(Run& run, std::string_view function, const Arguments& arguments,
                        std::initializer_list<std::string_view> names, size_t required);

bool truth(const Value& value);
// Python's name of the type: "str", "dict", …
std::string_view type_name(const Value& value);
// The entry of a text key, or null.
const Value* find_entry(const Dict& dict, std::string_view key);
// Holds what it walks, so that a loop over a temporary is safe.
class Items {
 public:
  explicit Items(std::shared_ptr<const Sequence> sequence) : sequence_(std::move(sequence)) {}
  auto begin() const { return sequence_->items.begin(); }
  auto end() const { return sequence_->items.end(); }
  size_t size() const { return sequence_->items.size(); }
  bool empty() const { return sequence_->items.empty(); }
  const Value& operator[](size_t index) const { return sequence_->items[index]; }
  const std::vector<Value>& values() const { return sequence_->items; }
  const std::shared_ptr<const Sequence>& sequence() const { return sequence_; }

 private:
  std::shared_ptr<const Sequence> sequence_;
};
// What iterating gives, in order; an iterator is used up by it.
Items iterate(Run& run, const Value& value);
// len(); refuses what has none.
size_t length_of(Run& run, const Value& value);
bool has_length(const Value& value);
// What __index__ gives, within int64; refuses everything else. `what` names the argument.
int64_t to_index(Run& run, const Value& value, std::string_view what);
// The text of a value that must be one.
const std::string& to_plain_text(Run& run, const Value& value, std::string_view what);

}  // namespace alambic::jinja
