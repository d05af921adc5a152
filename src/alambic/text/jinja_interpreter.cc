#include "alambic/text/jinja_interpreter.h"

#include <algorithm>
#include <memory>

#include "alambic/text/jinja_filters.h"
#include "alambic/text/jinja_globals.h"
#include "alambic/text/jinja_print.h"

namespace alambic::jinja {

struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<NameId, Value>> values;
  bool captured = false;  // a macro was defined here and may be called later
};

namespace {

enum class Flow { kNormal, kBreak, kContinue };

NameId id_of(const Template& tree, std::string_view name) {
  const auto found = std::find(tree.names.begin(), tree.names.end(), name);
  return found == tree.names.end() ? -1 : static_cast<NameId>(found - tree.names.begin());
}

class Interpreter {
 public:
  Interpreter(Run& run, const Template& tree, std::vector<Value> variables)
      : run_(run), tree_(tree), variables_(std::move(variables)) {
    for (size_t i = 0; i < tree_.names.size(); ++i) {
      if (variables_[i].absent()) variables_[i] = global_function(tree_.names[i]);
    }
  }

  Output interpret() {
    Output output;
    output_ = &output;
    out_ = &output.text;
    ScopeHolder root(*this, nullptr);
    execute(tree_.body, root.scope());
    return output;
  }

 private:
  // Ends a scope with its block, unless a macro still looks into it.
  class ScopeHolder {
   public:
    ScopeHolder(Interpreter& owner, Scope* parent)
        : owner_(owner), scope_(std::make_unique<Scope>()) {
      scope_->parent = parent;
    }
    ~ScopeHolder() {
      if (scope_->captured) owner_.kept_.push_back(std::move(scope_));
    }
    ScopeHolder(const ScopeHolder&) = delete;
    ScopeHolder& operator=(const ScopeHolder&) = delete;
    Scope& scope() { return *scope_; }

   private:
    Interpreter& owner_;
    std::unique_ptr<Scope> scope_;
  };

  // Sends output elsewhere for a while.
  class Buffer {
   public:
    explicit Buffer(Interpreter& owner) : owner_(owner), outer_(owner.out_) {
      owner_.out_ = &text_;
    }
    ~Buffer() { owner_.out_ = outer_; }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    std::string take() { return std::move(text_); }

   private:
    Interpreter& owner_;
    std::string* outer_;
    std::string text_;
  };

  void write(std::string_view text) {
    run_.step(1 + text.size() / 32);
    *out_ += text;
    if (out_->size() > kMaxTextBytes) run_.exhausted("a text of more than 16 MiB");
  }

  // ---- names

  Value lookup(const Scope& scope, NameId id, const std::string& name) const {
    for (const Scope* s = &scope; s != nullptr; s = s->parent) {
      for (const auto& [key, value] : s->values) {
        if (key == id) return value;
      }
    }
    const Value& value = variables_[static_cast<size_t>(id)];
    return value.absent() ? Value::undefined("'" + name + "' is undefined") : value;
  }

  void define(Scope& scope, NameId id, Value value) const {
    if (id < 0) return;  // a special name that the template never mentions
    for (auto& [key, old] : scope.values) {
      if (key == id) {
        old = std::move(value);
        return;
      }
    }
    scope.values.emplace_back(id, std::move(value));
  }

  void assign(Scope& scope, const Target& target, const Value& value) {
    if (target.many) {
      const Run::Nested nested(run_);
      const auto items = iterate(run_, value);
      if (items.size() != target.parts.size()) {
        run_.wrong("{} values to unpack; want {}", items.size(), target.parts.size());
      }
      for (size_t i = 0; i < target.parts.size(); ++i) {
        assign(scope, target.parts[i], items[i]);
      }
      return;
    }
    if (target.attribute.empty()) return define(scope, target.id, value);
    const Value object = lookup(scope, target.id, target.name);
    if (!object.is(Kind::kNamespace)) run_.wrong("cannot assign attribute on non-namespace object");
    set_member(run_, object.as_namespace(), target.attribute, value);
  }

  // ---- statements

  Flow execute(const Block& block, Scope& scope) {
    for (const Statement& statement : block) {
      const Flow flow = execute(statement, scope);
      if (flow != Flow::kNormal) return flow;
    }
    return Flow::kNormal;
  }

  Flow execute(const Statement& statement, Scope& scope) {
    const Run::Nested nested(run_);
    run_.step();
    run_.at_line(statement.line);
    switch (statement.kind) {
      case StatementKind::kData:
        write(statement.data);
        break;
      case StatementKind::kPrint:
        for (const auto& part : statement.expressions) print(evaluate(*part, scope));
        break;
      case StatementKind::kIf:
        return execute_if(statement, scope);
      case StatementKind::kFor:
        return execute_for(statement, scope);
      case StatementKind::kSet:
        assign(scope, statement.targets[0], evaluate(*statement.expressions[0], scope));
        break;
      case StatementKind::kSetBlock:
        return execute_set_block(statement, scope);
      case StatementKind::kMacro:
        define(scope, statement.id, macro(statement, scope));
        break;
      case StatementKind::kCallBlock:
        execute_call(statement, scope);
        break;
      case StatementKind::kFilterBlock:
        return execute_filter(statement, scope);
      case StatementKind::kWith:
        return execute_with(statement, scope);
      case StatementKind::kGeneration:
        execute_generation(statement, scope);
        break;
      case StatementKind::kBreak:
        return Flow::kBreak;
      case StatementKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kNormal;
  }

  void print(const Value& value) {
    if (value.is_text()) {
      write(value.as_text());
    } else {
      write(to_text(run_, value));
    }
  }

  Flow execute_if(const Statement& statement, Scope& scope) {
    for (size_t i = 0; i < statement.expressions.size(); ++i) {
      if (truth(evaluate(*statement.expressions[i], scope))) {
        return execute(statement.blocks[i], scope);
      }
    }
    const bool has_else = statement.blocks.size() > statement.expressions.size();
    return has_else ? execute(statement.blocks.back(), scope) : Flow::kNormal;
  }

  Flow execute_for(const Statement& statement, Scope& scope) {
    auto items = iterate(run_, evaluate(*statement.expressions[0], scope)).sequence();
    if (const auto& filter = statement.expressions[1]) {
      auto kept = std::make_shared<Sequence>();
      kept->depth = items->depth;
      for (const Value& item : items->items) {
        ScopeHolder inner(*this, &scope);
        assign(inner.scope(), statement.targets[0], item);
        if (truth(evaluate(*filter, inner.scope()))) kept->items.push_back(item);
      }
      items = std::move(kept);
    }
    if (items->items.empty()) {
      ScopeHolder inner(*this, &scope);
      return execute(statement.blocks[1], inner.scope());
    }
    auto loop = std::make_shared<Loop>();
    loop->items = items;
    const auto* state = loop.get();
    const Value loop_value = Value::of(std::shared_ptr<const Loop>(std::move(loop)));
    Flow flow = Flow::kNormal;
    for (size_t i = 0; i < items->items.size() && flow != Flow::kBreak; ++i) {
      run_.step();
      state->index = i;
      ScopeHolder inner(*this, &scope);
      define(inner.scope(), loop_id_, loop_value);
      assign(inner.scope(), statement.targets[0], items->items[i]);
      flow = execute(statement.blocks[0], inner.scope());
    }
    return Flow::kNormal;
  }

  Flow execute_set_block(const Statement& statement, Scope& scope) {
    Buffer buffer(*this);
    ScopeHolder inner(*this, &scope);
    const Flow flow = execute(statement.blocks[0], inner.scope());
    if (flow != Flow::kNormal) return flow;
    Value text = Value::text(run_, buffer.take());
    if (const auto& filter = statement.expressions[0]) text = filtered(*filter, text, scope);
    assign(scope, statement.targets[0], text);
    return Flow::kNormal;
  }

  Flow execute_filter(const Statement& statement, Scope& scope) {
    Value text;
    {
      Buffer buffer(*this);
      ScopeHolder inner(*this, &scope);
      const Flow flow = execute(statement.blocks[0], inner.scope());
      if (flow != Flow::kNormal) return flow;
      text = Value::text(run_, buffer.take());
    }
    print(filtered(*statement.expressions[0], text, scope));
    return Flow::kNormal;
  }

  Flow execute_with(const Statement& statement, Scope& scope) {
    ScopeHolder inner(*this, &scope);
    for (size_t i = 0; i < statement.targets.size(); ++i) {
      assign(inner.scope(), statement.targets[i], evaluate(*statement.expressions[i], scope));
    }
    return execute(statement.blocks[0], inner.scope());
  }

  void execute_generation(const Statement& statement, Scope& scope) {
    ScopeHolder inner(*this, &scope);
    const size_t begin = out_->size();
    execute(statement.blocks[0], inner.scope());
    if (out_ == &output_->text) {
      output_->generated.emplace_back(begin, out_->size());
    } else {
      output_->generated_elsewhere = true;
    }
  }

  void execute_call(const Statement& statement, Scope& scope) {
    const Expression& call = *statement.expressions[0];
    const Value callee = evaluate(*call.parts[0], scope);
    Arguments arguments = evaluate(call.arguments, scope);
    arguments.named.emplace_back("caller", macro(statement, scope));
    run_.at_line(call.line);
    print(call_value(callee, arguments));
  }

  // ---- macros

  Value macro(const Statement& statement, Scope& scope) {
    run_.step(8);
    for (Scope* s = &scope; s != nullptr && !s->captured; s = s->parent) s->captured = true;
    Function function;
    function.name = statement.kind == StatementKind::kMacro ? statement.name : "caller";
    function.macro = &statement;
    function.scope = &scope;
    return Value::of(std::make_shared<const Function>(std::move(function)));
  }

  Value call_macro(const Function& function, const Arguments& arguments) {
    const Run::Nested nested(run_);
    const Signature& signature = function.macro->signature;
    ScopeHolder inner(*this, function.scope);
    Scope& scope = inner.scope();
    const size_t parameters = signature.parameters.size();
    auto named = arguments.named;
    const auto take_named = [&named](std::string_view name) {
      const auto found = std::find_if(named.begin(), named.end(),
                                      [name](const auto& entry) { return entry.first == name; });
      if (found == named.end()) return Value();
      Value value = std::move(found->second);
      named.erase(found);
      return value;
    };
    std::vector<Value> given(
        arguments.positional.begin(),
        arguments.positional.begin() +
            static_cast<std::ptrdiff_t>(std::min(parameters, arguments.positional.size())));
    while (given.size() < parameters) {
      given.push_back(take_named(signature.parameters[given.size()].second));
    }
    if (signature.wants_caller) {
      Value caller = take_named("caller");
      define(scope, caller_id_,
             caller.absent() ? Value::undefined("No caller defined") : std::move(caller));
    }
    bind_rest(function, arguments, named, scope);
    const size_t without_default = parameters - signature.defaults.size();
    for (size_t i = 0; i < parameters; ++i) {
      const auto& [id, name] = signature.parameters[i];
      if (given[i].absent()) {
        given[i] = i < without_default
                       ? Value::undefined("parameter '" + name + "' was not provided")
                       : evaluate(*signature.defaults[i - without_default], scope);
      }
      define(scope, id, std::move(given[i]));
    }
    Buffer buffer(*this);
    execute(function.macro->blocks[0], scope);
    return Value::text(run_, buffer.take());
  }

  void bind_rest(const Function& function, const Arguments& arguments,
                 const std::vector<std::pair<std::string, Value>>& named, Scope& scope) {
    const Signature& signature = function.macro->signature;
    const size_t parameters = signature.parameters.size();
    if (signature.wants_kwargs) {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(named.size());
      for (const auto& [name, value] : named) {
        entries.emplace_back(Value::text(run_, name), value);
      }
      define(scope, kwargs_id_, Value::dict(run_, std::move(entries)));
    } else if (!named.empty()) {
      run_.wrong("macro '{}' takes no keyword argument '{}'", function.name, named[0].first);
    }
    if (signature.wants_varargs) {
      std::vector<Value> rest;
      for (size_t i = parameters; i < arguments.positional.size(); ++i) {
        rest.push_back(arguments.positional[i]);
      }
      define(scope, varargs_id_, Value::tuple(run_, std::move(rest)));
    } else if (arguments.positional.size() > parameters) {
      run_.wrong("macro '{}' takes not more than {} argument(s)", function.name, parameters);
    }
  }

  Value call_value(const Value& callee, const Arguments& arguments) {
    run_.step();
    if (callee.is_undefined()) run_.wrong("{}", callee.why_undefined());
    if (!callee.is(Kind::kFunction)) run_.wrong("'{}' object is not callable", type_name(callee));
    const Function& function = callee.as_function();
    if (function.macro != nullptr) return call_macro(function, arguments);
    if (function.method != nullptr) return function.method(run_, function.self, arguments);
    if (function.name == "namespace") {
      run_.step(8);
      namespaces_.push_back(make_namespace(run_, arguments));
      return Value::of(*namespaces_.back());
    }
    return call_global(run_, function.name, arguments);
  }

  // ---- expressions

  Arguments evaluate(const CallArguments& call, Scope& scope) {
    Arguments arguments;
    arguments.positional.reserve(call.positional.size());
    for (const auto& part : call.positional) {
      arguments.positional.push_back(evaluate(*part, scope));
    }
    arguments.named.reserve(call.named.size());
    for (const auto& [name, part] : call.named) {
      arguments.named.emplace_back(name, evaluate(*part, scope));
    }
    if (call.spread) {
      const auto items = iterate(run_, evaluate(*call.spread, scope));
      run_.pay_for_items(items.size());
      arguments.positional.insert(arguments.positional.end(), items.begin(), items.end());
    }
    if (call.spread_named) {
      const Value more = evaluate(*call.spread_named, scope);
      if (!more.is_dict()) run_.wrong("the argument after ** must be a mapping");
      run_.pay_for_items(more.as_dict().entries.size());
      for (const auto& [key, value] : more.as_dict().entries) {
        arguments.named.emplace_back(to_plain_text(run_, key, "a keyword"), value);
      }
    }
    return arguments;
  }

  Value evaluate(const Expression& node, Scope& scope) {
    const Run::Nested nested(run_);
    run_.step();
    switch (node.kind) {
      case ExpressionKind::kConstant:
        return node.constant;
      case ExpressionKind::kName:
        return lookup(scope, node.id, node.name);
      case ExpressionKind::kTuple:
        return Value::tuple(run_, parts_of(node, scope));
      case ExpressionKind::kList:
        return Value::list(run_, parts_of(node, scope));
      case ExpressionKind::kDict:
        return evaluate_dict(node, scope);
      case ExpressionKind::kConditional:
        return evaluate_conditional(node, scope);
      case ExpressionKind::kOr: {
        Value left = part(node, 0, scope);
        return truth(left) ? left : part(node, 1, scope);
      }
      case ExpressionKind::kAnd: {
        Value left = part(node, 0, scope);
        return truth(left) ? part(node, 1, scope) : left;
      }
      case ExpressionKind::kNot:
        return Value::boolean(!truth(part(node, 0, scope)));
      case ExpressionKind::kCompare:
        return evaluate_comparison(node, scope);
      case ExpressionKind::kConcat:
        return evaluate_concatenation(node, scope);
      case ExpressionKind::kCalculate:
        return evaluate_calculation(node, scope);
      case ExpressionKind::kNegate:
        return negate(run_, part(node, 0, scope));
      case ExpressionKind::kPlus:
        return plus(run_, part(node, 0, scope));
      case ExpressionKind::kAttribute: {
        const Value object = part(node, 0, scope);
        run_.at_line(node.line);
        return attribute_of(run_, object, node.name);
      }
      case ExpressionKind::kItem:
        return evaluate_item(node, scope);
      case ExpressionKind::kSlice:
        return evaluate_slice(node, scope);
      case ExpressionKind::kCall:
        return evaluate_call(node, scope);
      case ExpressionKind::kFilter:
        return evaluate_filter(node, scope);
      case ExpressionKind::kTest:
        return evaluate_test(node, scope);
    }
    return Value::none();
  }

  Value part(const Expression& node, size_t index, Scope& scope) {
    return evaluate(*node.parts[index], scope);
  }
  Value optional_part(const Expression& node, size_t index, Scope& scope) {
    return node.parts[index] ? part(node, index, scope) : Value();
  }

  std::vector<Value> parts_of(const Expression& node, Scope& scope) {
    std::vector<Value> values;
    values.reserve(node.parts.size());
    for (const auto& item : node.parts) values.push_back(evaluate(*item, scope));
    return values;
  }

  Value evaluate_dict(const Expression& node, Scope& scope) {
    std::vector<std::pair<Value, Value>> entries;
    for (size_t i = 0; i + 1 < node.parts.size(); i += 2) {
      Value key = part(node, i, scope);
      set_entry(run_, entries, std::move(key), part(node, i + 1, scope));
    }
    return Value::dict(run_, std::move(entries));
  }

  Value evaluate_conditional(const Expression& node, Scope& scope) {
    if (truth(part(node, 0, scope))) return part(node, 1, scope);
    if (node.parts[2]) return part(node, 2, scope);
    return Value::undefined("the inline if-expression evaluated to false and has no else");
  }

  Value evaluate_comparison(const Expression& node, Scope& scope) {
    Value left = part(node, 0, scope);
    for (size_t i = 0; i < node.comparisons.size(); ++i) {
      Value right = part(node, i + 1, scope);
      run_.at_line(node.line);
      if (!compare(run_, node.comparisons[i], left, right)) return Value::boolean(false);
      left = std::move(right);
    }
    return Value::boolean(true);
  }

  Value evaluate_concatenation(const Expression& node, Scope& scope) {
    std::string text;
    for (const auto& item : node.parts) {
      const Value value = evaluate(*item, scope);
      text += value.is_text() ? value.as_text() : to_text(run_, value);
      if (text.size() > kMaxTextBytes) break;
    }
    return Value::text(run_, std::move(text));
  }

  Value evaluate_calculation(const Expression& node, Scope& scope) {
    const Value left = part(node, 0, scope);
    const Value right = part(node, 1, scope);
    run_.at_line(node.line);
    return calculate(run_, node.operation, left, right);
  }

  Value evaluate_item(const Expression& node, Scope& scope) {
    const Value object = part(node, 0, scope);
    const Value key = part(node, 1, scope);
    run_.at_line(node.line);
    return item_of(run_, object, key);
  }

  Value evaluate_slice(const Expression& node, Scope& scope) {
    const Value object = part(node, 0, scope);
    const Value start = optional_part(node, 1, scope);
    const Value stop = optional_part(node, 2, scope);
    const Value step = optional_part(node, 3, scope);
    run_.at_line(node.line);
    return slice_of(run_, object, start, stop, step);
  }

  Value evaluate_call(const Expression& node, Scope& scope) {
    const Value callee = part(node, 0, scope);
    const Arguments arguments = evaluate(node.arguments, scope);
    run_.at_line(node.line);
    return call_value(callee, arguments);
  }

  Value evaluate_filter(const Expression& node, Scope& scope) {
    const Value subject = node.parts[0] ? part(node, 0, scope) : block_text_;
    const Arguments arguments = evaluate(node.arguments, scope);
    run_.at_line(node.line);
    if (!node.known) run_.unsupported("the filter \"{}\"", node.name);
    return apply_filter(run_, node.name, subject, arguments);
  }

  // A chain of filters over the text of a block.
  Value filtered(const Expression& filter, const Value& text, Scope& scope) {
    const Value outer = std::exchange(block_text_, text);
    Value result = evaluate(filter, scope);
    block_text_ = outer;
    return result;
  }

  Value evaluate_test(const Expression& node, Scope& scope) {
    const Value subject = part(node, 0, scope);
    const Arguments arguments = evaluate(node.arguments, scope);
    run_.at_line(node.line);
    if (!node.known) run_.unsupported("the test \"{}\"", node.name);
    return Value::boolean(apply_test(run_, node.name, subject, arguments));
  }

  Run& run_;
  const Template& tree_;
  std::vector<Value> variables_;
  const NameId loop_id_ = id_of(tree_, "loop"), caller_id_ = id_of(tree_, "caller"),
               varargs_id_ = id_of(tree_, "varargs"), kwargs_id_ = id_of(tree_, "kwargs");
  std::vector<std::unique_ptr<Namespace>> namespaces_;
  std::vector<std::unique_ptr<Scope>> kept_;
  Output* output_ = nullptr;
  std::string* out_ = nullptr;
  Value block_text_;
};

}  // namespace

Output interpret(Run& run, const Template& tree, std::vector<Value> variables) {
  return Interpreter(run, tree, std::move(variables)).interpret();
}

}  // namespace alambic::jinja
