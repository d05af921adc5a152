// The part of the parser that reads expressions, with jinja2's precedence: if-else, or, and, not,
// comparisons, + and -, ~, products, **, signs, then subscripts, calls, filters and tests. The
// statement parser builds on it. Errors: as parse_template().
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/text/jinja_lexer.h"
#include "alambic/text/jinja_syntax.h"

namespace alambic::jinja {

class ExpressionParser {
 protected:
  ExpressionParser(std::vector<Token> tokens, std::string_view where)
      : tokens_(std::move(tokens)), where_(where) {}

  struct TupleOptions {
    bool conditional = true;         // a if b else c may stand without parentheses
    std::string_view end_word = {};  // a name that ends it
    bool may_be_empty = false;
  };
  struct Uses {
    bool varargs = false, kwargs = false, caller = false;
  };
  // Held while a nested construct is read.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser) : parser_(parser) {
      parser.refuse_depth(++parser_.nesting_);
    }
    ~Nesting() { --parser_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

  const Token& current() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool at_end() const { return current().kind == TokenKind::kEnd; }
  bool is_name(std::string_view name) const {
    return current().kind == TokenKind::kName && current().text == name;
  }
  bool is_operator(std::string_view op) const {
    return current().kind == TokenKind::kOperator && current().text == op;
  }
  bool accept_name(std::string_view name) { return is_name(name) && (take(), true); }
  bool accept_operator(std::string_view op) { return is_operator(op) && (take(), true); }
  const Token& expect(TokenKind kind, std::string_view what);
  void expect_operator(std::string_view op);

  [[noreturn]] void syntax_error(const std::string& what) const;
  [[noreturn]] void unsupported(const std::string& what) const;
  void refuse_depth(int depth) const;

  // One expression or, where commas follow, a tuple of them.
  ExpressionPtr tuple(const TupleOptions& options);
  ExpressionPtr expression();
  // Filters behind `subject`: all that stand here, each with its bar.
  ExpressionPtr filters(ExpressionPtr subject);
  ExpressionPtr filters_after(ExpressionPtr subject) {
    return is_operator("|") ? filters(std::move(subject)) : std::move(subject);
  }
  ExpressionPtr filter_call(ExpressionPtr subject);

  NameId intern(const std::string& name);
  std::vector<std::string> take_names() { return std::move(names_); }
  // Where a branch may never be taken, jinja2 bears filters and tests that do not exist until they
  // are reached. Returns what held before.
  bool set_soft(bool soft) { return std::exchange(soft_, soft); }
  void refuse_unknown_names() const;

  Uses uses_;  // of special names in the macro being read

 private:
  ExpressionPtr make(ExpressionKind kind, int line) const;
  ExpressionPtr finish(ExpressionPtr expression) const;
  ExpressionPtr binary(ExpressionKind kind, int line, ExpressionPtr left, ExpressionPtr right);

  ExpressionPtr conditional();
  ExpressionPtr disjunction();
  ExpressionPtr conjunction();
  ExpressionPtr negation();
  ExpressionPtr comparison();
  ExpressionPtr sum();
  ExpressionPtr concatenation();
  ExpressionPtr product();
  ExpressionPtr power();
  ExpressionPtr unary(bool with_filters);
  ExpressionPtr primary();
  ExpressionPtr list();
  ExpressionPtr dict();
  ExpressionPtr name_or_constant();
  ExpressionPtr number();
  ExpressionPtr postfix(ExpressionPtr expression);
  ExpressionPtr subscript(ExpressionPtr object);
  ExpressionPtr subscript_part(ExpressionPtr object);
  ExpressionPtr call(ExpressionPtr callee);
  ExpressionPtr filters_and_tests(ExpressionPtr expression);
  ExpressionPtr test(ExpressionPtr subject);
  CallArguments call_arguments();
  void note_unknown(Expression& node, std::string_view kind, bool exists);

  std::vector<Token> tokens_;
  std::string_view where_;
  size_t at_ = 0;
  int nesting_ = 0;
  bool soft_ = false;
  std::vector<std::string> names_;
  std::unordered_map<std::string, NameId> ids_;       // places in names_
  std::vector<std::pair<int, std::string>> unknown_;  // line and what, outside soft branches
};

}  // namespace alambic::jinja
