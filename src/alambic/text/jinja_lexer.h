// Template source as tokens, with jinja2's rules for white space around tags: `-` and `+` signs,
// the first newline after a block dropped, blanks before a block dropped (trim_blocks and
// lstrip_blocks, as transformers sets them). Thread safety: stateless. Errors: kCorruptData,
// naming the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace alambic::jinja {

enum class TokenKind {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kText,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind;
  std::string text;  // data, name, unescaped text, digits or operator
  int line;
};

// The last token is kEnd. `source` must be valid UTF-8.
std::vector<Token> tokenize(std::string_view source, std::string_view where);

}  // namespace alambic::jinja
