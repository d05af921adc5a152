#include "alambic/text/jinja_parser.h"

#include "alambic/text/jinja_expression_parser.h"
#include "alambic/text/jinja_lexer.h"
#include "alambic/text/unicode.h"

namespace alambic::jinja {
namespace {

class StatementParser : ExpressionParser {
 public:
  StatementParser(std::vector<Token> tokens, std::string_view where)
      : ExpressionParser(std::move(tokens), where) {}

  std::unique_ptr<const Template> parse() {
    auto result = std::make_unique<Template>();
    result->body = block({});
    refuse_unknown_names();
    result->names = take_names();
    result->marks_generation = marks_generation_;
    return result;
  }

 private:
  using Words = std::initializer_list<std::string_view>;

  Statement make(StatementKind kind) const {
    Statement statement;
    statement.kind = kind;
    statement.line = current().line;
    return statement;
  }

  static int depth_of(const Block& block) {
    int depth = 0;
    for (const Statement& statement : block) depth = std::max(depth, statement.depth);
    return depth;
  }

  void finish(Statement& statement) const {
    int depth = 0;
    for (const auto& expression : statement.expressions) {
      if (expression) depth = std::max(depth, expression->depth);
    }
    for (const auto& value : statement.signature.defaults) depth = std::max(depth, value->depth);
    for (const Block& block : statement.blocks) depth = std::max(depth, depth_of(block));
    statement.depth = depth + 1;
    refuse_depth(statement.depth);
  }

  // Statements up to one of the tags `ends`, whose name is then the current token.
  Block block(Words ends) {
    const Nesting nesting(*this);
    Block body;
    while (!at_end()) {
      if (current().kind == TokenKind::kData) {
        Statement data = make(StatementKind::kData);
        data.data = take().text;
        body.push_back(std::move(data));
      } else if (current().kind == TokenKind::kVariableBegin) {
        Statement print = make(StatementKind::kPrint);
        take();
        print.expressions.push_back(tuple({}));
        expect(TokenKind::kVariableEnd, "}}");
        finish(print);
        body.push_back(std::move(print));
      } else {
        take();  // {%
        for (const std::string_view end : ends) {
          if (is_name(end)) return body;
        }
        body.push_back(statement());
        finish(body.back());
        expect(TokenKind::kBlockEnd, "%}");
      }
    }
    if (ends.size() != 0) {
      syntax_error(fmt::format("the template ends; want {{% {} %}}", *(ends.end() - 1)));
    }
    return body;
  }

  // The body of a tag: the rest of the tag, statements, and one of the tags `ends`.
  Block body(Words ends) {
    accept_operator(":");
    expect(TokenKind::kBlockEnd, "%}");
    return block(ends);
  }
  Block last_body(std::string_view end) {
    Block result = body({end});
    take();
    return result;
  }

  // A body that jinja2 compiles to a function of its own: no loop around it can be left.
  Block function_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    const bool soft = set_soft(false);
    Block result = last_body(end);
    set_soft(soft);
    loops_ = loops;
    return result;
  }

  Statement statement() {
    const Token& tag = current();
    if (tag.kind != TokenKind::kName) syntax_error("want the name of a tag");
    if (tag.text == "for") return for_statement();
    if (tag.text == "if") return if_statement();
    if (tag.text == "set") return set_statement();
    if (tag.text == "macro") return macro_statement();
    if (tag.text == "call") return call_statement();
    if (tag.text == "filter") return filter_statement();
    if (tag.text == "with") return with_statement();
    if (tag.text == "print") return print_statement();
    if (tag.text == "generation") {
      Statement generation = make(StatementKind::kGeneration);
      take();
      marks_generation_ = true;
      generation.blocks.push_back(function_body("endgeneration"));
      return generation;
    }
    if (tag.text == "break" || tag.text == "continue") {
      if (loops_ == 0) syntax_error(fmt::format("'{}' outside a loop", tag.text));
      Statement jump = make(tag.text == "break" ? StatementKind::kBreak : StatementKind::kContinue);
      take();
      return jump;
    }
    for (const char* known : {"autoescape", "block", "extends", "from", "import", "include"}) {
      if (tag.text == known) unsupported(fmt::format("the tag {{% {} %}}", tag.text));
    }
    if (tag.text.starts_with("end") || tag.text == "else" || tag.text == "elif") {
      syntax_error(fmt::format("unexpected {{% {} %}}", tag.text));
    }
    unsupported(fmt::format("the tag {{% {} %}}", tag.text));
  }

  Statement for_statement() {
    Statement loop = make(StatementKind::kFor);
    take();
    loop.targets.push_back(target(true, false, "in"));
    if (!accept_name("in")) syntax_error("want \"in\" after the variables of a loop");
    loop.expressions.push_back(tuple({.conditional = false, .end_word = "recursive"}));
    loop.expressions.push_back(accept_name("if") ? expression() : nullptr);
    if (is_name("recursive")) unsupported("a recursive loop");
    ++loops_;
    const bool soft = set_soft(false);
    loop.blocks.push_back(body({"else", "endfor"}));
    --loops_;
    loop.blocks.emplace_back();
    if (take().text == "else") loop.blocks.back() = last_body("endfor");
    set_soft(soft);
    return loop;
  }

  Statement if_statement() {
    Statement choice = make(StatementKind::kIf);
    const bool soft = set_soft(true);
    std::string tag = take().text;
    while (tag != "endif") {
      if (tag == "else") {
        choice.blocks.push_back(last_body("endif"));
        break;
      }
      choice.expressions.push_back(tuple({.conditional = false}));
      choice.blocks.push_back(body({"elif", "else", "endif"}));
      tag = take().text;
    }
    set_soft(soft);
    return choice;
  }

  Statement set_statement() {
    Statement set = make(StatementKind::kSet);
    take();
    set.targets.push_back(target(true, true, ""));
    if (accept_operator("=")) {
      set.expressions.push_back(tuple({}));
      return set;
    }
    set.kind = StatementKind::kSetBlock;
    set.expressions.push_back(is_operator("|") ? filters(nullptr) : nullptr);
    set.blocks.push_back(last_body("endset"));
    return set;
  }

  Statement print_statement() {
    Statement print = make(StatementKind::kPrint);
    take();
    while (current().kind != TokenKind::kBlockEnd) {
      if (!print.expressions.empty()) expect_operator(",");
      print.expressions.push_back(expression());
    }
    return print;
  }

  Statement filter_statement() {
    Statement filter = make(StatementKind::kFilterBlock);
    take();
    filter.expressions.push_back(filters_after(filter_call(nullptr)));
    const bool soft = set_soft(false);
    filter.blocks.push_back(last_body("endfilter"));
    set_soft(soft);
    return filter;
  }

  Statement with_statement() {
    Statement with = make(StatementKind::kWith);
    take();
    while (current().kind != TokenKind::kBlockEnd) {
      if (!with.targets.empty()) expect_operator(",");
      with.targets.push_back(target(false, false, ""));
      expect_operator("=");
      with.expressions.push_back(expression());
    }
    const bool soft = set_soft(false);
    with.blocks.push_back(last_body("endwith"));
    set_soft(soft);
    return with;
  }

  Statement macro_statement() {
    Statement macro = make(StatementKind::kMacro);
    take();
    macro.name = expect(TokenKind::kName, "the name of a macro").text;
    macro.id = intern(macro.name);
    signed_body(macro, "endmacro");
    return macro;
  }

  Statement call_statement() {
    Statement call = make(StatementKind::kCallBlock);
    take();
    if (is_operator("(")) read_signature(call.signature);
    call.expressions.push_back(expression());
    if (call.expressions[0]->kind != ExpressionKind::kCall) syntax_error("expected a call");
    const Uses uses = std::exchange(uses_, Uses{});
    call.blocks.push_back(function_body("endcall"));
    note_uses(call.signature, uses);
    return call;
  }

  void signed_body(Statement& macro, std::string_view end) {
    const Uses uses = std::exchange(uses_, Uses{});
    read_signature(macro.signature);
    macro.blocks.push_back(function_body(end));
    note_uses(macro.signature, uses);
  }

  void note_uses(Signature& signature, const Uses& outer) {
    signature.wants_varargs = uses_.varargs;
    signature.wants_kwargs = uses_.kwargs;
    signature.wants_caller = uses_.caller;
    uses_.varargs = uses_.varargs || outer.varargs;
    uses_.kwargs = uses_.kwargs || outer.kwargs;
    uses_.caller = uses_.caller || outer.caller;
  }

  void read_signature(Signature& signature) {
    expect_operator("(");
    while (!is_operator(")")) {
      if (!signature.parameters.empty()) expect_operator(",");
      const std::string name = expect(TokenKind::kName, "the name of a parameter").text;
      signature.parameters.emplace_back(intern(name), name);
      if (accept_operator("=")) {
        signature.defaults.push_back(expression());
      } else if (!signature.defaults.empty()) {
        syntax_error("a parameter without default follows one with a default");
      }
    }
    take();
  }

  // Names to assign to, up to the word `end` where one is given.
  Target target(bool several, bool with_namespace, std::string_view end) {
    std::vector<Target> parts;
    bool many = false;
    while (true) {
      const bool ended = (!end.empty() && is_name(end)) || is_operator("=") || is_operator(")") ||
                         current().kind == TokenKind::kBlockEnd;
      if (ended && !parts.empty()) break;
      parts.push_back(single_target(with_namespace, end));
      if (!several || !accept_operator(",")) break;
      many = true;
    }
    if (!many) return std::move(parts.front());
    Target target;
    target.many = true;
    target.parts = std::move(parts);
    return target;
  }

  Target single_target(bool with_namespace, std::string_view end) {
    const Nesting nesting(*this);
    if (accept_operator("(")) {
      Target inner = target(true, with_namespace, end);
      expect_operator(")");
      return inner;
    }
    Target target;
    target.name = expect(TokenKind::kName, "a name to assign to").text;
    for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
      if (target.name == constant) syntax_error("can't assign to a constant");
    }
    target.id = intern(target.name);
    if (with_namespace && accept_operator(".")) {
      target.attribute = expect(TokenKind::kName, "an attribute").text;
    }
    return target;
  }

  int loops_ = 0;
  bool marks_generation_ = false;
};

}  // namespace

std::unique_ptr<const Template> parse_template(std::string_view source, std::string_view where) {
  if (source.size() > kMaxSourceBytes) {
    fail(ErrorCode::kResourceExhausted, "[{}] a template of {} bytes; want at most 1 MiB", where,
         source.size());
  }
  const std::string valid = to_valid_utf8(source);
  return StatementParser(tokenize(valid, where), where).parse();
}

}  // namespace alambic::jinja
