#include "alambic/text/jinja_expression_parser.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "alambic/text/jinja_filters.h"

namespace alambic::jinja {
namespace {

int deepest_part(const Expression& node) {
  int depth = 0;
  const auto look = [&depth](const ExpressionPtr& part) {
    if (part) depth = std::max(depth, part->depth);
  };
  for (const auto& part : node.parts) look(part);
  for (const auto& part : node.arguments.positional) look(part);
  for (const auto& [name, part] : node.arguments.named) look(part);
  look(node.arguments.spread);
  look(node.arguments.spread_named);
  return depth;
}

std::optional<Comparison> comparison_of(const Token& token) {
  if (token.kind != TokenKind::kOperator) return std::nullopt;
  if (token.text == "==") return Comparison::kEqual;
  if (token.text == "!=") return Comparison::kNotEqual;
  if (token.text == "<") return Comparison::kLess;
  if (token.text == "<=") return Comparison::kLessEqual;
  if (token.text == ">") return Comparison::kGreater;
  if (token.text == ">=") return Comparison::kGreaterEqual;
  return std::nullopt;
}

}  // namespace

const Token& ExpressionParser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) syntax_error(fmt::format("want {}", what));
  return take();
}

void ExpressionParser::expect_operator(std::string_view op) {
  if (!accept_operator(op)) syntax_error(fmt::format("want '{}'", op));
}

void ExpressionParser::syntax_error(const std::string& what) const {
  const Token& token = current();
  std::string got;
  switch (token.kind) {
    case TokenKind::kEnd:
      got = "the end of the template";
      break;
    case TokenKind::kVariableEnd:
    case TokenKind::kBlockEnd:
      got = "the end of the tag";
      break;
    default:
      got = fmt::format("'{}'", token.text.substr(0, 40));
  }
  fail(ErrorCode::kCorruptData, "[{}:{}] {}; got {}", where_, token.line, what, got);
}

void ExpressionParser::unsupported(const std::string& what) const {
  fail(ErrorCode::kUnsupported, "[{}:{}] {} is not supported", where_, current().line, what);
}

void ExpressionParser::refuse_depth(int depth) const {
  if (depth <= kMaxNesting) return;
  fail(ErrorCode::kResourceExhausted, "[{}:{}] nested more than {} deep", where_, current().line,
       kMaxNesting);
}

void ExpressionParser::refuse_unknown_names() const {
  if (unknown_.empty()) return;
  fail(ErrorCode::kUnsupported, "[{}:{}] {} is not supported", where_, unknown_[0].first,
       unknown_[0].second);
}

void ExpressionParser::note_unknown(Expression& node, std::string_view kind, bool exists) {
  node.known = exists;
  if (exists || soft_) return;
  unknown_.emplace_back(node.line, fmt::format("the {} \"{}\"", kind, node.name));
}

NameId ExpressionParser::intern(const std::string& name) {
  const auto [place, added] = ids_.emplace(name, static_cast<NameId>(names_.size()));
  if (added) names_.push_back(name);
  return place->second;
}

ExpressionPtr ExpressionParser::make(ExpressionKind kind, int line) const {
  auto node = std::make_unique<Expression>();
  node->kind = kind;
  node->line = line;
  return node;
}

ExpressionPtr ExpressionParser::finish(ExpressionPtr expression) const {
  expression->depth = deepest_part(*expression) + 1;
  refuse_depth(expression->depth);
  return expression;
}

ExpressionPtr ExpressionParser::binary(ExpressionKind kind, int line, ExpressionPtr left,
                                       ExpressionPtr right) {
  ExpressionPtr node = make(kind, line);
  node->parts.push_back(std::move(left));
  node->parts.push_back(std::move(right));
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::tuple(const TupleOptions& options) {
  const int line = current().line;
  std::vector<ExpressionPtr> items;
  bool comma = false;
  while (true) {
    const bool ended = current().kind == TokenKind::kVariableEnd ||
                       current().kind == TokenKind::kBlockEnd || is_operator(")") ||
                       (!options.end_word.empty() && is_name(options.end_word));
    if (ended) break;
    const Nesting nesting(*this);
    items.push_back(options.conditional ? conditional() : disjunction());
    if (!accept_operator(",")) break;
    comma = true;
  }
  if (!comma && items.size() == 1) return std::move(items.front());
  if (items.empty() && !options.may_be_empty) syntax_error("want an expression");
  ExpressionPtr node = make(ExpressionKind::kTuple, line);
  node->parts = std::move(items);
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::expression() {
  const Nesting nesting(*this);
  return conditional();
}

ExpressionPtr ExpressionParser::conditional() {
  const size_t unknown_before = unknown_.size();
  ExpressionPtr value = disjunction();
  while (is_name("if")) {
    const int line = take().line;
    unknown_.resize(unknown_before);
    const bool soft = set_soft(true);
    ExpressionPtr node = make(ExpressionKind::kConditional, line);
    node->parts.push_back(disjunction());
    node->parts.push_back(std::move(value));
    node->parts.push_back(accept_name("else") ? expression() : nullptr);
    set_soft(soft);
    value = finish(std::move(node));
  }
  return value;
}

ExpressionPtr ExpressionParser::disjunction() {
  ExpressionPtr left = conjunction();
  while (is_name("or")) {
    const int line = take().line;
    left = binary(ExpressionKind::kOr, line, std::move(left), conjunction());
  }
  return left;
}

ExpressionPtr ExpressionParser::conjunction() {
  ExpressionPtr left = negation();
  while (is_name("and")) {
    const int line = take().line;
    left = binary(ExpressionKind::kAnd, line, std::move(left), negation());
  }
  return left;
}

ExpressionPtr ExpressionParser::negation() {
  if (!is_name("not")) return comparison();
  const Nesting nesting(*this);
  ExpressionPtr node = make(ExpressionKind::kNot, take().line);
  node->parts.push_back(negation());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::comparison() {
  const int line = current().line;
  std::vector<ExpressionPtr> operands;
  std::vector<Comparison> comparisons;
  operands.push_back(sum());
  while (true) {
    if (const auto found = comparison_of(current())) {
      take();
      comparisons.push_back(*found);
    } else if (accept_name("in")) {
      comparisons.push_back(Comparison::kIn);
    } else if (is_name("not") && next().kind == TokenKind::kName && next().text == "in") {
      take();
      take();
      comparisons.push_back(Comparison::kNotIn);
    } else {
      break;
    }
    operands.push_back(sum());
  }
  if (comparisons.empty()) return std::move(operands.front());
  ExpressionPtr node = make(ExpressionKind::kCompare, line);
  node->parts = std::move(operands);
  node->comparisons = std::move(comparisons);
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::sum() {
  ExpressionPtr left = concatenation();
  while (is_operator("+") || is_operator("-")) {
    const Token& sign = take();
    left = binary(ExpressionKind::kCalculate, sign.line, std::move(left), concatenation());
    left->operation = sign.text == "+" ? Operator::kAdd : Operator::kSubtract;
  }
  return left;
}

ExpressionPtr ExpressionParser::concatenation() {
  const int line = current().line;
  ExpressionPtr first = product();
  if (!is_operator("~")) return first;
  ExpressionPtr node = make(ExpressionKind::kConcat, line);
  node->parts.push_back(std::move(first));
  while (accept_operator("~")) node->parts.push_back(product());
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::product() {
  ExpressionPtr left = power();
  while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
    const Token& sign = take();
    left = binary(ExpressionKind::kCalculate, sign.line, std::move(left), power());
    left->operation = sign.text == "*"    ? Operator::kMultiply
                      : sign.text == "/"  ? Operator::kDivide
                      : sign.text == "//" ? Operator::kFloorDivide
                                          : Operator::kModulo;
  }
  return left;
}

ExpressionPtr ExpressionParser::power() {
  ExpressionPtr left = unary(true);
  while (is_operator("**")) {
    const int line = take().line;
    left = binary(ExpressionKind::kCalculate, line, std::move(left), unary(true));
    left->operation = Operator::kPower;
  }
  return left;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
  ExpressionPtr node;
  if (is_operator("-") || is_operator("+")) {
    const Nesting nesting(*this);
    const Token& sign = take();
    node = make(sign.text == "-" ? ExpressionKind::kNegate : ExpressionKind::kPlus, sign.line);
    node->parts.push_back(unary(false));
    node = finish(std::move(node));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  return with_filters ? filters_and_tests(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName:
      return name_or_constant();
    case TokenKind::kInteger:
    case TokenKind::kFloat:
      return number();
    case TokenKind::kText: {
      ExpressionPtr node = make(ExpressionKind::kConstant, token.line);
      std::string text;
      while (current().kind == TokenKind::kText) text += take().text;
      node->constant = Value::literal(text);
      return node;
    }
    default:
      break;
  }
  if (is_operator("[")) return list();
  if (is_operator("{")) return dict();
  if (!accept_operator("(")) syntax_error("want an expression");
  ExpressionPtr node = tuple({.may_be_empty = true});
  expect_operator(")");
  return node;
}

ExpressionPtr ExpressionParser::name_or_constant() {
  const Token& token = take();
  const std::string& name = token.text;
  ExpressionPtr node = make(ExpressionKind::kConstant, token.line);
  if (name == "true" || name == "True") {
    node->constant = Value::boolean(true);
  } else if (name == "false" || name == "False") {
    node->constant = Value::boolean(false);
  } else if (name == "none" || name == "None") {
    node->constant = Value::none();
  } else {
    node->kind = ExpressionKind::kName;
    node->name = name;
    node->id = intern(name);
    uses_.varargs = uses_.varargs || name == "varargs";
    uses_.kwargs = uses_.kwargs || name == "kwargs";
    uses_.caller = uses_.caller || name == "caller";
  }
  return node;
}

ExpressionPtr ExpressionParser::number() {
  const Token& token = take();
  ExpressionPtr node = make(ExpressionKind::kConstant, token.line);
  if (token.kind == TokenKind::kFloat) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error != std::errc{}) unsupported("a number out of range");
    node->constant = Value::number(value);
    return node;
  }
  std::string_view digits = token.text;
  int base = 10;
  if (digits.size() > 2 && digits[0] == '0' && digits[1] > '9') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    base = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
    digits.remove_prefix(2);
  }
  uint64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    unsupported("a number out of range");
  }
  node->constant = Value::integer(value);
  return node;
}

ExpressionPtr ExpressionParser::list() {
  ExpressionPtr node = make(ExpressionKind::kList, take().line);
  while (!is_operator("]")) {
    node->parts.push_back(expression());
    if (!is_operator("]")) expect_operator(",");
  }
  take();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::dict() {
  ExpressionPtr node = make(ExpressionKind::kDict, take().line);
  while (!is_operator("}")) {
    node->parts.push_back(expression());
    expect_operator(":");
    node->parts.push_back(expression());
    if (!is_operator("}")) expect_operator(",");
  }
  take();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr expression) {
  while (true) {
    if (is_operator(".") || is_operator("[")) {
      expression = subscript(std::move(expression));
    } else if (is_operator("(")) {
      expression = call(std::move(expression));
    } else {
      return expression;
    }
  }
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
  const int line = current().line;
  if (accept_operator(".")) {
    if (current().kind == TokenKind::kName) {
      ExpressionPtr node = make(ExpressionKind::kAttribute, line);
      node->name = take().text;
      node->parts.push_back(std::move(object));
      return finish(std::move(node));
    }
    if (current().kind != TokenKind::kInteger) syntax_error("want a name or a number");
    return binary(ExpressionKind::kItem, line, std::move(object), number());
  }
  take();  // [
  ExpressionPtr node = subscript_part(std::move(object));
  if (is_operator(",")) unsupported("a subscript with several parts");
  expect_operator("]");
  return node;
}

ExpressionPtr ExpressionParser::subscript_part(ExpressionPtr object) {
  const int line = current().line;
  const auto ended = [this] { return is_operator(":") || is_operator("]") || is_operator(","); };
  if (is_operator("]")) syntax_error("want a subscript");
  ExpressionPtr start = ended() ? nullptr : expression();
  if (!accept_operator(":")) {
    return binary(ExpressionKind::kItem, line, std::move(object), std::move(start));
  }
  ExpressionPtr node = make(ExpressionKind::kSlice, line);
  node->parts.push_back(std::move(object));
  node->parts.push_back(std::move(start));
  node->parts.push_back(ended() ? nullptr : expression());
  node->parts.push_back(accept_operator(":") && !ended() ? expression() : nullptr);
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::call(ExpressionPtr callee) {
  ExpressionPtr node = make(ExpressionKind::kCall, current().line);
  node->parts.push_back(std::move(callee));
  node->arguments = call_arguments();
  return finish(std::move(node));
}

CallArguments ExpressionParser::call_arguments() {
  CallArguments arguments;
  expect_operator("(");
  while (!is_operator(")")) {
    if (is_operator("*") && !arguments.spread && !arguments.spread_named) {
      take();
      arguments.spread = expression();
    } else if (is_operator("**") && !arguments.spread_named) {
      take();
      arguments.spread_named = expression();
    } else if (current().kind == TokenKind::kName && next().kind == TokenKind::kOperator &&
               next().text == "=" && !arguments.spread_named) {
      std::string name = take().text;
      take();
      arguments.named.emplace_back(std::move(name), expression());
    } else if (arguments.named.empty() && !arguments.spread && !arguments.spread_named) {
      arguments.positional.push_back(expression());
    } else {
      syntax_error("invalid syntax for a function call");
    }
    if (!is_operator(")")) expect_operator(",");
  }
  take();
  return arguments;
}

ExpressionPtr ExpressionParser::filters_and_tests(ExpressionPtr expression) {
  while (true) {
    if (is_operator("|")) {
      expression = filters(std::move(expression));
    } else if (is_name("is")) {
      expression = test(std::move(expression));
    } else if (is_operator("(")) {
      expression = call(std::move(expression));
    } else {
      return expression;
    }
  }
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr subject) {
  while (accept_operator("|")) subject = filter_call(std::move(subject));
  return subject;
}

ExpressionPtr ExpressionParser::filter_call(ExpressionPtr subject) {
  const Token& token = expect(TokenKind::kName, "the name of a filter");
  ExpressionPtr node = make(ExpressionKind::kFilter, token.line);
  node->name = token.text;
  while (accept_operator(".")) node->name += "." + expect(TokenKind::kName, "a name").text;
  note_unknown(*node, "filter", filter_exists(node->name));
  node->parts.push_back(std::move(subject));
  if (is_operator("(")) node->arguments = call_arguments();
  return finish(std::move(node));
}

ExpressionPtr ExpressionParser::test(ExpressionPtr subject) {
  const int line = take().line;
  const bool negated = accept_name("not");
  ExpressionPtr node = make(ExpressionKind::kTest, line);
  node->name = expect(TokenKind::kName, "the name of a test").text;
  while (accept_operator(".")) node->name += "." + expect(TokenKind::kName, "a name").text;
  note_unknown(*node, "test", test_exists(node->name));
  node->parts.push_back(std::move(subject));
  const TokenKind kind = current().kind;
  const bool word =
      kind == TokenKind::kName && !is_name("else") && !is_name("or") && !is_name("and");
  if (is_operator("(")) {
    node->arguments = call_arguments();
  } else if (word || kind == TokenKind::kText || kind == TokenKind::kInteger ||
             kind == TokenKind::kFloat || is_operator("[") || is_operator("{")) {
    if (is_name("is")) syntax_error("tests cannot be chained");
    const Nesting nesting(*this);
    node->arguments.positional.push_back(postfix(primary()));
  }
  node = finish(std::move(node));
  if (!negated) return node;
  ExpressionPtr opposite = make(ExpressionKind::kNot, line);
  opposite->parts.push_back(std::move(node));
  return finish(std::move(opposite));
}

}  // namespace alambic::jinja
